//! How well a deployment serves is written with whatever changes it.

use rstest_reuse::apply;
use viridian_strategy::{Availability, DeploymentId, Lifecycle, RouteHealth, RouteStatus};

use super::{
    super::{
        fixture::{Engine, Fixture, amend, call, engines, manual},
        invariants,
    },
    fail,
};
use crate::{CountBy, DeploymentFilter};

async fn availability(fixture: &Fixture, id: DeploymentId) -> Option<Availability> {
    fixture.get(id).await.availability
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c1_broken_replicas_of_a_ready_deployment_are_seen_everywhere(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    assert_eq!(
        availability(&fixture, id).await,
        Some(Availability::Available)
    );
    let routes = fixture.routes_in(id, RouteStatus::Running).await;
    for (health, seen) in [
        (
            [RouteHealth::Unhealthy, RouteHealth::Healthy],
            Availability::Degraded,
        ),
        ([RouteHealth::Unhealthy; 2], Availability::Unavailable),
        (
            [RouteHealth::Healthy, RouteHealth::Degraded],
            Availability::Degraded,
        ),
        ([RouteHealth::Healthy; 2], Availability::Available),
    ] {
        let before = fixture.get(id).await;
        for (route, health) in routes.iter().zip(health) {
            fixture.health(&[*route], health).await;
        }
        // In the reports' own transactions: no cycle has run.
        let after = fixture.get(id).await;
        assert_eq!(after.state.lifecycle(), Lifecycle::Ready);
        assert_eq!(after.availability, Some(seen));
        assert!(after.sequence > before.sequence, "watches are told");
        let filter = DeploymentFilter {
            availabilities: vec![seen],
            ..DeploymentFilter::default()
        };
        let mut reader = fixture.db.reader().await.expect("a reader");
        let found = reader
            .list_deployments(filter, None, 10)
            .await
            .expect("listed");
        assert_eq!(found.len(), 1, "{seen:?}");
        drop(reader);
        let census = fixture.db.census(CountBy::All).await.expect("counted");
        let [counted] = &census.deployments[..] else {
            panic!("{census:?}");
        };
        assert_eq!((counted.availability, counted.count), (Some(seen), 1));
        invariants::hold(&fixture).await;
    }
}

/// By calls, promotions and roll-backs as well as by reports.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c1_whatever_changes_it_writes_it(#[case] engine: Engine) {
    use Availability::{Available, Degraded, Idle, Unavailable};
    let fixture = Fixture::new(engine).await;
    let (id, _) = fixture.at_the_gate(2, manual()).await;
    let is = async |seen| {
        assert_eq!(availability(&fixture, id).await, seen);
        invariants::hold(&fixture).await;
    };
    is(Some(Available)).await;
    let blue = fixture.routes(id).await[0].view.id;
    fixture.health(&[blue], RouteHealth::Unhealthy).await;
    is(Some(Degraded)).await;
    fixture
        .db
        .complete_manual_promote(id, None, &call())
        .await
        .expect("promoted");
    is(Some(Available)).await;
    let scale = async |replicas| {
        let change = amend(move |spec| spec.target_replicas = replicas);
        let scaled = fixture.db.update_deployment(id, change, &call()).await;
        scaled.expect("scaled").deployment.availability
    };
    assert_eq!(scale(5).await, Some(Degraded), "the reply says it");
    assert_eq!(scale(0).await, Some(Idle));
    fixture.settle().await;
    is(Some(Idle)).await;
    assert_eq!(scale(1).await, Some(Unavailable));
    is(Some(Unavailable)).await;
    let deleted = fixture.db.delete_deployment(id, &call()).await;
    assert_eq!(deleted.expect("deleted").deployment.availability, None);
    is(None).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c1_counts_are_by_project_where_that_is_wanted(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let routes = fixture.routes_in(id, RouteStatus::Running).await;
    fixture.health(&routes[..1], RouteHealth::Unhealthy).await;
    for (by, project) in [(CountBy::All, ""), (CountBy::Project, "p")] {
        let census = fixture.db.census(by).await.expect("counted");
        assert_eq!(census.deployments.len(), 1, "{census:?}");
        assert_eq!(census.deployments[0].project, project);
        let healths: Vec<_> = census
            .routes
            .iter()
            .map(|it| (it.health, it.count))
            .collect();
        assert_eq!(healths.len(), 2, "{census:?}");
        for health in [RouteHealth::Healthy, RouteHealth::Unhealthy] {
            assert!(healths.contains(&(health, 1)), "{healths:?}");
        }
        assert!(census.routes.iter().all(|it| it.project == project));
    }
    // What has ended is no route any more.
    fail(&fixture, &routes, RouteStatus::Terminated, "").await;
    let census = fixture.db.census(CountBy::All).await.expect("counted");
    assert!(census.routes.is_empty(), "{census:?}");
}
