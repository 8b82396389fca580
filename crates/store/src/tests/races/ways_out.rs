//! Roll-backs and deletions against what else may happen to the same deployment.

use rstest_reuse::apply;
use viridian_strategy::{Lifecycle, RevisionId, RouteHealth, verbs::PromoteRejection};

use super::{
    Promoted,
    arena::{Arena, First, Race},
    over, promote,
};
use crate::{
    HealthReport, Operation, PromoteRefusal, RollBackOptions, RollBackRefusal, RolledBack,
    UnitError, Updated,
    tests::fixture::{Engine, call, engines},
};

/// Its caller saw blue serve. It gives green up, or comes too late and never takes it down.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b2_a_roll_back_of_what_served_with_a_promotion(#[case] engine: Engine) {
    let mut race = Race::new(engine, "a roll-back", 15).await;
    while let Some((arena, start)) = race.next().await {
        let gate = arena.to_the_gate().await;
        let back = roll_back(&arena, Some(gate.blue));
        let (promoted, back) = start.together(promote(&arena, &gate), back).await;
        let first = match (promoted, back) {
            (Ok(promotion), Err(UnitError::Refused(refusal))) => {
                let RollBackRefusal::Revision { expected, actual } = refusal else {
                    panic!("{refusal:?}");
                };
                let actual = actual.map(|it| it.id);
                assert_eq!((expected, actual), (gate.blue, Some(gate.green)));
                let after = gate
                    .promoted(&arena, &promotion, &[Operation::Promote])
                    .await;
                assert_eq!(after.deployment, promotion.deployment);
                First::Promotion
            }
            (Err(refusal), Ok(back)) => {
                over(refusal);
                assert!(back.instant, "{back:?}");
                let phases = [Operation::RollBack, Operation::RollBack];
                let after = gate.held_back(&arena, &phases).await;
                assert_eq!(after.deployment, back.deployment);
                after.ended(&gate.green_routes);
                First::Other
            }
            both => panic!("both were done, or neither was: {both:?}"),
        };
        race.won_by(first).await;
    }
    race.tell().await;
}

/// Two operators roll the same bad revision back: one of them does it, and neither goes further.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b2_a_roll_back_with_the_same_roll_back(#[case] engine: Engine) {
    let race = Race::new(engine, "the same roll-back", 16).await;
    let mut race = race.of("a roll-back");
    while let Some((arena, start)) = race.next().await {
        let gate = arena.to_the_gate().await;
        promote(&arena, &gate).await.expect("it is at its gate");
        let serving = arena.to_ready().await;
        let bad = Some(gate.green);
        let both = start
            .together(roll_back(&arena, bad), roll_back(&arena, bad))
            .await;
        let (first, done, refusal) = match both {
            (Ok(done), refusal @ Err(_)) => (First::Promotion, done, refused(refusal)),
            (refusal @ Err(_), Ok(done)) => (First::Other, done, refused(refusal)),
            both => panic!("both were done, or neither was: {both:?}"),
        };
        let in_progress = |it| matches!(it, RollBackRefusal::InProgress(to) if to.id == gate.blue);
        assert!(in_progress(refusal), "{refusal:?}");
        let after = serving.after(&arena, &[Operation::RollBack]).await;
        assert_eq!(after.deployment, done.deployment);
        assert_eq!(after.deployment.state.deploying(), Some(gate.blue));
        assert_eq!(after.active(), serving.routes, "what serves is not touched");
        arena.to_ready().await;
        race.won_by(first).await;
    }
    race.tell().await;
}

/// A deletion by force ends all routes, those that have just been promoted, too.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_a_deletion_by_force_with_a_promotion(#[case] engine: Engine) {
    let mut race = Race::new(engine, "a deletion by force", 17).await;
    while let Some((arena, start)) = race.next().await {
        let gate = arena.to_the_gate().await;
        let both = start.together(promote(&arena, &gate), destroy(&arena));
        let (promoted, destroyed): (Promoted, _) = both.await;
        let destroyed = destroyed.expect("it is deleted either way");
        let (first, phases, served) = match promoted {
            Ok(_) => {
                let phases = vec![Operation::Promote, Operation::Delete];
                (First::Promotion, phases, gate.green)
            }
            Err(UnitError::Refused(PromoteRefusal::Rules(rejection))) => {
                let gone = PromoteRejection::NotDeploying(Lifecycle::Destroyed);
                assert_eq!(rejection, gone);
                (First::Other, vec![Operation::Delete], gate.blue)
            }
            Err(error) => panic!("{error:?}"),
        };
        let after = arena.after(gate.before.last_history, &phases).await;
        assert_eq!(after.deployment, destroyed.deployment);
        assert_eq!(after.deployment.state.lifecycle(), Lifecycle::Destroyed);
        assert_eq!(after.deployment.state.current(), Some(served));
        assert!(after.routes.is_empty(), "{:?}", after.routes);
        race.leave();
        race.won_by(first).await;
    }
    race.tell().await;
}

/// A report that comes too late is refused by itself, and brings nothing back.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_a_deletion_by_force_with_a_report(#[case] engine: Engine) {
    let race = Race::new(engine, "a deletion by force", 18).await;
    let mut race = race.of("a report of UNHEALTHY");
    while let Some((arena, start)) = race.next().await {
        let serving = arena.to_ready().await;
        let seen = HealthReport::new(serving.routes[0], RouteHealth::Unhealthy);
        let db = arena.db();
        let reported = async move { db.report_health(vec![seen]).await };
        let (reported, destroyed) = start.together(reported, destroy(&arena)).await;
        let destroyed = destroyed.expect("it is deleted either way");
        let reported = reported.expect("the batch is taken").remove(0);
        let after = serving.after(&arena, &[Operation::Delete]).await;
        assert_eq!(after.deployment, destroyed.deployment);
        assert!(after.routes.is_empty(), "{:?}", after.routes);
        race.leave();
        let first = if reported.is_ok() {
            First::Promotion
        } else {
            First::Other
        };
        race.won_by(first).await;
    }
    race.tell().await;
}

/// A roll-back of what its caller saw serve, to what served before.
fn roll_back(
    arena: &Arena,
    expected_revision: Option<RevisionId>,
) -> impl Future<Output = Result<RolledBack, UnitError<RollBackRefusal>>> + Send + use<> {
    let (db, id) = (arena.db(), arena.id);
    let options = RollBackOptions {
        expected_revision,
        ..RollBackOptions::default()
    };
    async move { db.roll_back_deployment(id, options, &call()).await }
}

fn destroy(
    arena: &Arena,
) -> impl Future<Output = Result<Updated, UnitError<viridian_strategy::verbs::DeleteRejection>>>
+ Send
+ use<> {
    let (db, id) = (arena.db(), arena.id);
    async move { db.destroy_deployment(id, &call()).await }
}

/// Why a roll-back was refused.
fn refused(outcome: Result<RolledBack, UnitError<RollBackRefusal>>) -> RollBackRefusal {
    match outcome {
        Err(UnitError::Refused(refusal)) => refusal,
        outcome => panic!("{outcome:?}"),
    }
}
