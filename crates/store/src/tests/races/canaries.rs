//! What may happen to a canary at the moment at which its share rises.

use std::time::Duration;

use rstest_reuse::apply;
use viridian_strategy::{
    BlueGreen, Canary, CanaryStep, DeploymentState, IntOrPercent, Lifecycle, Policy, RevisionId,
    RouteTraffic, Strategy, SubStep, verbs::AdvanceRejection,
};

use super::arena::{Arena, First, ROUTES, Race};
use crate::{
    AdvanceOptions, AdvanceRefusal, Operation, Projects, StoreError, Tables, TrafficTable,
    UnitError, Updated,
    tests::fixture::{Engine, call, engines},
};

/// A canary at its first step, with all of green ready.
struct HeldStep {
    last_history: i64,
    blue: RevisionId,
    green: RevisionId,
}

/// The rise does not come after the abort's reply: whoever is first, blue alone has the traffic
/// then, and keeps it.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a2_an_abort_with_a_rise(#[case] engine: Engine) {
    let mut race = race(engine, "a rise", 31, "an abort").await;
    while let Some((arena, start)) = race.next().await {
        let held = to_the_first_step(&arena).await;
        advance(&arena, 1).await.expect("it is held");
        let (aborted, rise) = start.together(abort(&arena), look(&arena)).await;
        let aborted = aborted.expect("it is under way").deployment;
        rise.expect("the cycle runs");
        let (first, phases) = match rose(&arena, held.last_history).await {
            true => (First::Other, vec![Operation::Advance, Operation::Shift]),
            false => (First::Promotion, vec![Operation::Advance]),
        };
        let phases = [phases, vec![Operation::Abort; 2]].concat();
        let after = arena.after(held.last_history, &phases).await;
        assert_eq!(after.deployment, aborted);
        is_back(&arena, &held).await;
        // Nor does any later look bring it back.
        look(&arena).await.expect("the cycle runs");
        is_back(&arena, &held).await;
        race.won_by(first).await;
    }
    race.tell().await;
}

/// One of them ends the hold of the step that both saw.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_an_advance_with_the_same_advance(#[case] engine: Engine) {
    let mut race = race(engine, "the same advance", 32, "an advance").await;
    while let Some((arena, start)) = race.next().await {
        let held = to_the_first_step(&arena).await;
        let both = start.together(advance(&arena, 1), advance(&arena, 1)).await;
        let (first, refused) = match both {
            (Ok(_), Err(refused)) => (First::Promotion, refused),
            (Err(refused), Ok(_)) => (First::Other, refused),
            both => panic!("both were done, or neither was: {both:?}"),
        };
        assert_eq!(rules(refused), AdvanceRejection::NotHolding);
        look(&arena).await.expect("the cycle runs");
        let phases = [Operation::Advance, Operation::Shift];
        let after = arena.after(held.last_history, &phases).await;
        let step = after
            .deployment
            .state
            .rollout()
            .expect("it goes on")
            .canary
            .step;
        assert_eq!(step, 2, "one step further, and not two");
        race.won_by(first).await;
    }
    race.tell().await;
}

/// The look that sees the advance is the one that rises.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_an_advance_with_a_look(#[case] engine: Engine) {
    let mut race = race(engine, "a look", 33, "an advance").await;
    while let Some((arena, start)) = race.next().await {
        let held = to_the_first_step(&arena).await;
        let (advanced, looked) = start.together(advance(&arena, 1), look(&arena)).await;
        advanced.expect("it is held either way");
        looked.expect("the cycle runs");
        let first = match rose(&arena, held.last_history).await {
            true => First::Promotion,
            false => First::Other,
        };
        look(&arena).await.expect("the cycle runs");
        let phases = [Operation::Advance, Operation::Shift];
        arena.after(held.last_history, &phases).await;
        assert_eq!(weights(&arena).await, [500, 500]);
        race.won_by(first).await;
    }
    race.tell().await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a2_an_advance_with_an_abort(#[case] engine: Engine) {
    let mut race = race(engine, "an abort", 34, "an advance").await;
    while let Some((arena, start)) = race.next().await {
        let held = to_the_first_step(&arena).await;
        let (advanced, aborted) = start.together(advance(&arena, 1), abort(&arena)).await;
        aborted.expect("it is under way");
        let (first, phases) = match advanced {
            Ok(_) => (First::Promotion, vec![Operation::Advance]),
            Err(refused) => {
                let ready = AdvanceRejection::NotDeploying(Lifecycle::Ready);
                assert_eq!(rules(refused), ready);
                (First::Other, vec![])
            }
        };
        let phases = [phases, vec![Operation::Abort; 2]].concat();
        arena.after(held.last_history, &phases).await;
        look(&arena).await.expect("the cycle runs");
        is_back(&arena, &held).await;
        race.won_by(first).await;
    }
    race.tell().await;
}

/// All of green has all of the traffic, and no share comes after that.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a2_a_promotion_with_a_rise(#[case] engine: Engine) {
    let mut race = race(engine, "a rise", 35, "a promotion").await;
    while let Some((arena, start)) = race.next().await {
        let held = to_the_first_step(&arena).await;
        advance(&arena, 1).await.expect("it is held");
        let promote = {
            let (db, id) = (arena.db(), arena.id);
            async move { db.complete_manual_promote(id, None, &call()).await }
        };
        let (promoted, rise) = start.together(promote, look(&arena)).await;
        let promoted = promoted.expect("all of green are ready");
        rise.expect("the cycle runs");
        let (first, phases) = match rose(&arena, held.last_history).await {
            true => (First::Other, vec![Operation::Advance, Operation::Shift]),
            false => (First::Promotion, vec![Operation::Advance]),
        };
        let phases = [phases, vec![Operation::Promote]].concat();
        let after = arena.after(held.last_history, &phases).await;
        assert_eq!(after.deployment, promoted.deployment);
        let ready = DeploymentState::Ready {
            current: held.green,
        };
        assert_eq!(after.deployment.state, ready);
        assert_eq!(after.active().len(), ROUTES as usize);
        assert!(weights(&arena).await.is_empty());
        race.won_by(first).await;
    }
    race.tell().await;
}

