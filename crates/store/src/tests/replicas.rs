//! What keeps the replicas that serve: evictions, pauses, replacements.

use std::time::Duration;

use rstest_reuse::apply;
use viridian_strategy::{
    BlockerCode, DeploymentId, RouteHealth, RouteId, RouteStatus, RouteTraffic,
    verbs::DrainRejection,
};

use super::{
    fixture::{Engine, Fixture, amend, call, engines, manual},
    invariants,
    virtual_time::VirtualTime,
};
use crate::{Deployment, Operation, Route, UnitError};

/// Also once it has ended, and once more after a restart of the server: that it was
/// evicted is a part of its row.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a12_an_evicted_route_is_replaced_and_has_not_failed(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(3, manual()).await;
    let evicted = vec![fixture.routes(id).await[0].view.id];
    fixture.status(&evicted, RouteStatus::Terminating).await;
    let waits = [BlockerCode::RoutesNotReady, BlockerCode::Terminating];
    assert_eq!(codes(&fixture.get(id).await), waits);
    fixture.settle().await;
    let starting = fixture.routes_in(id, RouteStatus::Provisioning).await;
    assert_eq!(starting.len(), 1, "it is replaced while it ends");
    fixture.status(&evicted, RouteStatus::Terminated).await;
    let fixture = Fixture::reopen(fixture.close()).await;
    fixture.settle().await;
    assert_eq!(fixture.get(id).await.status.blue.failed, 0);
    let route = fixture.routes(id).await.swap_remove(0);
    assert!(!route.view.has_failed(), "{route:?}");
    assert_eq!(route.failure, "taken away by its scheduler");
    fixture.bring_up(id, RouteHealth::Healthy).await;
    assert_eq!(codes(&fixture.get(id).await), []);
    invariants::hold(&fixture).await;
}

/// The default budget of the policy here is none: a failure would not be replaced.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a12_an_evicted_green_uses_up_no_replacement(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, green) = fixture.at_the_gate(2, manual()).await;
    let evicted = fixture.routes_of(id, green).await.swap_remove(0);
    fixture.status(&[evicted], RouteStatus::Terminating).await;
    fixture.status(&[evicted], RouteStatus::Terminated).await;
    fixture.settle().await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    assert_eq!(promoted.expect("green is complete again").promoted.len(), 2);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a11_a_paused_deployment_is_healed_and_scaled(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(3, manual()).await;
    fixture.pause(id, true).await;
    let spec = amend(|spec| spec.target_replicas = 6);
    let updated = fixture.db.update_deployment(id, spec, &call()).await;
    updated.expect("it is updated");
    let dead: Vec<_> = fixture.routes(id).await[..2]
        .iter()
        .map(|route| route.view.id)
        .collect();
    fixture.status(&dead, RouteStatus::Terminated).await;
    fixture.settle().await;
    let blockers = fixture.get(id).await.status.blockers;
    let sentences: Vec<String> = blockers.iter().map(ToString::to_string).collect();
    assert_eq!(
        sentences,
        [
            "the deployment is paused",
            "1 of 6 current routes is ready; 5 are starting",
        ]
    );
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let serving = fixture.routes(id).await;
    let ready = serving
        .iter()
        .filter(|route| route.view.is_ready() && route.view.traffic == RouteTraffic::Active);
    assert_eq!(ready.count(), 6);
    invariants::hold(&fixture).await;
}

/// Blue dies in a pause, and so does green: blue is healed, and green is held.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a11_a_paused_rollout_holds_green_and_heals_blue(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, green) = fixture.at_the_gate(2, manual()).await;
    fixture.pause(id, true).await;
    let dead: Vec<_> = fixture.routes(id).await;
    let dead: Vec<_> = dead.iter().map(|route| route.view.id).collect();
    fixture.status(&dead, RouteStatus::Terminated).await;
    fixture.settle().await;
    let starting = fixture.routes_in(id, RouteStatus::Provisioning).await;
    assert_eq!(starting.len(), 2, "as many as there were of blue");
    assert_eq!(
        fixture.routes_of(id, green).await.len(),
        2,
        "none was added"
    );
    assert_eq!(fixture.get(id).await.state.deploying(), Some(green));
    invariants::hold(&fixture).await;
}

