//! From creation to the next revision, by cycles and reports.

use std::time::Duration;

use rstest_reuse::apply;
use viridian_strategy::{
    BlockerCode, DeploymentState, Lifecycle, RouteHealth, RouteStatus, RouteTraffic, SubStep,
};

use super::{
    fixture::{Engine, Fixture, automatic, call, colours, engines, manual, new_deployment, spec},
    invariants,
    virtual_time::VirtualTime,
};
use crate::{ActivateRefusal, CreateRefusal, NewDeployment, Projects, Tables, UnitError};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_new_deployment_serves_once_all_its_routes_are_ready(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(3, manual()).await;
    let deployment = fixture.get(id).await;
    assert_eq!(deployment.status.blue.ready, 3);
    assert_eq!(deployment.status.blue.active_traffic, 3);
    assert!(deployment.status.blockers.is_empty());
    let tables = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .traffic_tables(Tables::Of(vec![id]), Projects::All)
        .await
        .expect("the table");
    assert_eq!(tables[0].endpoints.len(), 3);
    assert_eq!(tables[0].epoch, deployment.epoch);
    assert_eq!(tables[0].revision, deployment.state.current());
    assert_eq!(
        fixture
            .number("SELECT COUNT(*) AS n FROM deployments WHERE due_at IS NOT NULL")
            .await,
        0,
        "nothing is awaited but events"
    );
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn without_a_revision_a_deployment_is_idle(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let new = |name: &str| NewDeployment {
        labels: [("a".to_owned(), "b".to_owned())].into(),
        target_replicas: 3,
        initial_revision: None,
        ..new_deployment("p", name)
    };
    let idle = fixture
        .db
        .create_deployment(new("idle"), &call())
        .await
        .expect("it is created");
    let idle = idle.deployment;
    assert_eq!(idle.state, DeploymentState::Pending { current: None });
    assert_eq!(idle.status.blockers[0].code(), BlockerCode::NoRevision);
    assert!(fixture.routes(idle.id).await.is_empty());
    let taken = fixture.db.create_deployment(new("idle"), &call()).await;
    assert!(matches!(
        taken,
        Err(UnitError::Refused(CreateRefusal::NameTaken))
    ));

    // The first revision becomes current directly: there is no blue.
    fixture
        .db
        .create_revision(idle.id, spec(), true, &call())
        .await
        .expect("it is activated");
    fixture.settle().await;
    let routes = fixture.routes(idle.id).await;
    assert_eq!(routes.len(), 3);
    assert!(
        routes
            .iter()
            .all(|route| route.view.traffic == RouteTraffic::Active)
    );
    fixture.bring_up(idle.id, RouteHealth::Healthy).await;
    assert_eq!(
        fixture.get(idle.id).await.state.lifecycle(),
        Lifecycle::Ready
    );
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn green_comes_up_without_traffic_and_waits_at_the_gate(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(3, manual()).await;
    let green = fixture.deploy(id).await;
    let deployment = fixture.get(id).await;
    assert_eq!(deployment.state.sub_step(), Some(SubStep::Provisioning));
    assert_eq!(deployment.status.green.provisioning, 3);
    assert_eq!(deployment.status.green.active_traffic, 0);
    assert_eq!(
        deployment.status.blockers[0].code(),
        BlockerCode::GreenProvisioning
    );
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let deployment = fixture.get(id).await;
    assert_eq!(
        deployment.state.sub_step(),
        Some(SubStep::AwaitingPromotion)
    );
    assert_eq!(
        deployment.status.blockers[0].code(),
        BlockerCode::ManualGate
    );
    assert_eq!(
        colours(&fixture.routes(id).await),
        [deployment.state.current().expect("blue")]
    );

    // One that is not ready any more closes the way again.
    let one = fixture.routes_of(id, green).await[0];
    fixture.health(&[one], RouteHealth::Degraded).await;
    fixture.settle().await;
    assert_eq!(
        fixture.get(id).await.state.sub_step(),
        Some(SubStep::Provisioning)
    );
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn an_automatic_promotion_switches_all_traffic(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(3, automatic(Duration::ZERO)).await;
    let blue = fixture.get(id).await.state.current().expect("blue");
    let green = fixture.deploy(id).await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let deployment = fixture.get(id).await;
    assert_eq!(deployment.state, DeploymentState::Ready { current: green });
    assert_eq!(deployment.served.last(), Some(blue));
    assert_eq!(colours(&fixture.routes(id).await), [green]);
    assert_eq!(
        fixture
            .number("SELECT COUNT(*) AS n FROM history WHERE phase = 'PROMOTE' AND actor = 'coordinator'")
            .await,
        1
    );
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn an_automatic_promotion_looks_at_health_again(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let delay = Duration::from_secs(50);
    let id = fixture.ready(4, automatic(delay)).await;
    let green = fixture.deploy(id).await;
    let routes = fixture.routes_of(id, green).await;
    fixture.status(&routes, RouteStatus::Running).await;
    fixture.health(&routes, RouteHealth::Healthy).await;
    assert_eq!(fixture.pass().await.done, [id]);
    fixture.health(&routes, RouteHealth::Unhealthy).await;
    // Whenever the cycle comes, now or when the delay of the earlier health is
    // over, it finds four unhealthy green.
    fixture.settle().await;
    time.pass(delay).await;
    fixture
        .db
        .postpone(id, Duration::ZERO)
        .await
        .expect("it is due");
    assert_eq!(fixture.pass().await.done, [id]);
    let deployment = fixture.get(id).await;
    assert_eq!(deployment.state.sub_step(), Some(SubStep::Provisioning));
    assert_eq!(deployment.status.green.unhealthy, 4);
    assert!(
        fixture
            .routes_in(id, RouteStatus::Terminating)
            .await
            .is_empty()
    );
    assert_eq!(
        colours(&fixture.routes(id).await),
        [deployment.state.current().expect("blue")]
    );
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_roll_back_drains_green_and_leaves_blue_alone(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let before = fixture.get(id).await;
    let green = fixture.deploy(id).await;
    let routes = fixture.routes_of(id, green).await;
    fixture
        .status(&routes[..1], RouteStatus::FailedToStart)
        .await;
    fixture.settle().await;
    assert_eq!(
        fixture.get(id).await.state.sub_step(),
        Some(SubStep::Provisioning),
        "a part that failed waits for the progress deadline"
    );
    fixture.status(&routes[1..], RouteStatus::Running).await;
    fixture.status(&routes[1..], RouteStatus::Terminated).await;
    fixture.settle().await;
    let deployment = fixture.get(id).await;
    assert_eq!(deployment.state, before.state);
    assert_eq!(deployment.status.blue, before.status.blue);
    assert_eq!(deployment.epoch, before.epoch, "the table never changed");
    assert!(deployment.generation > before.generation);
    assert_eq!(
        fixture
            .number("SELECT COUNT(*) AS n FROM history WHERE result = 'ROLLED_BACK'")
            .await,
        2,
        "into ROLLING_BACK and out of it"
    );
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn another_revision_waits_or_supersedes(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, second) = fixture.at_the_gate(2, manual()).await;
    let created = fixture.db.create_revision(id, spec(), false, &call()).await;
    let third = created.expect("it is recorded").revision.id;
    let footprint = fixture.footprint().await;
    let refused = fixture
        .db
        .activate_revision(id, third, false, &call())
        .await;
    assert!(matches!(
        refused,
        Err(UnitError::Refused(ActivateRefusal::InProgress(named)))
            if (named.id, named.number) == (second, Some(2))
    ));
    assert_eq!(
        fixture.footprint().await,
        footprint,
        "a refused call changes no row"
    );

    fixture
        .db
        .activate_revision(id, third, true, &call())
        .await
        .expect("it supersedes");
    let old: Vec<_> = fixture.routes_of(id, second).await;
    assert_eq!(fixture.routes_in(id, RouteStatus::Terminating).await, old);
    fixture.settle().await;
    assert_eq!(fixture.routes_of(id, third).await.len(), 2);
    invariants::hold(&fixture).await;
}
