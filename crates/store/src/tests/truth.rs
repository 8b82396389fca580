//! What the record says is so: how well a deployment serves, what happened to its routes,
//! and what a deletion waits for.

mod availability;
mod history;

use rstest_reuse::apply;
use viridian_strategy::{BlockerCode, Lifecycle, RouteId, RouteStatus};

use super::{
    fixture::{Engine, Fixture, call, engines, manual, report},
    invariants,
};
use crate::{HistoryEntry, Operation, RequestContext, RouteEffects, StatusReport};

fn counts(entry: &HistoryEntry) -> (u32, u32, u32) {
    let RouteEffects {
        created,
        promoted,
        drained,
    } = entry.effects;
    (created, promoted, drained)
}

/// Reports that routes ended, in one batch.
async fn fail(fixture: &Fixture, routes: &[RouteId], status: RouteStatus, failure: &str) {
    let failed = |&route: &RouteId| StatusReport {
        failure: failure.to_owned(),
        ..report(route, status)
    };
    let reports = routes.iter().map(failed).collect();
    let results = fixture.db.report_statuses(reports).await.expect("taken");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c5_a_deletion_says_what_it_waits_for(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let routes = fixture.routes_in(id, RouteStatus::Running).await;
    let silent = RequestContext {
        reason: String::new(),
        ..call()
    };
    let deleted = fixture
        .db
        .delete_deployment(id, &silent)
        .await
        .expect("deleted");
    let says = async |expected: &[&str]| {
        let blockers = fixture.get(id).await.status.blockers;
        let said: Vec<_> = blockers.iter().map(ToString::to_string).collect();
        assert_eq!(said, expected);
        assert!(
            blockers
                .iter()
                .all(|it| it.code() == BlockerCode::Terminating)
        );
    };
    assert_eq!(
        deleted.deployment.status.blockers.len(),
        1,
        "the reply says it"
    );
    says(&["2 routes are still ending"]).await;
    let entries = fixture.history(id).await;
    assert_eq!(entries[0].phase, Operation::Delete);
    assert_eq!(entries[0].reason, "2 routes are still ending");
    assert_eq!(counts(&entries[0]), (0, 0, 2));
    fixture.status(&routes[..1], RouteStatus::Terminated).await;
    fixture.settle().await;
    says(&["1 route is still ending"]).await;
    fixture.status(&routes[1..], RouteStatus::Terminated).await;
    fixture.settle().await;
    says(&[]).await;
    assert_eq!(
        fixture.get(id).await.state.lifecycle(),
        Lifecycle::Destroyed
    );
    invariants::hold(&fixture).await;
}

/// The words of the caller are not replaced.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c5_a_deletion_with_a_reason_keeps_it(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, _) = fixture.at_the_gate(1, manual()).await;
    fixture
        .db
        .delete_deployment(id, &call())
        .await
        .expect("deleted");
    assert_eq!(fixture.history(id).await[0].reason, "a test");
    let blockers = fixture.get(id).await.status.blockers;
    assert_eq!(blockers[0].to_string(), "2 routes are still ending");
}
