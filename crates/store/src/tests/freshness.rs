//! A decision never rests on a health that is older than the health TTL, whichever
//! server makes it; and a fleet that reports often enough neither waits nor writes for it.

use std::time::Duration;

use rstest_reuse::apply;
use viridian_strategy::{
    BlockerCode, DeploymentId, Policy, RouteHealth, RouteId, RouteStatus, SubStep,
};

use super::{
    evidence::{blockers, observed_at, refusal, sub_step},
    fixture::{Engine, Fixture, amend, automatic, call, engines, manual},
    invariants,
    virtual_time::VirtualTime,
};
use crate::{HealthReport, ReportError};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a5_a_server_that_starts_does_not_promote_on_a_health_that_nobody_confirms(
    #[case] engine: Engine,
) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let fixture = with_ttl(fixture);
    let (id, green) = fixture.at_the_gate(2, automatic(TTL * 2)).await;
    time.pass(TTL * 3).await;
    let fixture = with_ttl(time.restart(fixture).await);
    fixture.settle().await;
    assert_eq!(
        sub_step(&fixture, id).await,
        Some(SubStep::AwaitingPromotion)
    );
    assert_eq!(blockers(&fixture, id).await, [BlockerCode::HealthStale]);
    let refused = fixture.db.complete_manual_promote(id, None, &call()).await;
    assert_eq!(refusal(refused), [BlockerCode::HealthStale]);

    let green = fixture.routes_of(id, green).await;
    fixture.health(&green[..1], RouteHealth::Healthy).await;
    fixture.settle().await;
    assert_eq!(
        blockers(&fixture, id).await,
        [BlockerCode::HealthStale],
        "one is missing"
    );
    fixture.health(&green[1..], RouteHealth::Healthy).await;
    fixture.settle().await;
    assert_eq!(sub_step(&fixture, id).await, None, "promoted");
    assert_eq!(fixture.get(id).await.status.stale_promoted, 0);
    invariants::hold(&fixture).await;
}

/// The other one knows of reports to the first only by what is written down.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a5_another_server_decides_on_what_is_written_down(#[case] engine: Engine) {
    if matches!(engine, Engine::Sqlite) {
        // It has one server.
        return;
    }
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let fixture = with_ttl(fixture);
    let (id, _) = fixture.at_the_gate(1, manual()).await;
    let green = running(&fixture, id).await;
    let other = time.open(&fixture.url).await.with_health_ttl(Some(TTL));
    time.pass(TTL / 2 - SECOND).await;
    fixture.health(&green, RouteHealth::Healthy).await;
    time.pass(TTL / 2 + SECOND).await;
    let refused = other.complete_manual_promote(id, None, &call()).await;
    assert_eq!(refusal(refused), [BlockerCode::HealthStale]);
    fixture
        .db
        .flush_last_reports()
        .await
        .expect("it is written");
    let promoted = other.complete_manual_promote(id, None, &call()).await;
    assert_eq!(promoted.expect("it is fresh").swapped, 1);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a5_a_rolling_update_takes_nothing_for_an_old_health(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let fixture = with_ttl(fixture);
    let rolling = Policy {
        strategy: viridian_strategy::Strategy::Rolling(Default::default()),
        ..Policy::default()
    };
    let id = fixture.ready(1, rolling).await;
    let old = running(&fixture, id).await;
    fixture.deploy(id).await;
    let new = fixture.routes_in(id, RouteStatus::Provisioning).await;
    fixture.status(&new, RouteStatus::Running).await;
    // The reports come, and the server is away before it can decide.
    fixture.health(&new, RouteHealth::Healthy).await;
    time.pass(TTL).await;
    let fixture = with_ttl(time.restart(fixture).await);
    fixture.settle().await;
    assert_eq!(fixture.routes_in(id, RouteStatus::Terminating).await, []);
    assert!(
        blockers(&fixture, id)
            .await
            .contains(&BlockerCode::HealthStale)
    );
    fixture.health(&new, RouteHealth::Healthy).await;
    fixture.settle().await;
    assert_eq!(fixture.routes_in(id, RouteStatus::Terminating).await, old);
    invariants::hold(&fixture).await;
}