/// The server is started anew in the middle: what is left to do is a part of the rows.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a13_a_restart_replaces_every_route_a_new_one_first(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(3, manual()).await;
    let before = fixture.get(id).await;
    let old = ids(&fixture.routes(id).await);
    let restarted = fixture.db.restart_deployment(id, &call()).await;
    let restarted = restarted.expect("it is restarted").deployment;
    assert_eq!(restarted.generation, before.generation + 1);
    assert_eq!(restarted.state, before.state, "no rollout");
    fixture.settle().await;
    let starting = fixture.routes_in(id, RouteStatus::Provisioning).await;
    assert_eq!(starting.len(), 1, "25 % of 3 are one at a time");
    let waits = [BlockerCode::Restarting];
    assert_eq!(codes(&fixture.get(id).await), waits);
    let mut fixture = Fixture::reopen(fixture.close()).await;
    for left in [2, 1, 0] {
        assert_eq!(serving(&fixture, id).await.len(), 3, "none went yet");
        fixture.bring_up(id, RouteHealth::Healthy).await;
        let serving = serving(&fixture, id).await;
        let old_left = serving.iter().filter(|id| old.contains(id)).count();
        assert_eq!((serving.len(), old_left), (3, left));
        fixture = Fixture::reopen(fixture.close()).await;
    }
    let after = fixture.get(id).await;
    assert_eq!((after.state, codes(&after).len()), (before.state, 0));
    let phases: Vec<Operation> = fixture
        .history(id)
        .await
        .iter()
        .map(|it| it.phase)
        .collect();
    let restarts = phases.iter().filter(|it| **it == Operation::Restart);
    assert_eq!(restarts.count(), 1, "{phases:?}");
    invariants::hold(&fixture).await;
}

/// Likewise, though the clock that decides is set back while it waits.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a13_a_drain_by_hand_waits_for_a_new_one(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let id = fixture.ready(3, manual()).await;
    let route = fixture.routes(id).await[1].view.id;
    let drained = fixture.db.drain_route(id, route, &call()).await;
    let drained = drained.expect("it is taken").deployment;
    let again = fixture.db.drain_route(id, route, &call()).await;
    assert_eq!(again.expect("a repeat is harmless").deployment, drained);
    time.set_back(Duration::from_secs(60)).await;
    let fixture = time.restart(fixture).await;
    fixture.settle().await;
    assert!(serving(&fixture, id).await.contains(&route), "it serves on");
    assert_eq!(codes(&fixture.get(id).await), [BlockerCode::Restarting]);
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let left = serving(&fixture, id).await;
    assert_eq!((left.len(), left.contains(&route)), (3, false));
    assert_eq!(codes(&fixture.get(id).await), []);
    // It did not fail, and nothing is left of the request.
    fixture.status(&[route], RouteStatus::Terminated).await;
    fixture.settle().await;
    assert_eq!(fixture.get(id).await.status.blue.failed, 0);
    let refused = fixture.db.drain_route(id, route, &call()).await;
    let not_live = matches!(refused, Err(UnitError::Refused(DrainRejection::NotLive)));
    assert!(not_live, "{refused:?}");
    invariants::hold(&fixture).await;
}

/// A drain of green before the switch: it has no traffic, so it goes at once, and another
/// one comes.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a13_a_drain_of_green_is_made_good(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, green) = fixture.at_the_gate(2, manual()).await;
    let route = fixture.routes_of(id, green).await[0];
    let drained = fixture.db.drain_route(id, route, &call()).await;
    drained.expect("it is taken");
    let ending = fixture.routes_in(id, RouteStatus::Terminating).await;
    assert_eq!(ending, [route]);
    fixture.settle().await;
    let early = fixture.db.complete_manual_promote(id, None, &call()).await;
    early.expect_err("one is starting");
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    assert_eq!(promoted.expect("green is complete").promoted.len(), 2);
    invariants::hold(&fixture).await;
}

fn ids(routes: &[Route]) -> Vec<RouteId> {
    routes.iter().map(|route| route.view.id).collect()
}

/// Those that take traffic.
pub(super) async fn serving(fixture: &Fixture, id: DeploymentId) -> Vec<RouteId> {
    let mut routes = fixture.routes(id).await;
    routes.retain(|route| route.view.traffic == RouteTraffic::Active && route.view.is_ready());
    ids(&routes)
}

pub(super) fn codes(deployment: &Deployment) -> Vec<BlockerCode> {
    let blockers = deployment.status.blockers.iter();
    blockers.map(viridian_strategy::Blocker::code).collect()
}
