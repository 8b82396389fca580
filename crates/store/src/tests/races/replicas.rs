//! Restarts and drains against what else may happen to the same deployment.

use rstest_reuse::apply;
use viridian_strategy::{
    DeploymentState, RouteStatus,
    verbs::{DrainRejection, RestartRejection},
};

use super::arena::{Arena, First, Race};
use crate::{
    Operation, UnitError,
    tests::fixture::{Engine, call, engines, report, spec},
};

/// The promotion is done either way. The restart is refused while it has yet to come,
/// and is one of green after it.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_a_restart_with_a_promotion(#[case] engine: Engine) {
    let mut race = Race::new(engine, "a restart", 6).await;
    while let Some((arena, start)) = race.next().await {
        let gate = arena.to_the_gate().await;
        let (promoted, restarted) = start
            .together(super::promote(&arena, &gate), restart(&arena))
            .await;
        let promotion = promoted.expect("a restart does not hold it back");
        let first = match restarted {
            Ok(restarted) => {
                let phases = [Operation::Promote, Operation::Restart];
                let after = gate.promoted(&arena, &promotion, &phases).await;
                assert_eq!(after.deployment, restarted.deployment);
                assert!(after.deployment.restarted);
                First::Promotion
            }
            Err(refusal) => {
                deploying(refusal);
                let after = gate
                    .promoted(&arena, &promotion, &[Operation::Promote])
                    .await;
                assert!(!after.deployment.restarted);
                First::Other
            }
        };
        race.won_by(first).await;
    }
    race.tell().await;
}

/// The same with an abort, after which the restart is one of blue.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_a_restart_with_an_abort(#[case] engine: Engine) {
    let mut race = Race::new(engine, "a restart", 7).await.of("an abort");
    while let Some((arena, start)) = race.next().await {
        let gate = arena.to_the_gate().await;
        let (aborted, restarted) = start
            .together(
                {
                    let (db, id) = (arena.db(), arena.id);
                    async move { db.abort_deployment(id, None, &call()).await }
                },
                restart(&arena),
            )
            .await;
        aborted.expect("a restart does not hold it back");
        let abort = [Operation::Abort, Operation::Abort];
        let (first, after) = match restarted {
            Ok(_) => {
                let phases = [Operation::Abort, Operation::Abort, Operation::Restart];
                (First::Promotion, gate.held_back(&arena, &phases).await)
            }
            Err(refusal) => {
                deploying(refusal);
                (First::Other, gate.held_back(&arena, &abort).await)
            }
        };
        let ready = DeploymentState::Ready { current: gate.blue };
        assert_eq!(after.deployment.state, ready);
        assert_eq!(after.deployment.restarted, first == First::Promotion);
        race.won_by(first).await;
    }
    race.tell().await;
}

/// An activation ends a restart, and comes before none.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_a_restart_with_an_activation(#[case] engine: Engine) {
    let mut race = Race::new(engine, "a restart", 8).await.of("an activation");
    while let Some((arena, start)) = race.next().await {
        let serving = arena.to_ready().await;
        let (activated, restarted) = start
            .together(
                {
                    let (db, id) = (arena.db(), arena.id);
                    async move { db.create_revision(id, spec(), true, &call()).await }
                },
                restart(&arena),
            )
            .await;
        let next = activated.expect("it is activated either way").revision.id;
        let (first, phases) = match restarted {
            Ok(_) => (First::Other, vec![Operation::Restart, Operation::Activate]),
            Err(refusal) => {
                deploying(refusal);
                (First::Promotion, vec![Operation::Activate])
            }
        };
        let after = serving.after(&arena, &phases).await;
        assert_eq!(after.deployment.state.deploying(), Some(next));
        assert!(!after.deployment.restarted, "the activation ended it");
        race.won_by(first).await;
    }
    race.tell().await;
}

/// A route crashes while it is drained by hand: the drain comes first, or it is refused.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_a_drain_with_a_report_of_its_end(#[case] engine: Engine) {
    let mut race = Race::new(engine, "a drain", 9)
        .await
        .of("a report of the end");
    while let Some((arena, start)) = race.next().await {
        // A new activation: the failures of earlier rounds count no more, nor delay anything.
        restart(&arena).await.expect("it serves");
        let serving = arena.to_ready().await;
        let route = serving.routes[start.round as usize % serving.routes.len()];
        let (reported, drained) = start
            .together(
                {
                    let db = arena.db();
                    let ended = vec![report(route, RouteStatus::Terminated)];
                    async move { db.report_statuses(ended).await }
                },
                {
                    let (db, id) = (arena.db(), arena.id);
                    async move { db.drain_route(id, route, &call()).await }
                },
            )
            .await;
        assert!(reported.expect("it is taken").iter().all(Result::is_ok));
        let (first, phases) = match drained {
            Ok(_) => (
                First::Other,
                vec![Operation::DrainRoute, Operation::RouteFailed],
            ),
            Err(UnitError::Refused(DrainRejection::NotLive)) => {
                (First::Promotion, vec![Operation::RouteFailed])
            }
            Err(error) => panic!("{error:?}"),
        };
        let after = serving.after(&arena, &phases).await;
        assert_eq!(after.deployment.status.blue.failed, 1, "it crashed");
        assert!(!after.active().contains(&route));
        race.won_by(first).await;
    }
    race.tell().await;
}

fn restart(
    arena: &Arena,
) -> impl Future<Output = Result<crate::Updated, UnitError<RestartRejection>>> + Send + use<> {
    let (db, id) = (arena.db(), arena.id);
    async move { db.restart_deployment(id, &call()).await }
}

/// Asserts that a restart was refused for the rollout that was under way.
fn deploying(refusal: UnitError<RestartRejection>) {
    let UnitError::Refused(rejection) = refusal else {
        panic!("{refusal:?}");
    };
    assert_eq!(rejection, RestartRejection::Deploying);
}
