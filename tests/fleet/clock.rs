//! A server whose clock is off by an hour. Timers follow the clock of the database.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use rstest::rstest;
use viridian_proto::v1::{BlueGreenSpec, DeploymentPolicy};

use super::{record::DatabaseRecord, servers::Servers};
use crate::harness::{
    Engine, GROUP, REFERENCE, ScriptedScheduler, TestDatabase, blue_green, creation, seconds,
};

#[rstest]
#[case::ahead("+1h")]
#[case::behind("-1h")]
#[tokio::test]
async fn timers_are_those_of_the_database(#[case] off: &'static str) {
    let database = TestDatabase::create(Engine::Postgres).await;
    let since = DatabaseRecord::open(database.url()).await.now().await;
    let servers = Servers::start(database.url(), &[Some(off)]).await;
    let server = servers.all().next().expect("there is one");
    let api = server.api().await;
    let fleet = ScriptedScheduler::start(&api, GROUP);
    let delayed = BlueGreenSpec {
        auto_promote: true,
        promote_delay: seconds(WAIT.as_secs_f64()),
        ..BlueGreenSpec::default()
    };
    let policy = DeploymentPolicy {
        drain_grace: seconds(WAIT.as_secs_f64()),
        ..blue_green(delayed)
    };
    api.create(creation(1, policy))
        .await
        .expect("it is created");
    let first = api
        .until(REFERENCE, "the first revision", |it| {
            it.blue.unwrap_or_default().ready == 1
        })
        .await;
    let blue = api.list_routes(REFERENCE).await.remove(0);
    api.create_revision(REFERENCE, true)
        .await
        .expect("it is activated");
    let gate = api
        .until(REFERENCE, "the delay", |it| {
            it.blockers.iter().any(|it| it.until_time.is_some())
        })
        .await;
    let due = gate.blockers.iter().find_map(|it| it.until_time);
    let promoted = api
        .until(REFERENCE, "the promotion", |it| {
            it.current_revision_id != first.current_revision_id
        })
        .await;
    let (due, at) = (time(due), time(promoted.promote_time));
    let late = at.duration_since(due).expect("not before its time");
    assert!(late < HALF_OFFSET, "it was promoted {late:?} late");
    let real = SystemTime::now().duration_since(at).expect("in the past");
    assert!(real < HALF_OFFSET, "{real:?} ago");

    fleet.stopped(&blue.id).await;
    let since_promoted = SystemTime::now().duration_since(at).expect("in the past");
    assert!(since_promoted >= WAIT, "stopped after {since_promoted:?}");
    assert!(since_promoted < HALF_OFFSET, "{since_promoted:?}");
    let record = DatabaseRecord::open(database.url()).await;
    record.is_of_one_clock(&since).await;
    drop(servers);
}

fn time(time: Option<Timestamp>) -> SystemTime {
    time.expect("a time").try_into().expect("a time")
}

const WAIT: Duration = Duration::from_secs(1);

/// Half of what the clock is off by. Tells the two clocks apart, and is far more than
/// a test may take at all.
const HALF_OFFSET: Duration = Duration::from_secs(30 * 60);
