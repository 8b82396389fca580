//! How long servers take over deployments that are due all at once: each is
//! promoted, as if a delay had passed.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::Client;
use viridian_store::{Store, check};

use crate::{
    harness::Server,
    part,
    process::Spent,
    stage::{Side, Stage},
};

pub(crate) async fn run() {
    for deployments in [1_000, 10_000].map(part) {
        let mut stage = Stage::on_postgres().await;
        let database = Store::open(&stage.url).await.expect("it opens");
        stage.create(&database, deployments, ROUTES).await;
        stage.deploy(&database).await;
        drop(database);
        stage.keep().await;
        for servers in [1, 2] {
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                stage.rewind().await;
                times.push(round(&stage, deployments, servers).await);
            }
            times.sort();
            println!(
                "{deployments} due deployments of {ROUTES} + {ROUTES} routes, servers: {servers}: \
                 median {:.2?} of {times:.2?}",
                times[ROUNDS / 2]
            );
        }
        let found = check(&stage.url, None).await;
        assert_eq!(found.expect("it can be checked").violations, []);
    }
}

async fn round(stage: &Stage, deployments: usize, count: usize) -> Duration {
    let mut servers = Vec::new();
    for _ in 0..count {
        servers.push(Server::at(&stage.url, |_| {}).await);
    }
    let Side::Postgres(client) = &stage.side else {
        panic!("it is in PostgreSQL")
    };
    sleep(SETTLE).await;
    let pids: Vec<i32> = servers.iter().map(Server::pid).collect();
    let before = Spent::until_now(&pids, client).await;
    client.batch_execute(MAKE_DUE).await.expect(MAKE_DUE);
    let begun = Instant::now();
    client.batch_execute(SAY_SO).await.expect(SAY_SO);
    while left(client).await > 0 {
        sleep(LOOK).await;
    }
    let took = begun.elapsed();
    let after = Spent::until_now(&pids, client).await;
    println!(
        "    servers: {count}, {deployments} due: {took:.2?}; {}",
        after.shares(&before)
    );
    took
}

async fn left(client: &Client) -> i64 {
    let row = client.query_one(LEFT, &[]).await;
    row.expect("a count").get(0)
}

const ROUTES: u32 = 8;
const ROUNDS: usize = 3;
const SETTLE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

/// What a change of the policy does, which has no delay, to all of them.
const MAKE_DUE: &str = "UPDATE deployments SET due_at = clock_timestamp(), \
    policy = jsonb_set(policy::jsonb, '{strategy,BlueGreen,auto_promote}', 'true')::text";

/// As a server would say it that changed them.
const SAY_SO: &str = "NOTIFY viridian_changed, 'anything'";

const LEFT: &str = "SELECT COUNT(*) FROM deployments WHERE lifecycle = 'DEPLOYING'";
