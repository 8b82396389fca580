//! What deployments cost in which nothing happens.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::Client;
use viridian_store::{Store, check};

use crate::{
    harness::Server,
    part,
    process::{Spent, resident},
    stage::{Side, Stage},
};

pub(crate) async fn run() {
    for deployments in [10, part(100_000)] {
        measure(deployments).await;
    }
}

async fn measure(deployments: usize) {
    let mut stage = Stage::on_postgres().await;
    let database = Store::open(&stage.url).await.expect("it opens");
    // By the units of work that the services have it done by.
    stage.create(&database, deployments, 1).await;
    drop(database);
    let found = check(&stage.url, Some(Duration::from_secs(1))).await;
    assert_eq!(found.expect("it can be checked").violations, []);
    let Side::Postgres(client) = &stage.side else {
        panic!("it is in PostgreSQL")
    };
    let is_ready = "SELECT COUNT(*) FROM deployments WHERE lifecycle = 'READY' AND due_at IS NULL";
    let ready = client.query_one(is_ready, &[]).await.expect("a count");
    assert_eq!(usize::try_from(ready.get::<_, i64>(0)), Ok(deployments));
    let prepare = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements; \
                   VACUUM ANALYZE deployments; VACUUM ANALYZE routes; CHECKPOINT";
    for statement in prepare.split("; ") {
        client.batch_execute(statement).await.expect(statement);
    }

    let server = Server::at(&stage.url, |_| {}).await;
    // What a server does once when it starts is not what is asked.
    sleep(SETTLE).await;
    let reset = "SELECT pg_stat_statements_reset()";
    client.batch_execute(reset).await.expect("it is reset");
    let before = Spent::until_now(&[server.pid()], client).await;
    sleep(WHILE).await;
    let after = Spent::until_now(&[server.pid()], client).await;
    println!(
        "{deployments} READY deployments, idle for {WHILE:?}: {}, resident {:.0} MB",
        after.shares(&before),
        resident(server.pid())
    );
    tell_statements(client).await;
}

async fn tell_statements(client: &Client) {
    for row in client.query(STATEMENTS, &[]).await.expect("statements") {
        let (calls, each): (i64, f64) = (row.get(0), row.get(1));
        let text: String = row.get(2);
        let a_second = calls as f64 / WHILE.as_secs_f64();
        let text: Vec<&str> = text.split_whitespace().collect();
        let text: String = text.join(" ").chars().take(100).collect();
        println!("    {a_second:.2} a second, {each:.3} ms each: {text}");
    }
}

const SETTLE: Duration = Duration::from_secs(5);
const WHILE: Duration = Duration::from_secs(60);

const STATEMENTS: &str = "\
    SELECT calls, mean_exec_time, query FROM pg_stat_statements \
    JOIN pg_database ON pg_database.oid = dbid \
    WHERE datname = current_database() AND query NOT LIKE '%pg_stat_%' \
    ORDER BY total_exec_time DESC";
