//! Histories: eight clients write down each call and its answer while servers are killed, cut off
//! and lose their database, and a checker looks for an order of the calls that explains all
//! answers. `docs/storage.md` says how, and what a violation would be.

mod call;
mod checker;
mod client;
mod deployment;
mod history;
mod model;
mod planted;
mod run;
mod send;

use std::sync::Arc;

use crate::{
    harness::{Engine, TestDatabase, TestNetwork, count},
    partitions::on_network,
};

/// `VIRIDIAN_HISTORIES` says how many runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_are_linearizable_through_kills_on_sqlite() {
    let mut report = RunReport::default();
    for seed in 0..u64::from(count("VIRIDIAN_HISTORIES", 20)) {
        let database = TestDatabase::create(Engine::Sqlite).await;
        let history = run::run_with_kills(database.url(), 1, seed).await;
        report.add(seed, &history);
    }
    report.print("SQLite");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_are_linearizable_through_kills_on_postgres() {
    let mut report = RunReport::default();
    for seed in 0..u64::from(count("VIRIDIAN_HISTORIES", 20)) {
        let database = TestDatabase::create(Engine::Postgres).await;
        let history = run::run_with_kills(database.url(), 2, seed).await;
        report.add(seed, &history);
    }
    report.print("PostgreSQL");
}

/// A tenth as many: each has a primary and a standby of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_are_linearizable_through_failovers() {
    let mut report = RunReport::default();
    for seed in 0..u64::from(count("VIRIDIAN_HISTORIES", 20) / 10) {
        report.add(seed, &run::run_with_failover(seed).await);
    }
    report.print("PostgreSQL, with failovers");
}

/// The same, with network namespaces.
#[test]
fn histories_are_linearizable_through_partitions() {
    let mut report = RunReport::default();
    for seed in 0..u64::from(count("VIRIDIAN_HISTORIES", 20) / 10) {
        on_network(async |hosts: Arc<TestNetwork>| {
            report.add(seed, &run::run_with_partitions(&hosts, seed).await);
        });
    }
    report.print("PostgreSQL, with partitions");
}

/// What the runs of a test came to.
#[derive(Default)]
struct RunReport {
    runs: usize,
    calls: usize,
    unanswered: usize,
}

impl RunReport {
    /// # Panics
    ///
    /// If the history has a violation, or too few calls to mean anything.
    fn add(&mut self, seed: u64, history: &history::History) {
        let (calls, unanswered) = history.counts();
        assert!(calls >= run::CALLS, "seed {seed}: {calls} calls");
        if let Some(violation) = history.violation() {
            panic!("seed {seed}: not linearizable: {violation}");
        }
        self.runs += 1;
        self.calls += calls;
        self.unanswered += unanswered;
    }

    #[expect(clippy::print_stdout, reason = "figures, not conditions")]
    fn print(&self, engine: &str) {
        let Self {
            runs,
            calls,
            unanswered,
        } = self;
        println!("{engine}: {runs} runs, {calls} calls, {unanswered} of them without an answer");
    }
}
