//! Promotions a second, in turns with the machine's floor.

use viridian_store::Store;
use viridian_strategy::DeploymentId;

use crate::{
    callers::{Calls, median},
    cpu::Spent,
    floor,
    stage::{Side, Stage},
};

/// Opens the database of a stage, with all its deployments at their gate.
pub(crate) async fn at_the_gate(stage: &mut Stage) -> Store {
    let db = Store::open(&stage.url).await.expect("it opens");
    stage.create(&db, DEPLOYMENTS, ROUTES).await;
    stage.deploy(&db).await;
    stage.keep().await;
    stage.number().await;
    stage
        .execute("CREATE TABLE floor (id integer, n integer)")
        .await;
    db
}

/// Promotes all deployments of a stage by 1, 8 and 32 callers, and prints a table.
pub(crate) async fn promotions<F, C>(stage: &Stage, title: &str, promote: F)
where
    F: Fn(DeploymentId) -> C + Clone + Send + 'static,
    C: Future<Output = ()> + Send,
{
    tell(&format!(
        "\n{title}; {DEPLOYMENTS} deployments of {ROUTES} + {ROUTES} routes, medians of {ROUNDS}"
    ));
    tell(HEAD);
    for callers in [1, 8, 32] {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(Round::of(stage, callers, promote.clone()).await);
        }
        let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
        tell(&format!(
            "{callers:7}  {:9.0} {:9.0}  {:8.3}  {:9.0} {:6.2}  {:5.2} ms {:5.2} ms  {:6.0} us {:6.0} us",
            of(|it| it.rate),
            of(|it| it.floor),
            of(|it| it.rate / it.floor),
            of(|it| it.by_hand),
            of(|it| it.rate / it.by_hand),
            of(|it| it.p50) * 1e3,
            of(|it| it.p99) * 1e3,
            of(|it| it.here),
            of(|it| it.there),
        ));
    }
}

/// The result of a round: rates a second, latencies in seconds, and the CPU time of a
/// promotion in this process and in the database, in microseconds.
struct Round {
    rate: f64,
    floor: f64,
    /// Not a number on SQLite.
    by_hand: f64,
    p50: f64,
    p99: f64,
    here: f64,
    there: f64,
}

impl Round {
    async fn of<F, C>(stage: &Stage, callers: usize, promote: F) -> Self
    where
        F: Fn(DeploymentId) -> C + Clone + Send + 'static,
        C: Future<Output = ()> + Send,
    {
        stage.rewind().await;
        let floor = match &stage.side {
            Side::Postgres(_) => floor::pgbench(&stage.url, callers),
            Side::Sqlite(_) => floor::sqlite(),
        };
        let count = if callers == 1 {
            DEPLOYMENTS / 4
        } else {
            DEPLOYMENTS
        };
        let ids = stage.ids.clone();
        let before = Spent::until_now(stage).await;
        let calls = Calls::make(callers, count, move |number| promote(ids[number])).await;
        let [here, there] = Spent::until_now(stage).await.for_each(before, count);
        let by_hand = match &stage.side {
            Side::Postgres(_) => {
                stage.rewind().await;
                floor::by_hand(&stage.url, callers, DEPLOYMENTS)
            }
            Side::Sqlite(_) => f64::NAN,
        };
        Self {
            rate: calls.a_second,
            floor,
            by_hand,
            p50: calls.percentile(50).as_secs_f64(),
            p99: calls.percentile(99).as_secs_f64(),
            here,
            there,
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figures")]
pub(crate) fn tell(what: &str) {
    println!("{what}");
}

const HEAD: &str = "callers  promote/s   floor/s  of floor  by hand/s  of it      p50      p99  \
                    CPU here, database";
const DEPLOYMENTS: usize = 3_000;
const ROUTES: u32 = 4;
const ROUNDS: usize = 3;
