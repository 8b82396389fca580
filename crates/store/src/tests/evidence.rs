//! What a decision rests on: where a route listens, what was seen of it last, and in
//! which session.

use std::time::Duration;

use rstest_reuse::apply;
use viridian_strategy::{
    Blocker, BlockerCode, DeploymentId, RouteHealth, RouteId, RouteStatus, SubStep, Timestamp,
    verbs::PromoteRejection,
};

use super::{
    fixture::{Engine, Fixture, automatic, blue_green, call, engines, manual, report},
    invariants,
    virtual_time::VirtualTime,
};
use crate::{
    AddressError, HealthReport, Projects, PromoteRefusal, ReportError, Route, RouteAddress, Status,
    StatusReport, Tables, UnitError,
};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a1_an_address_that_is_none_is_refused_in_its_own_result(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    fixture.deploy(id).await;
    let green = fixture.routes_in(id, RouteStatus::Provisioning).await;
    let reports = vec![at(green[0], "::1:8080"), at(green[1], "[::1]:8080")];
    let results = fixture.db.report_statuses(reports).await;
    let refused = Err(ReportError::InvalidAddress(AddressError::Host));
    assert_eq!(results.expect("the batch is taken"), [refused, Ok(())]);
    let routes = named(&fixture, &green).await;
    assert_eq!(routes[0].view.status, RouteStatus::Provisioning);
    assert_eq!(routes[0].address, None);
    assert_eq!(routes[1].view.status, RouteStatus::Running);

    // One that runs keeps the address that it has.
    let moved = vec![at(green[1], "h:80\n")];
    let results = fixture.db.report_statuses(moved).await;
    let refused = Err(ReportError::InvalidAddress(AddressError::Port));
    assert_eq!(results.expect("the batch is taken"), [refused]);
    let kept = named(&fixture, &green).await.remove(1).address;
    assert_eq!(kept.expect("one").as_str(), "[::1]:8080");
    // Of one that has ended it says nothing.
    let ended = StatusReport {
        status: RouteStatus::Terminated,
        ..at(green[1], "http://h:1")
    };
    let results = fixture.db.report_statuses(vec![ended]).await;
    assert_eq!(results.expect("the batch is taken"), [Ok(())]);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a1_two_running_routes_never_have_one_address(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let blue = fixture.routes_in(id, RouteStatus::Running).await;
    fixture.deploy(id).await;
    let green = fixture.routes_in(id, RouteStatus::Provisioning).await;
    // In one batch, and in another spelling.
    let batch = vec![at(green[0], "web.test:80"), at(green[1], "WEB.test:80")];
    let results = fixture.db.report_statuses(batch.clone()).await;
    let taken = |by| Err(ReportError::AddressTaken(by));
    assert_eq!(results.expect("taken"), [Ok(()), taken(green[0])]);
    // Nor one of blue, nor by a later change of the address.
    let of_blue = address(&fixture, blue[0]).await;
    let results = fixture
        .db
        .report_statuses(vec![at(green[1], &of_blue)])
        .await;
    assert_eq!(results.expect("taken"), [taken(blue[0])]);
    let results = fixture
        .db
        .report_statuses(vec![at(blue[1], "web.test:80")])
        .await;
    assert_eq!(results.expect("taken"), [taken(green[0])]);
    assert_ne!(address(&fixture, blue[1]).await, "web.test:80");
    // In another deployment it is another place.
    let other = fixture.ready(1, manual()).await;
    let others = fixture.routes_in(other, RouteStatus::Running).await;
    let results = fixture
        .db
        .report_statuses(vec![at(others[0], "web.test:80")])
        .await;
    assert_eq!(results.expect("taken"), [Ok(())]);

    // That it ends frees the address, also in one batch.
    let ends = report(green[0], RouteStatus::Terminating);
    let batch = vec![ends, batch[1].clone()];
    let results = fixture.db.report_statuses(batch).await;
    assert_eq!(results.expect("taken"), [Ok(()), Ok(())]);
    assert_eq!(address(&fixture, green[1]).await, "web.test:80");
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a1_a_route_without_an_address_serves_nothing(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(1, automatic(Duration::ZERO)).await;
    fixture.deploy(id).await;
    let green = fixture.routes_in(id, RouteStatus::Provisioning).await;
    let without = StatusReport {
        address: None,
        ..report(green[0], RouteStatus::Running)
    };
    let results = fixture.db.report_statuses(vec![without]).await;
    assert_eq!(results.expect("taken"), [Ok(())]);
    fixture.health(&green, RouteHealth::Healthy).await;
    fixture.settle().await;
    assert_eq!(sub_step(&fixture, id).await, Some(SubStep::Provisioning));
    assert_eq!(blockers(&fixture, id).await, [BlockerCode::NoAddress]);
    let refused = fixture.db.complete_manual_promote(id, None, &call()).await;
    assert_eq!(refusal(refused), [BlockerCode::NoAddress]);
    assert_eq!(fixture.get(id).await.status.green.ready, 0);

    // Once it is known, nothing else is missing: its health was reported.
    let results = fixture
        .db
        .report_statuses(vec![at(green[0], "web.test:80")])
        .await;
    assert_eq!(results.expect("taken"), [Ok(())]);
    fixture.settle().await;
    assert_eq!(sub_step(&fixture, id).await, None, "promoted");
    assert_eq!(table(&fixture, id).await, ["web.test:80"]);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a6_the_later_observation_wins(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let id = fixture.ready(1, manual()).await;
    let route = fixture.routes_in(id, RouteStatus::Running).await[0];
    let begin = time.now();
    time.pass(SECOND * 60).await;
    let seen = |health, seconds| HealthReport {
        observed_at: Some(begin + SECOND * seconds),
        ..HealthReport::new(route, health)
    };
    let (healthy, unhealthy) = (RouteHealth::Healthy, RouteHealth::Unhealthy);
    let later = |seconds, health| {
        Err(ReportError::Outdated {
            latest: begin + SECOND * seconds,
            health,
        })
    };
    assert_eq!(one(&fixture, seen(unhealthy, 10)).await, Ok(()));
    assert_eq!(one(&fixture, seen(healthy, 5)).await, later(10, unhealthy));
    // The same in one batch, and what it agrees with holds.
    let batch = vec![seen(healthy, 8), seen(unhealthy, 7)];
    let results = fixture.db.report_health(batch).await.expect("taken");
    assert_eq!(results, [later(10, unhealthy), Ok(())]);
    // One that only repeats it is not written down, and counts all the same.
    assert_eq!(one(&fixture, seen(unhealthy, 20)).await, Ok(()));
    assert_eq!(one(&fixture, seen(healthy, 15)).await, later(20, unhealthy));
    fixture
        .db
        .flush_last_reports()
        .await
        .expect("it is written");
    let fixture = time.restart(fixture).await;
    assert_eq!(one(&fixture, seen(healthy, 15)).await, later(20, unhealthy));
    assert_eq!(health(&fixture, route).await, unhealthy);
    assert_eq!(one(&fixture, seen(healthy, 20)).await, Ok(()), "at once");

    // The future is now, and so is no time.
    assert_eq!(one(&fixture, seen(unhealthy, 3_600)).await, Ok(()));
    let now = time.now().since(begin).as_secs() as u32;
    assert_eq!(
        one(&fixture, seen(healthy, now - 1)).await,
        later(now, unhealthy)
    );
    assert_eq!(
        one(&fixture, HealthReport::new(route, healthy)).await,
        Ok(())
    );
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a6_a_health_is_of_a_session(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let routes = fixture.routes_in(id, RouteStatus::Running).await;
    let route = routes[0];
    let before = time.now();
    let of = |session: &str, health| HealthReport {
        session_id: session.into(),
        ..HealthReport::new(route, health)
    };
    let unhealthy = RouteHealth::Unhealthy;
    let refused = one(&fixture, of("another", unhealthy)).await;
    assert_eq!(refused, Err(ReportError::OtherSession { known: true }));
    assert_eq!(health(&fixture, route).await, RouteHealth::Healthy);

    // A new session, and a new address: neither is known to be healthy.
    time.pass(SECOND).await;
    let session = StatusReport {
        session_id: "new".into(),
        ..report(route, RouteStatus::Running)
    };
    let moved = at(routes[1], "moved.test:80");
    let reports = vec![session.clone(), moved.clone()];
    let results = fixture.db.report_statuses(reports).await;
    assert_eq!(results.expect("taken"), [Ok(()), Ok(())]);
    for &route in &routes {
        assert_eq!(health(&fixture, route).await, RouteHealth::NotChecked);
    }
    assert_eq!(table(&fixture, id).await, [""; 0], "nor may they fail open");
    // Once more is no news.
    fixture.health(&routes, RouteHealth::Healthy).await;
    let results = fixture.db.report_statuses(vec![session, moved]).await;
    assert_eq!(results.expect("taken"), [Ok(()), Ok(())]);
    assert_eq!(health(&fixture, route).await, RouteHealth::Healthy);

    // What was seen before, or of the session before, says nothing about this one.
    let late = HealthReport {
        observed_at: Some(before),
        ..HealthReport::new(route, unhealthy)
    };
    let result = one(&fixture, late).await;
    assert!(
        matches!(result, Err(ReportError::Outdated { .. })),
        "{result:?}"
    );
    assert!(one(&fixture, of("s", unhealthy)).await.is_err());
    // Nor does the end of that one.
    let ended = report(route, RouteStatus::Terminated);
    let results = fixture.db.report_statuses(vec![ended]).await;
    let refused = Err(ReportError::OtherSession { known: true });
    assert_eq!(results.expect("taken"), [refused]);
    assert_eq!(one(&fixture, of("new", unhealthy)).await, Ok(()));
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a10_a_replica_that_still_loads_is_in_no_table(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(1, manual()).await;
    let blue = fixture.routes_in(id, RouteStatus::Running).await;
    // A crash: what replaces it takes traffic once it is HEALTHY, and not while it loads.
    fixture.status(&blue, RouteStatus::Terminated).await;
    fixture.settle().await;
    let new = fixture.routes_in(id, RouteStatus::Provisioning).await;
    fixture.status(&new, RouteStatus::Running).await;
    assert_eq!(table(&fixture, id).await, [""; 0]);
    fixture.health(&new, RouteHealth::Unhealthy).await;
    assert_eq!(table(&fixture, id).await, [""; 0]);
    fixture.health(&new, RouteHealth::Healthy).await;
    assert_eq!(table(&fixture, id).await.len(), 1);
    // From then on it fails open.
    for health in [RouteHealth::Degraded, RouteHealth::NotChecked] {
        fixture.health(&new, health).await;
        assert_eq!(table(&fixture, id).await.len(), 1, "{health:?}");
        invariants::hold(&fixture).await;
    }
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c3_what_the_checker_says_is_on_the_route_and_in_the_blocker(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let blue = fixture.routes_in(id, RouteStatus::Running).await;
    let says = |route, health, detail: &str| HealthReport {
        detail: detail.into(),
        ..HealthReport::new(route, health)
    };
    let (degraded, unhealthy) = (RouteHealth::Degraded, RouteHealth::Unhealthy);
    fixture.deploy(id).await;
    let green = fixture.routes_in(id, RouteStatus::Provisioning).await;
    fixture.status(&green, RouteStatus::Running).await;
    let batch = vec![
        says(blue[0], unhealthy, "GET /blue: 500"),
        says(green[0], degraded, "slow"),
        says(green[1], unhealthy, "GET /nope: 404"),
    ];
    let results = fixture.db.report_health(batch).await;
    assert_eq!(results.expect("taken"), [Ok(()), Ok(()), Ok(())]);
    assert_eq!(detail(&fixture, green[1]).await, "GET /nope: 404");
    let sentence = sentence(&fixture, id).await;
    assert!(sentence.ends_with(" (GET /nope: 404)"), "{sentence}");
    let before = fixture.get(id).await.sequence;
    // A repeat without one keeps it; another one is news.
    fixture.health(&green[1..], unhealthy).await;
    assert_eq!(fixture.get(id).await.sequence, before);
    assert_eq!(
        one(&fixture, says(green[1], unhealthy, "GET /nope: 503")).await,
        Ok(())
    );
    assert_eq!(detail(&fixture, green[1]).await, "GET /nope: 503");
    fixture.health(&green, RouteHealth::Healthy).await;
    assert_eq!(detail(&fixture, green[1]).await, "");
    let aborted = fixture.db.abort_deployment(id, None, &call()).await;
    aborted.expect("it is aborted");
    fixture.settle().await;
    let sentence = sentence_of(&fixture, id, BlockerCode::RoutesNotReady).await;
    assert!(sentence.ends_with(" (GET /blue: 500)"), "{sentence}");
}

/// Nobody has to look for the route that failed: what it waits for says why.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c2_the_last_failure_is_in_the_blocker(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, blue_green(|_| {})).await;
    for failure in ["", "exited with status 3", "exited with status 7"] {
        let blue = fixture.routes_in(id, RouteStatus::Running).await[0];
        fail(&fixture, blue, RouteStatus::Terminated, failure).await;
        fixture.settle().await;
        fixture.bring_up(id, RouteHealth::Healthy).await;
    }
    let sentence = sentence_of(&fixture, id, BlockerCode::BackOff).await;
    assert!(
        sentence.ends_with("; the last one: exited with status 7"),
        "{sentence}"
    );

    let id = fixture
        .ready(2, blue_green(|spec| spec.max_replacements = Some(0)))
        .await;
    fixture.deploy(id).await;
    let green = fixture.routes_in(id, RouteStatus::Provisioning).await;
    fail(&fixture, green[0], RouteStatus::FailedToStart, "").await;
    fixture.settle().await;
    let sentence = sentence_of(&fixture, id, BlockerCode::GreenFailed).await;
    assert!(
        sentence.ends_with("; 1 failed"),
        "nothing was reported: {sentence}"
    );
    let id = fixture
        .ready(2, blue_green(|spec| spec.max_replacements = Some(0)))
        .await;
    fixture.deploy(id).await;
    let green = fixture.routes_in(id, RouteStatus::Provisioning).await;
    fail(
        &fixture,
        green[0],
        RouteStatus::FailedToStart,
        "no such command",
    )
    .await;
    fixture.settle().await;
    let sentence = sentence_of(&fixture, id, BlockerCode::GreenFailed).await;
    assert!(
        sentence.ends_with("; 1 failed; the last one: no such command"),
        "{sentence}"
    );
}

/// Blue may fail as well as green: the detail is of the one whose failures were looked at.
#[test]
fn c2_a_failure_explains_one_blocker_and_no_other() {
    let green = Blocker::GreenFailed {
        failed: 1,
        ready: 0,
        target: 1,
    };
    let blue = Blocker::BackOff {
        failures: 3,
        until: Timestamp::from_micros(0),
    };
    let status = Status {
        blockers: [green, blue].into_iter().collect(),
        failure_detail: "no such image".to_owned(),
        ..Status::default()
    };
    assert!(
        status
            .sentence(&green)
            .ends_with("; the last one: no such image")
    );
    assert_eq!(status.sentence(&blue), blue.to_string());
}

async fn fail(fixture: &Fixture, route: RouteId, status: RouteStatus, failure: &str) {
    let failed = StatusReport {
        failure: failure.into(),
        ..report(route, status)
    };
    let results = fixture.db.report_statuses(vec![failed]).await;
    assert_eq!(results.expect("the batch is taken"), [Ok(())]);
}

async fn sentence(fixture: &Fixture, id: DeploymentId) -> String {
    sentence_of(fixture, id, BlockerCode::GreenUnhealthy).await
}

async fn sentence_of(fixture: &Fixture, id: DeploymentId, code: BlockerCode) -> String {
    let status = fixture.get(id).await.status;
    let blocker = status.blockers.iter().find(|it| it.code() == code);
    status.sentence(blocker.expect("it waits for that"))
}

async fn detail(fixture: &Fixture, route: RouteId) -> String {
    named(fixture, &[route]).await.remove(0).health_detail
}

async fn health(fixture: &Fixture, route: RouteId) -> RouteHealth {
    named(fixture, &[route]).await[0].view.health
}

async fn address(fixture: &Fixture, route: RouteId) -> String {
    let address = named(fixture, &[route]).await.remove(0).address;
    address.expect("it has one").to_string()
}

/// Routes as they are, in this order.
async fn named(fixture: &Fixture, ids: &[RouteId]) -> Vec<Route> {
    let mut reader = fixture.db.reader().await.expect("a reader");
    let found = reader
        .find_routes(ids.to_vec())
        .await
        .expect("they are read");
    let of = |id| found.iter().find(|it| it.view.id == id).cloned();
    ids.iter().map(|&id| of(id).expect("it is there")).collect()
}

async fn one(fixture: &Fixture, report: HealthReport) -> Result<(), ReportError> {
    let results = fixture.db.report_health(vec![report]).await;
    results.expect("it is taken").remove(0)
}

fn at(route: RouteId, address: &str) -> StatusReport {
    StatusReport {
        address: Some(RouteAddress::parse(address)),
        ..report(route, RouteStatus::Running)
    }
}

/// The addresses that the traffic table lists.
pub(super) async fn table(fixture: &Fixture, id: DeploymentId) -> Vec<String> {
    let mut reader = fixture.db.reader().await.expect("a reader");
    let tables = reader.traffic_tables(Tables::Of(vec![id]), Projects::All);
    let table = tables.await.expect("it is read").remove(0);
    table.endpoints.into_iter().map(|it| it.address).collect()
}

pub(super) async fn blockers(fixture: &Fixture, id: DeploymentId) -> Vec<BlockerCode> {
    let blockers = fixture.get(id).await.status.blockers;
    blockers.iter().map(|it| it.code()).collect()
}

pub(super) async fn sub_step(fixture: &Fixture, id: DeploymentId) -> Option<SubStep> {
    fixture.get(id).await.state.sub_step()
}

pub(super) fn refusal<T>(refused: Result<T, UnitError<PromoteRefusal>>) -> Vec<BlockerCode> {
    match refused {
        Err(UnitError::Refused(PromoteRefusal::Rules(PromoteRejection::Blocked(blockers)))) => {
            blockers.iter().map(|it| it.code()).collect()
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it is promoted"),
    }
}

/// When the health of a route was last observed, as its row has it.
pub(super) async fn observed_at(fixture: &Fixture, route: RouteId) -> Timestamp {
    let observed = named(fixture, &[route]).await[0].view.health_observed_at;
    observed.expect("it was observed")
}

const SECOND: Duration = Duration::from_secs(1);
