//! Health of which nobody speaks, and when something was last reported.

use std::time::Duration;

use rstest_reuse::apply;
use viridian_strategy::{DeploymentId, RouteHealth, RouteId, RouteStatus};

use super::{
    broken::refuse_events,
    fixture::{Engine, Fixture, call, engines, manual},
    invariants,
    virtual_time::VirtualTime,
};
use crate::{
    LastReport, Projects, Retention, Silenced, Store, Tables, transaction::UnitTransaction,
};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn who_is_spoken_of_stays_healthy_and_the_others_are_not_checked(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let id = fixture.ready(3, manual()).await;
    let routes = ids(&fixture, id).await;
    fixture.health(&routes[2..], RouteHealth::Degraded).await;
    fixture.settle().await;
    let before = fixture.get(id).await;
    time.pass(SILENCE).await;
    note(&fixture, &routes[..1]).await;
    assert_eq!(end(&fixture, SILENCE + SECOND).await, [], "not yet");
    time.pass(SECOND).await;

    assert_eq!(end(&fixture, SILENCE + SECOND).await, routes[1..2]);
    let health = [
        RouteHealth::Healthy,
        RouteHealth::NotChecked,
        RouteHealth::Degraded,
    ];
    assert_eq!(healths(&fixture, id).await, health);
    let after = fixture.get(id).await;
    assert_eq!(after.sequence, before.sequence + 1, "there is an event");
    assert_eq!(after.epoch, before.epoch + 1, "it takes no traffic");
    assert_eq!(after.generation, before.generation, "nobody asked for it");
    assert_eq!(after.status.blue.ready, 1);
    let table = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .traffic_tables(Tables::Of(vec![id]), Projects::All)
        .await;
    let table = table.expect("the table is read").remove(0);
    let listed: Vec<_> = table.endpoints.iter().map(|it| it.route).collect();
    assert_eq!(listed, routes[..1]);
    assert_eq!(fixture.pass().await.done, [], "a cycle has nothing to do");

    // Once is enough, and a report puts it right.
    assert_eq!(end(&fixture, SILENCE + SECOND).await, []);
    fixture.health(&routes[1..2], RouteHealth::Healthy).await;
    assert_eq!(fixture.get(id).await.status.blue.ready, 2);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn green_that_falls_silent_closes_the_gate(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let (id, green) = fixture.at_the_gate(1, manual()).await;
    time.pass(SILENCE).await;
    assert_eq!(end(&fixture, SILENCE).await.len(), 2);
    fixture.settle().await;
    let after = fixture.get(id).await;
    assert_eq!(
        after.state.sub_step(),
        Some(viridian_strategy::SubStep::Provisioning)
    );
    let green = fixture.routes_of(id, green).await;
    fixture.health(&green, RouteHealth::Healthy).await;
    fixture.settle().await;
    assert!(fixture.get(id).await.status.green.ready == 1);
    invariants::hold(&fixture).await;
}

/// Two servers hear of the same routes, and one of them is behind.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn the_later_report_counts_whoever_writes_it_down(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let id = fixture.ready(1, manual()).await;
    let routes = ids(&fixture, id).await;
    let begin = time.now();
    time.pass(SILENCE).await;
    let report = |status: Option<u64>, health: Option<u64>| LastReport {
        route: routes[0],
        status: status.map(|ago| time.now() - Duration::from_secs(ago)),
        health: health.map(|ago| time.now() - Duration::from_secs(ago)),
    };
    let mut last = Vec::new();
    for noted in [
        report(None, Some(20)),
        report(Some(10), Some(25)),
        report(Some(40), None),
        report(None, Some(5)),
    ] {
        let noted = fixture.db.note_reports(vec![noted]).await;
        noted.expect("it is written");
        let found = fixture
            .db
            .reader()
            .await
            .expect("a reader")
            .find_last_reports(routes.clone())
            .await;
        let found = found.expect("it is read");
        let [(route, at)] = found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(route, routes[0]);
        last.push(at.since(begin).as_secs());
    }
    let after = SILENCE.as_secs();
    assert_eq!(last, [after - 20, after - 10, after - 10, after - 5]);
    assert_eq!(end(&fixture, Duration::from_secs(6)).await, []);
    // That its scheduler speaks of it says nothing of its health.
    time.pass(SECOND).await;
    let report = LastReport {
        route: routes[0],
        status: Some(time.now()),
        health: None,
    };
    let noted = fixture.db.note_reports(vec![report]).await;
    noted.expect("it is written");
    assert_eq!(end(&fixture, Duration::from_secs(6)).await, routes);
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_or_unknown_is_not_noted_and_what_is_noted_goes_with_its_route(
    #[case] engine: Engine,
) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let mut routes = ids(&fixture, id).await;
    fixture.status(&routes[..1], RouteStatus::Terminated).await;
    routes.push(RouteId(uuid::Uuid::max()));
    note(&fixture, &routes).await;
    let noted = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .find_last_reports(routes.clone())
        .await;
    let noted: Vec<_> = noted.expect("it is read").iter().map(|it| it.0).collect();
    assert_eq!(noted, routes[1..2]);

    let deleted = fixture.db.delete_deployment(id, &call()).await;
    deleted.expect("it is deleted");
    let left = fixture.routes_in(id, RouteStatus::Terminating).await;
    fixture.status(&left, RouteStatus::Terminated).await;
    fixture.settle().await;
    time.pass(Duration::from_secs(60)).await;
    let all = "SELECT COUNT(*) AS n FROM last_reports";
    assert_eq!(fixture.number(all).await, 1);
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let retention = Retention::default();
    let pruned = fixture.db.prune_as_of(&retention, time.now() + year);
    assert_eq!(pruned.await.expect("it prunes").deployments, 1);
    assert_eq!(fixture.number(all).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_someone_holds_is_left_for_the_next_time() {
    let fixture = Fixture::new(Engine::Postgres).await;
    let mut all = Vec::new();
    for _ in 0..2 {
        all.push(fixture.ready(1, manual()).await);
    }
    let other = Store::open(&fixture.url).await.expect("a second server");
    let ended = fixture
        .db
        .write(async |tx: &mut UnitTransaction| {
            tx.lock(all[0]).await?;
            other.end_silent_health(Duration::ZERO).await
        })
        .await
        .expect("both go through");
    assert_eq!(ended.routes, ids(&fixture, all[1]).await);
    assert_eq!(
        end(&fixture, Duration::ZERO).await,
        ids(&fixture, all[0]).await
    );
}

/// It was spoken of after the look, and before the deployment was held.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_asked_once_more_under_the_lock() {
    let (mut time, fixture) = VirtualTime::new(Engine::Postgres).await;
    let id = fixture.ready(2, manual()).await;
    let routes = ids(&fixture, id).await;
    time.pass(SILENCE).await;
    let since = time.now();
    let looked: Vec<_> = routes.iter().map(|&route| (route, id)).collect();
    time.pass(SECOND).await;
    note(&fixture, &routes[..1]).await;
    let ended = fixture.db.silence(since, &looked).await;
    assert_eq!(ended.expect("it goes through").routes, routes[1..]);
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_broken_fails_alone(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(fixture.ready(1, manual()).await);
    }
    refuse_events(&fixture, engine, all[1]).await;
    let ended = fixture.db.end_silent_health(Duration::ZERO).await;
    let Silenced { routes, failed } = ended.expect("it goes through");
    let [(broken, _)] = &failed[..] else {
        panic!("{failed:?}")
    };
    assert_eq!(*broken, all[1]);
    let sound = [all[0], all[2]].map(|id| ids(&fixture, id));
    let sound = futures::future::join_all(sound).await.concat();
    assert_eq!(routes, sound);
}

/// Nobody writes anything for a report that changes nothing.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_report_writes_nothing_by_itself(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let footprint = fixture.footprint().await;
    fixture
        .health(&ids(&fixture, id).await, RouteHealth::Healthy)
        .await;
    assert_eq!(fixture.footprint().await, footprint);
    let all = "SELECT COUNT(*) AS n FROM last_reports";
    assert_eq!(fixture.number(all).await, 0);
}

async fn ids(fixture: &Fixture, id: DeploymentId) -> Vec<RouteId> {
    let routes = fixture.routes(id).await;
    routes.iter().map(|route| route.view.id).collect()
}

async fn healths(fixture: &Fixture, id: DeploymentId) -> Vec<RouteHealth> {
    let routes = fixture.routes(id).await;
    routes.iter().map(|route| route.view.health).collect()
}

/// Writes down that the health of routes is reported now.
async fn note(fixture: &Fixture, routes: &[RouteId]) {
    let now = fixture.db.now().await.expect("the time");
    let report = |&route| LastReport {
        route,
        status: None,
        health: Some(now),
    };
    let noted = fixture.db.note_reports(routes.iter().map(report).collect());
    noted.await.expect("it is written");
}

async fn end(fixture: &Fixture, silence: Duration) -> Vec<RouteId> {
    let ended = fixture.db.end_silent_health(silence).await;
    let Silenced { routes, failed } = ended.expect("it goes through");
    assert!(failed.is_empty(), "{failed:?}");
    routes
}

const SILENCE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
