//! A health checker that falls silent: its routes are visible as such, and a
//! health of which nobody speaks is not believed for ever.

use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use prost_types::Timestamp;
use rstest::rstest;
use rstest_reuse::apply;
use tokio::time::Instant;
use viridian_proto::v1::{
    Route,
    RouteHealthStatus::{self, Healthy, NotChecked},
};

use crate::{
    engines::both_engines,
    harness::{Engine, METRICS, REFERENCE, Server, TestEnv, eventually, hold_for, manual},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_hears_the_other_believes_until_it_is_silent() {
    let flags = [&METRICS[..], &["--health-ttl", "2s"]].concat();
    let env = TestEnv::on(Server::start_with(Engine::Postgres, &flags).await).await;
    let second = env.server.beside_with(&flags).await;
    let other = second.api().await;
    let serving = env.serving(2, manual()).await;
    let routes = env.routes().await;
    // More than twice as long as it would take.
    hold_for(Duration::from_secs(6), async || {
        env.api.see(&routes, Healthy).await;
        let blue = other.get(REFERENCE).await.blue.expect("counts");
        assert_eq!(blue.ready, 2);
    })
    .await;
    let now = other.get(REFERENCE).await;
    assert_eq!(now.sequence, serving.sequence, "nothing was written of it");
    let spoken = env.api.list_spoken_routes(REFERENCE).await;
    eventually("the last report to be known to both", async || {
        let known = other.list_spoken_routes(REFERENCE).await;
        let same = spoken.iter().zip(&known).all(|(one, two)| {
            let (one, two) = (last_report(one), last_report(two));
            one.abs_diff(two) < 1_000_000
        });
        same.then_some(())
    })
    .await;

    let silent = other
        .until(REFERENCE, "doubt", |it| {
            it.blue.unwrap_or_default().ready == 0
        })
        .await;
    assert!(silent.sequence > now.sequence);
    let routes = other.list_routes(REFERENCE).await;
    assert_eq!(healths(&routes), [NotChecked; 2]);
    let table = other.table(REFERENCE).await;
    assert_eq!(
        table.endpoints.len(),
        2,
        "both still serve: no other is better"
    );
    eventually("each to be counted once", async || {
        let mut silenced = 0.0;
        for server in [&env.server, &second] {
            let metrics = server.metrics().await;
            silenced += metrics.value("viridian_health_silenced_total");
        }
        (silenced == 2.0).then_some(())
    })
    .await;

    env.api.see(&routes, Healthy).await;
    let back = other.get(REFERENCE).await;
    assert_eq!(back.blue.expect("counts").ready, 2);
}

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_counts_from_its_own_start(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(2, manual()).await;
    let TestEnv {
        server, scheduler, ..
    } = env;
    drop(scheduler);
    let database = server.killed();
    // The server has been away for long.
    database
        .execute(
            "UPDATE routes SET health_updated_at = '2026-01-01T00:00:00.000000Z'; \
             DELETE FROM last_reports",
        )
        .await;
    let begin = Instant::now();
    let silence = Duration::from_secs(2);
    let server = Server::on_with(database, |command| {
        // The former name of the flag.
        command.args(["--health-silence", "2s"]);
    })
    .await;
    let api = server.api().await;
    let all = async || healths(&api.list_routes(REFERENCE).await);
    assert_eq!(all().await, [Healthy; 2]);
    eventually("doubt", async || {
        (all().await == [NotChecked; 2]).then_some(())
    })
    .await;
    assert!(begin.elapsed() >= silence, "after {:?}", begin.elapsed());
}

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_report_is_told_whether_or_not_it_changed_anything(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(1, manual()).await;
    let spoken = async || env.api.list_spoken_routes(REFERENCE).await;
    let routes = spoken().await;
    let first = last_report(&routes[0]);
    assert!(first.abs_diff(now()) < 60_000_000, "{routes:?}");
    let sequence = env.get().await.sequence;
    let later = eventually("a later report", async || {
        env.api.see(&routes, Healthy).await;
        let last = last_report(&spoken().await[0]);
        (last > first).then_some(last)
    })
    .await;
    assert_eq!(env.get().await.sequence, sequence, "nothing changed");

    // It is written down when the server ends in good order.
    let TestEnv {
        mut server,
        scheduler,
        ..
    } = env;
    drop(scheduler);
    server.signal(Signal::SIGTERM);
    assert!(server.ended().await.success());
    let server = server.restart().await;
    let known = server.api().await.list_spoken_routes(REFERENCE).await;
    assert!(
        last_report(&known[0]).abs_diff(later) < 1_000_000,
        "{known:?}"
    );
    assert_eq!(healths(&known), [Healthy], "nobody said when to doubt it");
}

fn healths(routes: &[Route]) -> Vec<RouteHealthStatus> {
    routes.iter().map(Route::health).collect()
}

/// In microseconds.
fn last_report(route: &Route) -> i64 {
    let Timestamp { seconds, nanos } = route.last_report_time.expect("there was one");
    seconds * 1_000_000 + i64::from(nanos) / 1_000
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(now.expect("it is later").as_micros()).expect("not that late")
}
