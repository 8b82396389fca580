//! The store's rates compared with the machine's floor, and the cost of reconciling many
//! deployments: `scripts/bench-store`.

mod callers;
mod cpu;
mod floor;
mod promotions;
mod sets;
mod stage;

use std::{env, time::Instant};

use mimalloc::MiMalloc;
use uuid::Uuid;
use viridian_store::{FailureBackoff, Request, RequestContext, RequestId, Store};
use viridian_strategy::DeploymentId;

use self::{
    promotions::{at_the_gate, promotions, tell},
    stage::{Side, Stage, call},
};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = env::args().skip(1).collect();
    let is_wanted = |name: &str| {
        let mut named = wanted
            .iter()
            .filter(|word| !word.starts_with('-'))
            .peekable();
        named.peek().is_none() || named.any(|word| word == name)
    };
    if is_wanted("promote") {
        promote(Stage::on_postgres().await, "PostgreSQL, floor: pgbench").await;
        promote(Stage::on_sqlite(), "SQLite FULL, floor: a lone connection").await;
    }
    if is_wanted("sets") {
        sets::sets(Stage::on_postgres().await, "PostgreSQL").await;
        sets::sets(Stage::on_sqlite(), "SQLite FULL").await;
    }
    if is_wanted("cycle") {
        cycle().await;
    }
}

async fn promote(mut stage: Stage, floor: &str) {
    let db = at_the_gate(&mut stage).await;
    promotions(&stage, floor, move |id| promote_one(db.clone(), id)).await;
}

async fn promote_one(db: Store, id: DeploymentId) {
    let terms = RequestContext {
        request: Some(Request {
            id: RequestId(Uuid::now_v7()),
            method: "Promote",
            fingerprint: vec![7; 32],
        }),
        ..call()
    };
    let promoted = db.complete_manual_promote(id, None, &terms).await;
    promoted.expect("it is promoted");
}

/// Reconciles all deployments: once to change their state only, and once to create routes.
async fn cycle() {
    tell(&format!(
        "\nPostgreSQL, passes over deployments of {CYCLE_ROUTES} routes, {CHUNK} at once; database \
         time is the total_exec_time of pg_stat_statements"
    ));
    tell("deployments  pass      load     write    others     wall");
    let mut before: Option<[f64; 2]> = None;
    for deployments in [1_000, 10_000] {
        let mut stage = Stage::on_postgres().await;
        let db = Store::open(&stage.url).await.expect("it opens");
        stage
            .execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            .await;
        stage.create_only(&db, deployments, CYCLE_ROUTES).await;
        // Creating the deployments made them due, and no reconcile has run yet.
        stage.report(&db).await;
        let moved = pass(&stage, &db, "move", deployments).await;
        stage.activate(&db).await;
        let created = pass(&stage, &db, "create", deployments).await;
        if let Some([move_before, create_before]) = before {
            tell(&format!(
                "ten times as many take {:.1} and {:.1} times the database time",
                moved / move_before,
                created / create_before
            ));
        }
        before = Some([moved, created]);
    }
}

/// Reconciles all once. Returns the database time in milliseconds.
async fn pass(stage: &Stage, db: &Store, name: &str, deployments: usize) -> f64 {
    for table in ["deployments", "routes", "history", "events", "assignments"] {
        stage.execute(&format!("VACUUM ANALYZE {table}")).await;
    }
    stage.execute("CHECKPOINT").await;
    stage.execute("SELECT pg_stat_statements_reset()").await;
    let begin = Instant::now();
    let mut done = 0;
    while done < deployments {
        let pass = db.reconcile_due(CHUNK, &FailureBackoff::default()).await;
        let pass = pass.expect("it goes through");
        assert!(!pass.done.is_empty(), "all are due");
        done += pass.done.len();
    }
    let wall = begin.elapsed();
    let Side::Postgres(client) = &stage.side else {
        panic!("it is asked of PostgreSQL");
    };
    let mut times = [0.0; 3];
    for row in client.query(TIMES, &[]).await.expect("the times") {
        let kind: i32 = row.get(0);
        let time: f64 = row.get(1);
        times[usize::try_from(kind).expect("a kind")] = time;
    }
    let [load, write, others] = times;
    tell(&format!(
        "{deployments:11}  {name:6} {load:5.0} ms  {write:5.0} ms  {others:5.0} ms  {:5.0} ms",
        wall.as_secs_f64() * 1e3
    ));
    times.iter().sum()
}

const CYCLE_ROUTES: u32 = 8;
/// Reconciles as the coordinator does.
const CHUNK: u32 = 200;

/// By kind: what loads, what writes, and the rest.
const TIMES: &str = "\
    SELECT CASE WHEN query LIKE 'SELECT \"deployments\"%' OR query LIKE 'SELECT \"routes\"%' THEN 0 \
                WHEN query LIKE 'WITH w0%' THEN 1 ELSE 2 END AS kind, SUM(total_exec_time) \
    FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid \
    WHERE datname = current_database() AND query NOT LIKE '%pg_stat_statements%' GROUP BY kind";
