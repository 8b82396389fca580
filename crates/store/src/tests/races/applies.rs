//! An apply against another call.

use rstest_reuse::apply;
use viridian_strategy::{BlockerCode, RevisionId};

use super::{
    super::apply::{CREATING, Outcome, SUPERSEDING, TestManifest, apply_manifest},
    arena::{Arena, First, Race},
    blocked,
    places::Gate,
    promote,
};
use crate::{
    Applied, ApplyOptions, ApplyRefusal, Operation, UnitError,
    tests::fixture::{Engine, call, engines, spec},
};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b1_with_a_promotion(#[case] engine: Engine) {
    let mut race = Race::new(engine, "an apply that supersedes", 11).await;
    while let Some((arena, start)) = race.next().await {
        let gate = arena.to_the_gate().await;
        let apply = apply_another(&arena, &gate, start.round, SUPERSEDING);
        let (promoted, applied) = start.together(promote(&arena, &gate), apply).await;
        let third = activated(&applied.expect("it is applied either way"));
        let (first, after) = match promoted {
            Ok(promotion) => {
                let phases = [Operation::Promote, Operation::Activate];
                let after = gate.promoted(&arena, &promotion, &phases).await;
                (First::Promotion, after)
            }
            Err(refusal) => {
                blocked(refusal, BlockerCode::GreenMissing);
                let after = gate.held_back(&arena, &[Operation::Activate]).await;
                after.ended(&gate.green_routes);
                (First::Other, after)
            }
        };
        assert_eq!(after.deployment.state.deploying(), Some(third));
        race.won_by(first).await;
    }
    race.tell().await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b1_with_an_activation(#[case] engine: Engine) {
    let race = Race::new(engine, "an activation", 12).await;
    let mut race = race.of("an apply");
    while let Some((arena, start)) = race.next().await {
        let gate = arena.to_the_gate().await;
        let (db, id) = (arena.db(), arena.id);
        let next = db.create_revision(id, spec(), false, &call()).await;
        let next = next.expect("it is created").revision.id;
        let apply = apply_another(&arena, &gate, start.round, SUPERSEDING);
        let (applied, activation) = start
            .together(apply, async move {
                db.activate_revision(id, next, true, &call()).await
            })
            .await;
        let applied = applied.expect("it supersedes either way");
        let activation = activation.expect("it supersedes either way").deployment;
        let phases = [Operation::Activate, Operation::Activate];
        let after = gate.held_back(&arena, &phases).await;
        after.ended(&gate.green_routes);
        // Whoever came last has the rollout.
        let (first, last, revision) = if applied.deployment.generation < activation.generation {
            (First::Promotion, activation, next)
        } else {
            (
                First::Other,
                applied.deployment.clone(),
                activated(&applied),
            )
        };
        assert_eq!(last.generation, gate.before.generation + 2);
        assert_eq!(after.deployment, last);
        assert_eq!(last.state.deploying(), Some(revision));
        race.won_by(first).await;
    }
    race.tell().await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b1_with_an_abort(#[case] engine: Engine) {
    let race = Race::new(engine, "an abort", 13).await;
    let mut race = race.of("an apply");
    while let Some((arena, start)) = race.next().await {
        let gate = arena.to_the_gate().await;
        let apply = apply_another(&arena, &gate, start.round, CREATING);
        let (db, id) = (arena.db(), arena.id);
        let (applied, aborted) = start
            .together(apply, async move {
                db.abort_deployment(id, None, &call()).await
            })
            .await;
        aborted.expect("there is a rollout");
        let first = match applied {
            Ok(applied) => {
                let phases = [Operation::Abort, Operation::Abort, Operation::Activate];
                let after = gate.held_back(&arena, &phases).await;
                let third = activated(&applied);
                assert_eq!(after.deployment.state.deploying(), Some(third));
                First::Other
            }
            Err(UnitError::Refused(ApplyRefusal::InProgress(deploying))) => {
                assert_eq!(deploying.id, gate.green);
                let after = gate
                    .held_back(&arena, &[Operation::Abort, Operation::Abort])
                    .await;
                // The revision of the call that was refused is not recorded either.
                assert_eq!(after.deployment.last_revision, gate.before.last_revision);
                First::Promotion
            }
            Err(error) => panic!("{error:?}"),
        };
        race.won_by(first).await;
    }
    race.tell().await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b1_with_the_same_apply(#[case] engine: Engine) {
    let race = Race::new(engine, "the same apply", 14).await;
    let mut race = race.of("an apply");
    while let Some((arena, start)) = race.next().await {
        let gate = arena.to_the_gate().await;
        let apply = || apply_another(&arena, &gate, start.round, SUPERSEDING);
        let (one, other) = (apply(), apply());
        let (one, other) = start.together(one, other).await;
        let (one, other) = (one.expect("it is applied"), other.expect("it is applied"));
        assert_eq!(one.revision, other.revision);
        assert_eq!(one.deployment, other.deployment);
        let after = gate.held_back(&arena, &[Operation::Activate]).await;
        assert_eq!(after.deployment, one.deployment);
        assert_eq!(after.deployment.generation, gate.before.generation + 1);
        let first = match (one.activated, other.activated) {
            (true, false) => First::Promotion,
            (false, true) => First::Other,
            both => panic!("both did it, or neither: {both:?}"),
        };
        race.won_by(first).await;
    }
    race.tell().await;
}

/// An apply of a revision that there is not yet.
fn apply_another(
    arena: &Arena,
    gate: &Gate,
    round: u32,
    options: ApplyOptions,
) -> impl Future<Output = Outcome> + Send + use<> {
    let manifest = TestManifest::of(&gate.before.name).running(&format!("web:{round}"));
    let db = arena.db();
    async move { apply_manifest(&db, manifest, options, &call()).await }
}

fn activated(applied: &Applied) -> RevisionId {
    assert!(applied.activated, "{applied:?}");
    applied.revision.as_ref().expect("a revision").id
}
