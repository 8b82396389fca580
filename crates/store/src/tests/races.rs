//! Two callers who want different things of one deployment at one moment, round
//! after round: one of them comes first, both are told which, and the record is
//! as if they had come one after the other.
//!
//! `VIRIDIAN_ROUNDS` says how many rounds each race has.

mod applies;
mod arena;
mod canaries;
mod places;
mod replicas;
mod ways_out;

use rstest_reuse::apply;
use viridian_strategy::{
    BlockerCode, DeploymentState, Lifecycle, RouteHealth,
    verbs::{AbortRejection, PromoteRejection},
};

use self::{
    arena::{Arena, First, Race},
    places::Gate,
};
use super::fixture::{Engine, amend, call, engines, spec};
use crate::{
    AbortRefusal, HealthReport, Operation, PromoteRefusal, Promotion, RevisionReference, Store,
    UnitError,
};

type Promoted = Result<Promotion, UnitError<PromoteRefusal>>;

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_report_that_one_green_is_unhealthy(#[case] engine: Engine) {
    let mut race = Race::new(engine, "a report of UNHEALTHY", 1).await;
    while let Some((arena, start)) = race.next().await {
        let gate = arena.to_the_gate().await;
        let route = gate.green_routes[start.round as usize % gate.green_routes.len()];
        let seen = HealthReport::new(route, RouteHealth::Unhealthy);
        let (promoted, reported) = start
            .together(promote(&arena, &gate), {
                let db = arena.db();
                async move { db.report_health(vec![seen]).await }
            })
            .await;
        assert!(reported.expect("it is taken").iter().all(Result::is_ok));
        let first = match promoted {
            Ok(promotion) => {
                gate.promoted(&arena, &promotion, &[Operation::Promote])
                    .await;
                First::Promotion
            }
            Err(refusal) => {
                blocked(refusal, BlockerCode::GreenUnhealthy);
                gate.held_back(&arena, &[]).await;
                First::Other
            }
        };
        assert_eq!(arena.health(route).await, RouteHealth::Unhealthy);
        race.won_by(first).await;
    }
    race.tell().await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_abort(#[case] engine: Engine) {
    let mut race = Race::new(engine, "an abort", 2).await;
    while let Some((arena, start)) = race.next().await {
        let gate = arena.to_the_gate().await;
        let (promoted, aborted) = start
            .together(promote(&arena, &gate), {
                let (db, id) = (arena.db(), arena.id);
                async move { db.abort_deployment(id, None, &call()).await }
            })
            .await;
        let not_deploying = AbortRefusal::Rules(AbortRejection::NotDeploying(Lifecycle::Ready));
        let first = match (promoted, aborted) {
            (Ok(promotion), Err(UnitError::Refused(rejection))) => {
                assert_eq!(rejection, not_deploying);
                let after = gate
                    .promoted(&arena, &promotion, &[Operation::Promote])
                    .await;
                assert_eq!(after.deployment, promotion.deployment);
                First::Promotion
            }
            (Err(refusal), Ok(aborted)) => {
                over(refusal);
                // By way of ROLLING_BACK.
                let after = gate
                    .held_back(&arena, &[Operation::Abort, Operation::Abort])
                    .await;
                assert_eq!(after.deployment, aborted.deployment);
                let ready = DeploymentState::Ready { current: gate.blue };
                assert_eq!(after.deployment.state, ready);
                after.ended(&gate.green_routes);
                First::Other
            }
            both => panic!("both were done, or neither was: {both:?}"),
        };
        race.won_by(first).await;
    }
    race.tell().await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_activation_that_supersedes(#[case] engine: Engine) {
    let mut race = Race::new(engine, "an activation that supersedes", 3).await;
    while let Some((arena, start)) = race.next().await {
        let gate = arena.to_the_gate().await;
        let (db, id) = (arena.db(), arena.id);
        let next = db.create_revision(id, spec(), false, &call()).await;
        let next = next.expect("it is created").revision.id;
        let expects = start.round % 2 == 0;
        let (promoted, activated) = start
            .together(promote_expecting(&arena, &gate, expects), {
                let (db, id) = (arena.db(), arena.id);
                async move { db.activate_revision(id, next, true, &call()).await }
            })
            .await;
        let activated = activated.expect("it is activated either way");
        let (first, after) = match promoted {
            Ok(promotion) => {
                let phases = [Operation::Promote, Operation::Activate];
                let after = gate.promoted(&arena, &promotion, &phases).await;
                (First::Promotion, after)
            }
            Err(UnitError::Refused(PromoteRefusal::Revision { actual, .. })) if expects => {
                assert_eq!(actual.map(|it| it.id), Some(next));
                (
                    First::Other,
                    gate.held_back(&arena, &[Operation::Activate]).await,
                )
            }
            Err(refusal) => {
                assert!(!expects, "{refusal:?}");
                blocked(refusal, BlockerCode::GreenMissing);
                (
                    First::Other,
                    gate.held_back(&arena, &[Operation::Activate]).await,
                )
            }
        };
        assert_eq!(after.deployment, activated.deployment);
        let state = after.deployment.state;
        assert_eq!(state.deploying(), Some(next));
        if first == First::Other {
            assert_eq!(state.current(), Some(gate.blue));
            after.ended(&gate.green_routes);
        } else {
            assert_eq!(state.current(), Some(gate.green));
        }
        let reference = RevisionReference::Id(next);
        let found = arena
            .db()
            .reader()
            .await
            .expect("a reader")
            .find_revision(arena.id, reference)
            .await;
        assert!(found.expect("it is read").is_some());
        race.won_by(first).await;
    }
    race.tell().await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_update_that_asks_for_one_more(#[case] engine: Engine) {
    let mut race = Race::new(engine, "an update to one more", 4).await;
    while let Some((arena, start)) = race.next().await {
        let gate = arena.to_the_gate().await;
        let update = amend(move |it| it.target_replicas = gate.before.target_replicas + 1);
        let (promoted, updated) = start
            .together(promote(&arena, &gate), {
                let (db, id) = (arena.db(), arena.id);
                async move { db.update_deployment(id, update, &call()).await }
            })
            .await;
        let updated = updated.expect("it is done either way");
        let (first, after) = match promoted {
            Ok(promotion) => {
                let target = promotion.deployment.target_replicas;
                assert_eq!(target, gate.before.target_replicas);
                let phases = [Operation::Promote, Operation::Update];
                let after = gate.promoted(&arena, &promotion, &phases).await;
                (First::Promotion, after)
            }
            Err(refusal) => {
                blocked(refusal, BlockerCode::GreenMissing);
                (
                    First::Other,
                    gate.held_back(&arena, &[Operation::Update]).await,
                )
            }
        };
        assert_eq!(after.deployment, updated.deployment);
        race.won_by(first).await;
    }
    race.tell().await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_another_promotion(#[case] engine: Engine) {
    let mut race = Race::new(engine, "another promotion", 5).await;
    while let Some((arena, start)) = race.next().await {
        let gate = arena.to_the_gate().await;
        let both = start
            .together(promote(&arena, &gate), promote(&arena, &gate))
            .await;
        let (first, promotion, refusal) = match both {
            (Ok(promotion), Err(refusal)) => (First::Promotion, promotion, refusal),
            (Err(refusal), Ok(promotion)) => (First::Other, promotion, refusal),
            both => panic!("both were done, or neither was: {both:?}"),
        };
        over(refusal);
        let after = gate
            .promoted(&arena, &promotion, &[Operation::Promote])
            .await;
        assert_eq!(after.deployment, promotion.deployment);
        race.won_by(first).await;
    }
    race.tell().await;
}

/// A promotion of whatever is being deployed.
fn promote(arena: &Arena, gate: &Gate) -> impl Future<Output = Promoted> + Send + use<> {
    promote_expecting(arena, gate, false)
}

/// A promotion, of green only if that is what it expects.
fn promote_expecting(
    arena: &Arena,
    gate: &Gate,
    expects: bool,
) -> impl Future<Output = Promoted> + Send + use<> {
    let (db, id): (Store, _) = (arena.db(), arena.id);
    let expected = expects.then_some(gate.green);
    async move { db.complete_manual_promote(id, expected, &call()).await }
}

/// Asserts that a promotion was refused for what came first.
fn blocked(refusal: UnitError<PromoteRefusal>, by: BlockerCode) {
    let UnitError::Refused(PromoteRefusal::Rules(PromoteRejection::Blocked(blockers))) = refusal
    else {
        panic!("{refusal:?}");
    };
    assert_eq!(blockers[0].code(), by, "{blockers:?}");
}

/// Asserts that a promotion was refused since the rollout is over.
fn over(refusal: UnitError<PromoteRefusal>) {
    let UnitError::Refused(PromoteRefusal::Rules(rejection)) = refusal else {
        panic!("{refusal:?}");
    };
    let ready = PromoteRejection::NotDeploying(Lifecycle::Ready);
    assert_eq!(rejection, ready);
}
