//! Reports of schedulers and health checkers.

use rstest_reuse::apply;
use uuid::Uuid;
use viridian_strategy::{RouteHealth, RouteId, RouteStatus, RouteTraffic};

use super::{
    fixture::{Engine, Fixture, call, engines, manual, report},
    invariants,
};
use crate::{HealthReport, ReportError};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn each_report_stands_alone(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let one = fixture.ready(2, manual()).await;
    let two = fixture.ready(2, manual()).await;
    let unknown = RouteId(Uuid::now_v7());
    let (first, second) = (fixture.routes(one).await, fixture.routes(two).await);
    let reports = vec![
        report(first[0].view.id, RouteStatus::Terminated),
        report(unknown, RouteStatus::Running),
        report(second[0].view.id, RouteStatus::FailedToStart),
        report(second[1].view.id, RouteStatus::Terminated),
    ];
    let results = fixture
        .db
        .report_statuses(reports)
        .await
        .expect("the batch is taken");
    let illegal = ReportError::IllegalMove {
        from: RouteStatus::Running,
        to: RouteStatus::FailedToStart,
    };
    assert_eq!(
        results,
        [
            Ok(()),
            Err(ReportError::UnknownRoute(unknown)),
            Err(illegal),
            Ok(())
        ]
    );
    for id in [one, two] {
        let routes = fixture.routes(id).await;
        let over: Vec<_> = routes
            .iter()
            .filter(|r| r.view.status == RouteStatus::Terminated)
            .collect();
        assert_eq!(over.len(), 1);
        assert_eq!(over[0].view.traffic, RouteTraffic::Inactive);
    }
    // What crashed is replaced, ACTIVE.
    fixture.settle().await;
    assert_eq!(
        fixture
            .routes_in(one, RouteStatus::Provisioning)
            .await
            .len(),
        1
    );
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_changes_nothing_writes_nothing(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let routes: Vec<_> = fixture
        .routes(id)
        .await
        .iter()
        .map(|route| route.view.id)
        .collect();
    let before = (fixture.get(id).await, fixture.footprint().await);
    let at = fixture.routes(id).await[0].view.health_updated_at;
    fixture.health(&routes, RouteHealth::Healthy).await;
    fixture.status(&routes, RouteStatus::Running).await;
    assert_eq!((fixture.get(id).await, fixture.footprint().await), before);
    assert_eq!(fixture.routes(id).await[0].view.health_updated_at, at);
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_has_no_health(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(1, manual()).await;
    let route = fixture.routes(id).await[0].view.id;
    fixture.status(&[route], RouteStatus::Terminated).await;
    // Once more is no error: the first answer may have been lost.
    fixture.status(&[route], RouteStatus::Terminated).await;
    let late = vec![HealthReport::new(route, RouteHealth::Unhealthy)];
    let results = fixture
        .db
        .report_health(late)
        .await
        .expect("the batch is taken");
    assert_eq!(results, [Err(ReportError::Over(RouteStatus::Terminated))]);
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_open_until_it_is_done(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, _) = fixture.at_the_gate(1, manual()).await;
    let promotion = fixture.db.complete_manual_promote(id, None, &call()).await;
    let drained = promotion.expect("it is promoted").drained;
    let assignments = "SELECT COUNT(*) AS n FROM assignments";
    fixture.health(&drained, RouteHealth::Unhealthy).await;
    assert_eq!(
        fixture.number(assignments).await,
        1,
        "it still has to be stopped"
    );
    fixture.status(&drained, RouteStatus::Terminated).await;
    assert_eq!(fixture.number(assignments).await, 0);

    // One that the scheduler itself takes away before it was started.
    fixture.deploy(id).await;
    let new = fixture.routes_in(id, RouteStatus::Provisioning).await;
    fixture.status(&new, RouteStatus::Terminating).await;
    assert_eq!(
        fixture.number(assignments).await,
        0,
        "nothing is to be started any more"
    );
    invariants::hold(&fixture).await;
}