/// A rise comes before the pause, or not at all until it ends.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a2_a_pause_with_a_rise(#[case] engine: Engine) {
    let mut race = race(engine, "a rise", 36, "a pause").await;
    while let Some((arena, start)) = race.next().await {
        let held = to_the_first_step(&arena).await;
        advance(&arena, 1).await.expect("it is held");
        let pause = {
            let (db, id) = (arena.db(), arena.id);
            async move { db.pause_deployment(id, &call()).await }
        };
        let (paused, rise) = start.together(pause, look(&arena)).await;
        let paused = paused.expect("it runs").deployment;
        rise.expect("the cycle runs");
        let (first, phases, shares) = match rose(&arena, held.last_history).await {
            true => (
                First::Other,
                vec![Operation::Advance, Operation::Shift],
                [500, 500],
            ),
            false => (First::Promotion, vec![Operation::Advance], [900, 100]),
        };
        look(&arena).await.expect("the cycle runs");
        let phases = [phases, vec![Operation::Pause]].concat();
        let after = arena.after(held.last_history, &phases).await;
        assert_eq!(after.deployment, paused);
        assert_eq!(weights(&arena).await, shares);
        race.won_by(first).await;
    }
    race.tell().await;
}

async fn race(engine: Engine, other: &'static str, seed: u64, one: &'static str) -> Race {
    let step = |weight_permille| CanaryStep {
        weight_permille,
        hold: Duration::ZERO,
        manual: true,
        replicas: Some(IntOrPercent::Percent(100)),
    };
    let policy = Policy {
        strategy: Strategy::Canary(Canary {
            steps: vec![step(100), step(500), step(800)],
            switch: BlueGreen::default(),
        }),
        ..Policy::default()
    };
    Race::new(engine, other, seed).await.of(one).with(policy)
}

/// Ends what is going on, and deploys another revision up to its first share.
async fn to_the_first_step(arena: &Arena) -> HeldStep {
    let (db, id) = (arena.db(), arena.id);
    if arena.fixture.get(id).await.paused {
        arena.fixture.pause(id, false).await;
    }
    arena.to_ready().await;
    let call = call();
    let created = db.create_revision(id, crate::tests::fixture::spec(), true, &call);
    created.await.expect("it is activated");
    for _ in 0..10 {
        db.reconcile(id).await.expect("the cycle runs");
        let now = arena.fixture.get(id).await;
        let all = now.status.green.ready == ROUTES && now.status.blue.ready == ROUTES;
        if now.state.sub_step() == Some(SubStep::Shifting) && all {
            assert_eq!(weights(arena).await, [900, 100]);
            return HeldStep {
                last_history: now.last_history,
                blue: now.state.current().expect("it serves"),
                green: now.state.deploying().expect("it is being deployed"),
            };
        }
        arena.bring_up().await;
    }
    panic!("it does not get to its first step");
}

fn advance(
    arena: &Arena,
    step: u32,
) -> impl Future<Output = Result<Updated, UnitError<AdvanceRefusal>>> + Send + use<> {
    let (db, id) = (arena.db(), arena.id);
    let options = AdvanceOptions {
        expected_step: Some(step),
        ..AdvanceOptions::default()
    };
    async move { db.advance_deployment(id, options, &call()).await }
}

fn abort(
    arena: &Arena,
) -> impl Future<Output = Result<Updated, UnitError<crate::AbortRefusal>>> + Send + use<> {
    let (db, id) = (arena.db(), arena.id);
    async move { db.abort_deployment(id, None, &call()).await }
}

fn look(arena: &Arena) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
    let (db, id) = (arena.db(), arena.id);
    async move { db.reconcile(id).await.map(|_| ()) }
}

/// Whether the share has risen since.
async fn rose(arena: &Arena, last_history: i64) -> bool {
    let history = arena.fixture.history(arena.id).await;
    let since = history.iter().filter(|it| it.number > last_history);
    since.map(|it| it.phase).any(|it| it == Operation::Shift)
}

async fn table(arena: &Arena) -> TrafficTable {
    let mut reader = arena.fixture.db.reader().await.expect("a reader");
    let tables = Tables::Of(vec![arena.id]);
    let tables = reader.traffic_tables(tables, Projects::All).await;
    tables.expect("it is read").remove(0)
}

async fn weights(arena: &Arena) -> Vec<u16> {
    let table = table(arena).await;
    table.weights.iter().map(|it| it.weight).collect()
}

/// Blue has all of the traffic, and no route of green has any.
async fn is_back(arena: &Arena, held: &HeldStep) {
    let table = table(arena).await;
    assert_eq!(table.weights, []);
    assert_eq!(table.endpoints.len(), ROUTES as usize);
    let blue = |revision| revision == Some(held.blue);
    assert!(table.endpoints.iter().all(|it| blue(it.revision)));
    let routes = arena.live_routes().await;
    let of_green = routes.iter().filter(|it| it.view.revision == held.green);
    let traffic: Vec<_> = of_green.map(|it| it.view.traffic).collect();
    assert_eq!(traffic, [RouteTraffic::Inactive; ROUTES as usize]);
}

fn rules(refused: UnitError<AdvanceRefusal>) -> AdvanceRejection {
    match refused {
        UnitError::Refused(AdvanceRefusal::Rules(rejection)) => rejection,
        refused => panic!("{refused:?}"),
    }
}
