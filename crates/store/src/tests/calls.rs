//! The calls besides creation, activation and promotion: what each changes, on
//! both engines, and that a refused one changes no row.

use std::{fmt::Debug, time::Duration};

use rstest_reuse::apply;
use viridian_strategy::{
    BlockerCode, BlueGreen, DeploymentId, DeploymentState, IntOrPercent, Lifecycle, LifecyclePhase,
    Policy, RevisionId, RollingUpdate, RouteHealth, RouteStatus, RouteTraffic, Strategy, SubStep,
    verbs::{AbortRejection, DeleteRejection, PauseRejection, UpdateRejection},
};

use super::{
    fixture::{Engine, Fixture, amend, automatic, back_to, call, colours, engines, manual},
    invariants,
};
use crate::{
    AbortRefusal, HistoryOutcome, NamedRevision, Operation, Projects, RequestContext,
    RollBackOptions, RollBackRefusal, Tables, UnitError, UpdateRefusal,
};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn abort_goes_back_in_one_transaction(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, green) = fixture.at_the_gate(3, manual()).await;
    let before = fixture.get(id).await;
    let blue = before.state.current().expect("blue");
    fixture.pause(id, true).await;
    let aborted = fixture.db.abort_deployment(id, None, &call()).await;
    let aborted = aborted.expect("a pause is not in the way back").deployment;
    assert_eq!(aborted.state, DeploymentState::Ready { current: blue });
    assert_eq!(aborted.epoch, before.epoch, "the table never changed");
    assert!(aborted.paused);
    assert_eq!(
        fixture.routes_in(id, RouteStatus::Terminating).await,
        fixture.routes_of(id, green).await
    );
    let history = fixture.history(id).await;
    let last: Vec<_> = history[..3]
        .iter()
        .map(|entry| (entry.phase, entry.to, entry.outcome))
        .collect();
    let phase = |lifecycle, sub_step| LifecyclePhase {
        lifecycle,
        sub_step,
    };
    let ready = phase(Lifecycle::Ready, None);
    let awaiting = phase(Lifecycle::Deploying, Some(SubStep::AwaitingPromotion));
    let rolling_back = phase(Lifecycle::Deploying, Some(SubStep::RollingBack));
    assert_eq!(
        last,
        [
            (Operation::Abort, ready, HistoryOutcome::RolledBack),
            (Operation::Abort, rolling_back, HistoryOutcome::RolledBack),
            (Operation::Pause, awaiting, HistoryOutcome::Success),
        ]
    );
    assert_eq!(history[0].actor, "tester");
    assert_eq!(history[0].reason, "a test");
    refused(&fixture, async |db| {
        db.abort_deployment(id, None, &call()).await
    })
    .await
    .is(AbortRefusal::Rules(AbortRejection::NotDeploying(
        Lifecycle::Ready,
    )));
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn abort_of_a_rolling_update_goes_back_step_by_step(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, rolling()).await;
    let blue = fixture.get(id).await.state.current().expect("blue");
    let green = fixture.deploy(id).await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let aborted = fixture.db.abort_deployment(id, None, &call()).await;
    let aborted = aborted.expect("it is DEPLOYING").deployment;
    assert_eq!(aborted.state.sub_step(), Some(SubStep::RollingBack));
    refused(&fixture, async |db| {
        db.abort_deployment(id, None, &call()).await
    })
    .await
    .is(AbortRefusal::Rules(AbortRejection::RollingBack));
    fixture.settle().await;
    for _ in 0..4 {
        fixture.bring_up(id, RouteHealth::Healthy).await;
    }
    assert_eq!(
        fixture.get(id).await.state,
        DeploymentState::Ready { current: blue }
    );
    assert_eq!(colours(&fixture.routes(id).await), [blue]);
    let live = fixture.routes(id).await;
    let live = live.iter().filter(|route| route.view.is_live());
    assert!(live.clone().all(|route| route.view.revision != green));
    assert_eq!(live.count(), 2);
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn roll_back_is_instant_while_blue_is_retained(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, green) = fixture.at_the_gate(3, retaining()).await;
    let blue = fixture.get(id).await.state.current().expect("blue");
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    let promoted = promoted.expect("it is at the gate").deployment;
    assert_eq!(promoted.status.blue.retained, 3);
    fixture.settle().await;
    // Green is the broken side.
    let routes = fixture.routes_of(id, green).await;
    fixture.health(&routes, RouteHealth::Unhealthy).await;
    let back = fixture
        .db
        .roll_back_deployment(id, RollBackOptions::default(), &call())
        .await;
    let back = back.expect("blue is retained");
    assert!(back.instant);
    assert_eq!(
        back.deployment.state,
        DeploymentState::Ready { current: blue }
    );
    assert!(back.deployment.served.is_empty(), "nothing served before");
    assert_eq!(back.deployment.status.blue.active_traffic, 3);
    assert_eq!(back.deployment.status.blue.retained, 0);
    assert_eq!(
        fixture.routes_in(id, RouteStatus::Terminating).await,
        routes
    );
    let tables = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .traffic_tables(Tables::Of(vec![id]), Projects::All)
        .await;
    let tables = tables.expect("the table");
    assert_eq!(tables[0].revision, Some(blue));
    assert_eq!(tables[0].endpoints.len(), 3);
    assert_eq!(tables[0].epoch, back.deployment.epoch);
    fixture.settle().await;
    assert_eq!(fixture.routes_in(id, RouteStatus::Running).await.len(), 3);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn roll_back_is_an_activation_otherwise(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, automatic(Duration::ZERO)).await;
    let first = fixture.get(id).await.state.current().expect("a revision");
    refused(&fixture, async |db| {
        db.roll_back_deployment(id, RollBackOptions::default(), &call())
            .await
    })
    .await
    .is(RollBackRefusal::NoPrevious);
    let unknown = RevisionId(uuid::Uuid::from_u128(9));
    refused(&fixture, async |db| {
        db.roll_back_deployment(id, back_to(unknown), &call()).await
    })
    .await
    .is(RollBackRefusal::NoRevision(unknown));
    let second = fixture.deploy(id).await;
    refused(&fixture, async |db| {
        db.roll_back_deployment(id, back_to(second), &call()).await
    })
    .await
    .is(RollBackRefusal::InProgress(NamedRevision {
        id: second,
        number: Some(2),
    }));
    fixture.bring_up(id, RouteHealth::Healthy).await;
    assert_eq!(
        fixture.get(id).await.state,
        DeploymentState::Ready { current: second }
    );
    let back = fixture
        .db
        .roll_back_deployment(id, RollBackOptions::default(), &call())
        .await;
    let back = back.expect("there is one before");
    assert!(!back.instant);
    assert_eq!(back.deployment.state.deploying(), Some(first));
    fixture.settle().await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    assert_eq!(
        fixture.get(id).await.state,
        DeploymentState::Ready { current: first }
    );
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn update_scales_both_sides(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, green) = fixture.at_the_gate(2, manual()).await;
    let scale = async |target| {
        let update = amend(move |it| it.target_replicas = target);
        let updated = fixture.db.update_deployment(id, update, &call()).await;
        let deployment = updated.expect("it is taken").deployment;
        assert_eq!(deployment.target_replicas, target);
        fixture.settle().await;
        deployment
    };
    let before = fixture.get(id).await;
    let up = scale(3).await;
    assert_eq!(up.generation, before.generation + 1);
    let deployment = fixture.get(id).await;
    assert_eq!(deployment.state.sub_step(), Some(SubStep::Provisioning));
    assert_eq!(deployment.status.blue.provisioning, 1);
    assert_eq!(deployment.status.green.provisioning, 1);
    scale(1).await;
    let deployment = fixture.get(id).await;
    assert_eq!(
        deployment.state.sub_step(),
        Some(SubStep::AwaitingPromotion)
    );
    assert_eq!(fixture.routes_in(id, RouteStatus::Running).await.len(), 2);
    let same = scale(1).await;
    let now = fixture.get(id).await;
    assert_eq!(
        (same.generation, same.sequence),
        (now.generation, now.sequence),
        "nothing was asked for"
    );
    fixture
        .db
        .complete_manual_promote(id, Some(green), &call())
        .await
        .expect("one is ready");
    scale(0).await;
    assert!(fixture.routes_in(id, RouteStatus::Running).await.is_empty());
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn update_takes_values_but_not_another_strategy(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, green) = fixture.at_the_gate(1, manual()).await;
    let policy = |policy: Policy| amend(move |it| it.policy = policy.clone());
    refused(&fixture, async |db| {
        db.update_deployment(id, policy(rolling()), &call()).await
    })
    .await
    .is(UpdateRefusal::Rules(UpdateRejection::StrategyInUse));
    let update = amend(|it| {
        it.policy = automatic(Duration::ZERO);
        it.labels = [("tier".to_owned(), "gold".to_owned())].into();
        it.revision_history_limit = 3;
    });
    let updated = fixture.db.update_deployment(id, update, &call()).await;
    let updated = updated.expect("it is taken").deployment;
    assert_eq!(updated.labels["tier"], "gold");
    assert_eq!(updated.revision_history_limit, 3);
    fixture.settle().await;
    let deployment = fixture.get(id).await;
    assert_eq!(
        deployment.state,
        DeploymentState::Ready { current: green },
        "the new values count at once"
    );
    fixture
        .db
        .update_deployment(id, policy(rolling()), &call())
        .await
        .expect("no rollout is under way");
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_deployment_stands_still(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let policy = Policy {
        progress_deadline: Duration::from_millis(20),
        ..manual()
    };
    let id = fixture.ready(1, policy).await;
    fixture
        .db
        .pause_deployment(id, &call())
        .await
        .expect("once");
    refused(&fixture, async |db| db.pause_deployment(id, &call()).await)
        .await
        .is(PauseRejection::Already);
    // What is activated now begins when the pause is over.
    let green = fixture.deploy(id).await;
    let deployment = fixture.get(id).await;
    assert_eq!(deployment.status.blockers[0].code(), BlockerCode::Paused);
    assert_eq!(deployment.deadline_at, None);
    assert!(fixture.routes_of(id, green).await.is_empty());
    let late = fixture.db.now().await.expect("the time") + Duration::from_millis(60);
    while fixture.db.now().await.expect("the time") < late {
        fixture.settle().await;
    }
    assert_eq!(
        fixture.get(id).await.state.sub_step(),
        Some(SubStep::Provisioning),
        "the deadline stands still"
    );
    let resumed = fixture.db.resume_deployment(id, &call()).await;
    assert!(!resumed.expect("it is paused").deployment.paused);
    refused(&fixture, async |db| db.resume_deployment(id, &call()).await)
        .await
        .is(PauseRejection::Already);
    let pass = fixture.pass().await;
    assert_eq!(pass.done, [id], "a resumed deployment is looked at");
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn delete_drains_everything_and_leaves_a_tombstone(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, _) = fixture.at_the_gate(2, manual()).await;
    let name = fixture.get(id).await.name;
    fixture.pause(id, true).await;
    let deleted = fixture.db.delete_deployment(id, &call()).await;
    let deleted = deleted.expect("it is there").deployment;
    assert_eq!(deleted.state.lifecycle(), Lifecycle::Destroying);
    let found = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .find_deployment_id("p", &name)
        .await;
    assert_eq!(found.expect("it is read"), None, "its name is free at once");
    let ending = fixture.routes_in(id, RouteStatus::Terminating).await;
    assert_eq!(ending.len(), 4);
    refused(&fixture, async |db| db.delete_deployment(id, &call()).await)
        .await
        .is(DeleteRejection::Gone(Lifecycle::Destroying));
    let active = fixture.routes(id).await;
    assert!(
        active
            .iter()
            .all(|route| route.view.traffic == RouteTraffic::Inactive)
    );
    fixture.status(&ending, RouteStatus::Terminated).await;
    fixture.settle().await;
    let deployment = fixture.get(id).await;
    assert_eq!(deployment.state.lifecycle(), Lifecycle::Destroyed);
    for refusal in [
        refused(&fixture, async |db| db.pause_deployment(id, &call()).await).await,
        refused(&fixture, async |db| db.resume_deployment(id, &call()).await).await,
    ] {
        refusal.is(PauseRejection::Gone(Lifecycle::Destroyed));
    }
    let update = amend(|_| {});
    refused(&fixture, async |db| {
        db.update_deployment(id, update, &call()).await
    })
    .await
    .is(UpdateRefusal::Rules(UpdateRejection::Gone(
        Lifecycle::Destroyed,
    )));
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn each_asks_for_the_generation_and_the_deployment(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(1, manual()).await;
    let nowhere = DeploymentId(uuid::Uuid::from_u128(9));
    let stale = RequestContext {
        expected_generation: Some(9),
        ..call()
    };
    let footprint = fixture.footprint().await;
    for (id, call) in [(id, &stale), (nowhere, &call())] {
        let update = amend(|_| {});
        let db = &fixture.db;
        let errors = [
            db.abort_deployment(id, None, call)
                .await
                .map_err(kind)
                .err(),
            db.delete_deployment(id, call).await.map_err(kind).err(),
            db.pause_deployment(id, call).await.map_err(kind).err(),
            db.resume_deployment(id, call).await.map_err(kind).err(),
            db.update_deployment(id, update, call)
                .await
                .map_err(kind)
                .err(),
            db.roll_back_deployment(id, RollBackOptions::default(), call)
                .await
                .map_err(kind)
                .err(),
        ];
        let expected = if id == nowhere {
            "no deployment"
        } else {
            "generation"
        };
        assert_eq!(errors, [Some(expected); 6]);
    }
    assert_eq!(fixture.footprint().await, footprint);
}

fn kind<R: Debug>(error: UnitError<R>) -> &'static str {
    match error {
        UnitError::NoDeployment(_) => "no deployment",
        UnitError::Generation { .. } => "generation",
        error => panic!("{error:?}"),
    }
}

fn rolling() -> Policy {
    Policy {
        strategy: Strategy::Rolling(RollingUpdate {
            max_surge: IntOrPercent::Count(1),
            max_unavailable: IntOrPercent::Count(0),
        }),
        ..Policy::default()
    }
}

fn retaining() -> Policy {
    Policy {
        strategy: Strategy::BlueGreen(BlueGreen {
            scale_down_delay: Duration::from_secs(600),
            ..BlueGreen::default()
        }),
        ..Policy::default()
    }
}

/// Does what is to be refused, and checks that no row was changed by it.
async fn refused<T: Debug, R: Debug>(
    fixture: &Fixture,
    act: impl AsyncFnOnce(&crate::Store) -> Result<T, UnitError<R>>,
) -> Refusal<R> {
    let before = fixture.footprint().await;
    let result = act(&fixture.db).await;
    assert_eq!(
        fixture.footprint().await,
        before,
        "a refused call changed a row"
    );
    match result {
        Err(UnitError::Refused(refusal)) => Refusal(refusal),
        result => panic!("not refused: {result:?}"),
    }
}

struct Refusal<R>(R);

impl<R: Debug + PartialEq> Refusal<R> {
    fn is(self, expected: R) {
        assert_eq!(self.0, expected);
    }
}
