//! Deletion without the reports of a scheduler that is gone.

use rstest_reuse::apply;
use viridian_strategy::{
    DeploymentId, Lifecycle, RouteStatus, RouteTraffic, verbs::DeleteRejection,
};

use super::{
    fixture::{Engine, Fixture, amend, call, engines, manual, report},
    invariants,
};
use crate::UnitError;

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn force_delete_waits_for_no_report(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, _) = fixture.at_the_gate(2, manual()).await;
    // One of each: to be started, running, to be stopped.
    let update = amend(|it| it.target_replicas = 3);
    let updated = fixture.db.update_deployment(id, update, &call()).await;
    updated.expect("it is taken");
    fixture.settle().await;
    fixture
        .db
        .abort_deployment(id, None, &call())
        .await
        .expect("a rollout");
    let routes: Vec<_> = fixture
        .routes(id)
        .await
        .iter()
        .map(|it| it.view.id)
        .collect();
    let before = fixture.get(id).await;
    destroyed(&fixture, id, before.generation).await;

    // Whatever is reported of them later changes nothing.
    let footprint = fixture.footprint().await;
    for status in [RouteStatus::Running, RouteStatus::Terminating] {
        let late = routes.iter().map(|&route| report(route, status)).collect();
        let results = fixture
            .db
            .report_statuses(late)
            .await
            .expect("they are read");
        assert!(results.iter().all(Result::is_err), "{results:?}");
    }
    let late = routes
        .iter()
        .map(|&it| report(it, RouteStatus::Terminated))
        .collect();
    let results = fixture
        .db
        .report_statuses(late)
        .await
        .expect("they are read");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(fixture.footprint().await, footprint);
    let again = fixture.db.destroy_deployment(id, &call()).await;
    let gone = DeleteRejection::Gone(Lifecycle::Destroyed);
    assert!(matches!(again, Err(UnitError::Refused(it)) if it == gone));
    assert_eq!(fixture.footprint().await, footprint);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn force_delete_ends_a_deletion_that_waits(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let deleted = fixture.db.delete_deployment(id, &call()).await;
    let deleted = deleted.expect("it is there").deployment;
    let mut reader = fixture.db.reader().await.expect("a reader");
    let found = reader.find_ending_deployment_id("p", &deleted.name).await;
    assert_eq!(found.expect("it is read"), Some(id));
    destroyed(&fixture, id, deleted.generation).await;
    let found = reader.find_ending_deployment_id("p", &deleted.name).await;
    assert_eq!(found.expect("it is read"), None);
    invariants::hold(&fixture).await;
}

/// Deletes by force, and asserts that all is over in that transaction.
async fn destroyed(fixture: &Fixture, id: DeploymentId, generation: i64) {
    let destroyed = fixture.db.destroy_deployment(id, &call()).await;
    let destroyed = destroyed.expect("it is there").deployment;
    assert_eq!(destroyed.state.lifecycle(), Lifecycle::Destroyed);
    assert_eq!(destroyed.generation, generation + 1);
    for route in fixture.routes(id).await {
        assert_eq!(route.view.status, RouteStatus::Terminated);
        assert_eq!(route.view.traffic, RouteTraffic::Inactive);
        assert!(!route.view.has_failed(), "{route:?}");
        assert_eq!(route.failure, "deleted by force");
    }
    assert_eq!(
        fixture
            .number("SELECT COUNT(*) AS n FROM assignments")
            .await,
        0
    );
    assert!(fixture.pass().await.done.is_empty(), "nothing is due");
}