/// Reports come every third of the TTL, and the server is restarted in between.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a5_a_healthy_fleet_neither_waits_nor_flaps_nor_writes(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let mut fixture = with_ttl(fixture);
    let (id, _) = fixture.at_the_gate(2, manual()).await;
    let routes = running(&fixture, id).await;
    let before = (fixture.get(id).await, fixture.footprint().await);
    let begin = time.now();
    for round in 0..6 {
        time.pass(TTL / 3).await;
        if round % 2 == 1 {
            fixture = with_ttl(time.restart(fixture).await);
            fixture.settle().await;
        }
        fixture.health(&routes, RouteHealth::Healthy).await;
        fixture
            .db
            .flush_last_reports()
            .await
            .expect("it is written");
        let silenced = fixture.db.end_silent_health(TTL + TTL / 4).await;
        assert_eq!(silenced.expect("it goes through").routes, []);
        let promotable = fixture.db.preview_promote(id, None, &call()).await;
        assert!(promotable.expect("a preview").outcome.is_ok());
    }
    assert_eq!((fixture.get(id).await, fixture.footprint().await), before);
    assert_eq!(
        observed_at(&fixture, routes[0]).await,
        begin,
        "their rows are as they were"
    );
    invariants::hold(&fixture).await;
}

/// Every report comes just in time, and none is ever flushed.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a5_a_health_that_ages_is_written_down_at_once(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let fixture = with_ttl(fixture);
    let (id, _) = fixture.at_the_gate(1, manual()).await;
    let routes = running(&fixture, id).await;
    let before = fixture.get(id).await;
    for _ in 0..3 {
        time.pass(TTL - SECOND).await;
        fixture.health(&routes, RouteHealth::Healthy).await;
        assert_eq!(observed_at(&fixture, routes[0]).await, time.now());
    }
    assert_eq!(fixture.get(id).await, before, "nobody sees that");
    time.pass(TTL - SECOND).await;
    let fixture = with_ttl(time.restart(fixture).await);
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    promoted.expect("it is fresh");
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a5_a_report_that_comes_too_late_confirms_nothing(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let fixture = with_ttl(fixture);
    let (id, _) = fixture.at_the_gate(1, manual()).await;
    let routes = running(&fixture, id).await;
    let seen = time.now() + SECOND;
    time.pass(TTL * 2).await;
    let late = HealthReport {
        observed_at: Some(seen),
        ..HealthReport::new(routes[0], RouteHealth::Healthy)
    };
    let results = fixture.db.report_health(vec![late]).await;
    let too_old = Err(ReportError::TooOld { at: seen, ttl: TTL });
    assert_eq!(results.expect("taken"), [too_old]);
    let refused = fixture.db.complete_manual_promote(id, None, &call()).await;
    assert_eq!(refusal(refused), [BlockerCode::HealthStale]);
}

/// The clock is set back, and catches up: that makes no health older, nor any younger.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a5_a_clock_that_is_set_back_changes_the_age_of_no_health(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let fixture = with_ttl(fixture);
    let (id, _) = fixture.at_the_gate(1, manual()).await;
    let green = running(&fixture, id).await;
    time.pass(TTL / 3).await;
    fixture.health(&green, RouteHealth::Healthy).await;
    let flushed = fixture.db.flush_last_reports().await;
    flushed.expect("it is written");
    time.set_back(TTL * 2).await;
    let preview = fixture.db.preview_promote(id, None, &call()).await;
    assert!(preview.expect("a preview").outcome.is_ok());
    // Any change stores the times as they are now.
    let scaled = amend(|it| it.revision_history_limit += 1);
    let scaled = fixture.db.update_deployment(id, scaled, &call()).await;
    scaled.expect("it is changed");

    // As late as at the report, by a clock that has gone on for twice the TTL.
    time.pass(TTL * 2).await;
    let refused = fixture.db.complete_manual_promote(id, None, &call()).await;
    assert_eq!(refusal(refused), [BlockerCode::HealthStale]);
    fixture.health(&green, RouteHealth::Healthy).await;
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    assert_eq!(promoted.expect("it is fresh").swapped, 1);
    invariants::hold(&fixture).await;
}

fn with_ttl(fixture: Fixture) -> Fixture {
    fixture.with_health_ttl(Some(TTL))
}

async fn running(fixture: &Fixture, id: DeploymentId) -> Vec<RouteId> {
    fixture.routes_in(id, RouteStatus::Running).await
}

const TTL: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);
