//! Where a race is held, and what is so after it.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rand::{RngExt as _, rngs::StdRng};
use tokio::{
    sync::Barrier,
    task::yield_now,
    time::{Instant, timeout},
};
use viridian_strategy::{
    DeploymentId, Lifecycle, Policy, RouteHealth, RouteId, RouteStatus, RouteTraffic, SubStep,
};

use super::places::{After, Gate, Serving};
use crate::{
    HealthReport, Limits, Operation, Route, RouteFilter, Store,
    tests::{
        chance::{chance, count, short, tell},
        fixture::{Engine, Fixture, amend, call, manual, report, spec},
        invariants,
    },
};

/// Round after round of a promotion against something else.
pub(super) struct Race {
    fixture: Arc<Fixture>,
    engine: Engine,
    one: &'static str,
    other: &'static str,
    policy: Policy,
    chance: StdRng,
    rounds: u32,
    round: u32,
    arena: Option<Arena>,
    wins: [u32; 2],
    overlaps: Arc<AtomicU32>,
}

/// Who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// The promotion, or the call in its place.
    Promotion,
    Other,
}

impl Race {
    pub(super) async fn new(engine: Engine, other: &'static str, seed: u64) -> Self {
        // Who waits for the other is to get its turn, however busy the machine is.
        let limits = Limits {
            lock_timeout: Duration::from_secs(20),
            ..Limits::default()
        };
        Self {
            fixture: Arc::new(Fixture::within(engine, limits).await),
            engine,
            one: "a promotion",
            other,
            policy: manual(),
            chance: chance(engine, seed),
            rounds: count("VIRIDIAN_ROUNDS", 100),
            round: 0,
            arena: None,
            wins: [0; 2],
            overlaps: Arc::default(),
        }
    }

    /// The same of another call than a promotion.
    pub(super) fn of(self, one: &'static str) -> Self {
        Self { one, ..self }
    }

    /// The same with another policy than a manual gate.
    pub(super) fn with(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Where the next round is held, and how it starts. None after the last.
    pub(super) async fn next(&mut self) -> Option<(Arena, Start)> {
        if self.round == self.rounds {
            return None;
        }
        if self.round.is_multiple_of(ROUNDS_A_DEPLOYMENT) {
            self.arena = None;
        }
        let arena = match self.arena.take() {
            Some(arena) => arena,
            None => Arena {
                id: self.fixture.ready(ROUTES, self.policy.clone()).await,
                fixture: Arc::clone(&self.fixture),
            },
        };
        self.arena = Some(arena.clone());
        let mut offsets = [Duration::ZERO, short(&mut self.chance, LONGEST)];
        if self.chance.random() {
            offsets.reverse();
        }
        let start = Start {
            round: self.round,
            offsets,
            overlaps: Arc::clone(&self.overlaps),
        };
        Some((arena, start))
    }

    /// The next round is held elsewhere: this one ended the deployment.
    pub(super) fn leave(&mut self) {
        self.arena = None;
    }

    /// Ends a round.
    pub(super) async fn won_by(&mut self, first: First) {
        self.wins[usize::from(first == First::Other)] += 1;
        self.round += 1;
        if self.round.is_multiple_of(10) {
            invariants::hold(&self.fixture).await;
        }
    }

    /// Tells how it went. A race that one side always wins proves nothing.
    pub(super) async fn tell(self) {
        invariants::hold(&self.fixture).await;
        let Self {
            rounds, wins, one, ..
        } = self;
        let overlaps = self.overlaps.load(Ordering::Relaxed);
        tell(&format!(
            "{:?}, {one} with {}, {rounds} rounds: {} were won by the former, {} by the latter; \
             in {overlaps} both were under way at one moment",
            self.engine, self.other, wins[0], wins[1]
        ));
        let few = rounds.div_ceil(50);
        assert!(wins.iter().all(|&won| won >= few), "{wins:?} of {rounds}");
        assert!(overlaps >= few, "{overlaps} of {rounds}");
    }
}

/// How a round starts.
pub(super) struct Start {
    pub(super) round: u32,
    offsets: [Duration; 2],
    overlaps: Arc<AtomicU32>,
}

impl Start {
    /// Does two things at one moment, but for the offset of one of them.
    pub(super) async fn together<A: Send + 'static, B: Send + 'static>(
        self,
        one: impl Future<Output = A> + Send + 'static,
        other: impl Future<Output = B> + Send + 'static,
    ) -> (A, B) {
        let barrier = Arc::new(Barrier::new(2));
        let one = tokio::spawn(start(Arc::clone(&barrier), self.offsets[0], one));
        let other = tokio::spawn(start(barrier, self.offsets[1], other));
        let both = async { tokio::join!(one, other) };
        let (one, other) = timeout(WAIT_TIMEOUT, both).await.expect("both have ended");
        let (one, one_at) = one.expect("no panic");
        let (other, other_at) = other.expect("no panic");
        if one_at.start < other_at.end && other_at.start < one_at.end {
            self.overlaps.fetch_add(1, Ordering::Relaxed);
        }
        (one, other)
    }
}

/// Timers are too coarse for this.
async fn start<T>(
    barrier: Arc<Barrier>,
    offset: Duration,
    call: impl Future<Output = T>,
) -> (T, Range<Instant>) {
    barrier.wait().await;
    let start = Instant::now() + offset;
    while Instant::now() < start {
        yield_now().await;
    }
    let reply = call.await;
    (reply, start..Instant::now())
}

/// A deployment that is brought to its gate for each round.
#[derive(Clone)]
pub(super) struct Arena {
    pub(super) fixture: Arc<Fixture>,
    pub(super) id: DeploymentId,
}

impl Arena {
    pub(super) fn db(&self) -> Store {
        self.fixture.db.clone()
    }

