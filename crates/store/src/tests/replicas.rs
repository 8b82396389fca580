//! What keeps the replicas that serve: evictions, pauses.

use rstest_reuse::apply;
use viridian_strategy::{BlockerCode, RouteHealth, RouteStatus, RouteTraffic};

use super::{
    fixture::{Engine, Fixture, amend, call, engines, manual},
    invariants,
};

/// Also once it has ended, and once more after a restart of the server: that it was
/// evicted is a part of its row.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a12_an_evicted_route_is_replaced_and_has_not_failed(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(3, manual()).await;
    let evicted = vec![fixture.routes(id).await[0].view.id];
    fixture.status(&evicted, RouteStatus::Terminating).await;
    let codes = |deployment: crate::Deployment| -> Vec<BlockerCode> {
        let blockers = deployment.status.blockers;
        blockers.iter().map(|blocker| blocker.code()).collect()
    };
    let waits = [BlockerCode::RoutesNotReady, BlockerCode::Terminating];
    assert_eq!(codes(fixture.get(id).await), waits);
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
    assert_eq!(codes(fixture.get(id).await), []);
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