    /// Ends what is going on, and deploys another revision up to the gate.
    pub(super) async fn to_the_gate(&self) -> Gate {
        let (db, id) = (&self.fixture.db, self.id);
        let now = self.fixture.get(id).await;
        if now.target_replicas != ROUTES {
            let update = amend(move |it| it.target_replicas = ROUTES);
            let updated = db.update_deployment(id, update, &call()).await;
            updated.expect("it may be updated");
        }
        if now.state.deploying().is_none() {
            let created = db.create_revision(id, spec(), true, &call()).await;
            created.expect("it is activated");
        }
        for _ in 0..10 {
            db.reconcile(id).await.expect("the cycle runs");
            let before = self.fixture.get(id).await;
            let (blue, green) = (before.status.blue, before.status.green);
            let at_gate = before.state.sub_step() == Some(SubStep::AwaitingPromotion);
            if at_gate && blue.ready == ROUTES && green.ready == ROUTES {
                return Gate::of(self, before).await;
            }
            self.bring_up().await;
        }
        panic!("it does not get to the gate: {now:?}");
    }

    /// Ends what is going on, and brings the deployment to rest.
    pub(super) async fn to_ready(&self) -> Serving {
        let (db, id) = (&self.fixture.db, self.id);
        if self.fixture.get(id).await.state.deploying().is_some() {
            let aborted = db.abort_deployment(id, None, &call()).await;
            aborted.expect("it may be aborted");
        }
        for _ in 0..20 {
            db.reconcile(id).await.expect("the cycle runs");
            let before = self.fixture.get(id).await;
            if before.state.lifecycle() == Lifecycle::Ready && before.status.blockers.is_empty() {
                let routes = self.live_routes().await;
                let active = routes
                    .iter()
                    .filter(|route| route.view.traffic == RouteTraffic::Active);
                return Serving {
                    last_history: before.last_history,
                    routes: active.map(|route| route.view.id).collect(),
                };
            }
            self.bring_up().await;
        }
        panic!("it does not come to rest");
    }

    /// Has the fleet do all that it has to do, with success.
    pub(super) async fn bring_up(&self) {
        let mut starting = Vec::new();
        let mut statuses = Vec::new();
        for route in self.live_routes().await {
            match route.view.status {
                RouteStatus::Provisioning => {
                    statuses.push(report(route.view.id, RouteStatus::Running));
                    starting.push(route.view.id);
                }
                RouteStatus::Terminating => {
                    statuses.push(report(route.view.id, RouteStatus::Terminated));
                }
                _ if route.view.health != RouteHealth::Healthy => starting.push(route.view.id),
                _ => {}
            }
        }
        let health = starting
            .iter()
            .map(|&route| HealthReport::new(route, RouteHealth::Healthy));
        let db = &self.fixture.db;
        let applied = db.report_statuses(statuses).await.expect("they are taken");
        assert!(applied.iter().all(Result::is_ok), "{applied:?}");
        let applied = db.report_health(health.collect()).await;
        let applied = applied.expect("they are taken");
        assert!(applied.iter().all(Result::is_ok), "{applied:?}");
    }

    pub(super) async fn live_routes(&self) -> Vec<Route> {
        let filter = RouteFilter {
            statuses: vec![
                RouteStatus::Provisioning,
                RouteStatus::Running,
                RouteStatus::Terminating,
            ],
            revision: None,
        };
        let routes = self
            .fixture
            .db
            .reader()
            .await
            .expect("a reader")
            .list_routes(self.id, filter, None, 1_000)
            .await;
        routes.expect("they are read")
    }

    pub(super) async fn health(&self, id: RouteId) -> RouteHealth {
        let routes = self.live_routes().await;
        let route = routes.iter().find(|route| route.view.id == id);
        route.expect("it is live").view.health
    }

    /// What is so after a round: asserts what was recorded in it.
    pub(super) async fn after(&self, last_history: i64, phases: &[Operation]) -> After {
        let deployment = self.fixture.get(self.id).await;
        let routes = self.live_routes().await;
        let moves = self
            .fixture
            .db
            .reader()
            .await
            .expect("a reader")
            .list_history(self.id, None, 10)
            .await;
        let mut moves = moves.expect("it is read");
        moves.retain(|entry| entry.number > last_history);
        moves.reverse();
        let done: Vec<Operation> = moves.iter().map(|entry| entry.phase).collect();
        assert_eq!(done, phases);
        After {
            deployment,
            routes,
            moves,
        }
    }
}

pub(super) const ROUTES: u32 = 3;
const ROUNDS_A_DEPLOYMENT: u32 = 50;
const LONGEST: Duration = Duration::from_millis(5);
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
