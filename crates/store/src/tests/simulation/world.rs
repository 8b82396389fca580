//! Many deployments in one database, on one clock that jumps to the next event of the
//! replicas and callers, or to the coordinator's next poll.

mod checks;
mod deeds;
mod shares;

use std::{collections::HashMap, ops::Range, time::Duration};

use viridian_strategy::{DeploymentId, Timestamp};

use super::{
    callers::CallFailure, coordinator::SimulatedCoordinator, coverage::SimulationCoverage,
    generators::rng::Rng, life::SimulatedDeployment, poison,
};
use crate::{
    AssignmentSelection, Deployment, Projects, ReportError, Store, TrafficTable,
    tests::{
        fixture::{Engine, Fixture, call},
        virtual_time::VirtualTime,
    },
};

pub(super) struct SimulatedStore<'a> {
    engine: Engine,
    mode: SimulationMode,
    time: VirtualTime,
    /// None only during a restart.
    fixture: Option<Fixture>,
    lives: Vec<SimulatedDeployment>,
    places: HashMap<DeploymentId, usize>,
    coordinator: SimulatedCoordinator,
    /// For events that concern all deployments.
    rng: Rng,
    check_at: Timestamp,
    /// The traffic tables that were read last.
    tables: HashMap<DeploymentId, TrafficTable>,
    /// The seed of the last rollout in which a canary had a share, and what it asked for.
    asked: HashMap<DeploymentId, (u64, u16)>,
    coverage: &'a mut SimulationCoverage,
}

/// How events are handled.
#[derive(Clone, Copy, Debug)]
pub(super) struct SimulationMode {
    /// Reports, calls and reconciles of one instant run concurrently.
    pub(super) together: bool,
    /// One in this many notifications does not reach the coordinator.
    pub(super) loses: Option<u64>,
    /// How long a reported health counts.
    pub(super) health_ttl: Option<Duration>,
    /// The clock that decides is set back now and then, and put forward.
    pub(super) clock_steps: bool,
}

type Reply = Result<Deployment, CallFailure>;
type Results = Vec<Result<(), ReportError>>;

impl<'a> SimulatedStore<'a> {
    pub(super) async fn new(
        engine: Engine,
        mode: SimulationMode,
        seeds: Range<u64>,
        coverage: &'a mut SimulationCoverage,
    ) -> Self {
        let (time, fixture) = VirtualTime::new(engine).await;
        let fixture = fixture.with_health_ttl(mode.health_ttl);
        poison::prepare(&fixture, engine).await;
        let now = time.now();
        let mut world = Self {
            coordinator: start(&fixture.db, engine, mode, now),
            rng: Rng::new(seeds.start, None),
            engine,
            mode,
            time,
            fixture: Some(fixture),
            lives: Vec::new(),
            places: HashMap::new(),
            check_at: now + CHECK_INTERVAL,
            tables: HashMap::new(),
            asked: HashMap::new(),
            coverage,
        };
        for seed in seeds {
            let (mut life, new) = SimulatedDeployment::new(seed, mode.health_ttl);
            let created = open(&world.fixture)
                .db
                .create_deployment(new, &call())
                .await;
            life.begin(&created.expect("it is created").deployment, now);
            world.places.insert(life.id, world.lives.len());
            world.lives.push(life);
        }
        world
    }

    /// Runs until every deployment is at rest.
    pub(super) async fn live(mut self) {
        while let Some(next) = self.next_at() {
            self.time.set(next).await;
            if self.rng.one_in(100) {
                self.restart().await;
            }
            if self.mode.clock_steps && self.rng.one_in(100) {
                self.step_clock().await;
            }
            self.coverage.count("instants");
            let deeds = self.take_deeds().await;
            if self.mode.together {
                self.do_together(deeds).await;
            } else {
                self.do_in_order(deeds).await;
            }
            self.silence().await;
            self.assign().await;
            self.coordinate().await;
            self.nothing_waits().await;
            self.tables_move_on().await;
            self.nothing_strays().await;
            if self.check_at <= self.time.now() {
                self.check_at = self.time.now() + CHECK_INTERVAL;
                self.check().await;
            }
        }
        self.check().await;
        self.is_at_rest().await;
        self.coverage.record(open(&self.fixture)).await;
    }

    /// When something happens next. None once nothing will.
    fn next_at(&self) -> Option<Timestamp> {
        // Checkers repeat what they see for ever, which is no reason to go on.
        let rests = |life: &SimulatedDeployment| life.rests && life.agenda.has_only_checks();
        let is_over = self.lives.iter().all(rests) && self.coordinator.is_idle;
        let agendas = self.lives.iter().filter(|_| !is_over);
        let agendas = agendas.filter_map(|life| life.agenda.next_at());
        let fates = agendas.chain(self.coordinator.assignments_at).min();
        let next = match fates {
            Some(at) => Some(at.min(self.coordinator.look_at)),
            None => (!self.coordinator.is_idle).then_some(self.coordinator.look_at),
        };
        next.map(|at| at.max(self.time.now()))
    }

    /// Stops the server for a while, then starts another one.
    async fn restart(&mut self) {
        self.coverage.count("restarts");
        let away = self.rng.wait(0, 60);
        self.time.pass(away).await;
        let fixture = self.fixture.take().expect("it is open");
        let fixture = self.time.restart(fixture).await;
        self.fixture = Some(fixture.with_health_ttl(self.mode.health_ttl));
        let now = self.time.now();
        self.coordinator = start(&open(&self.fixture).db, self.engine, self.mode, now);
        self.lives
            .iter_mut()
            .for_each(SimulatedDeployment::clear_failures);
        // All that became due meanwhile is reconciled first.
        self.coordinate().await;
    }

    /// Someone sets the clock. What a process calls its own never goes back: on SQLite only
    /// another process finds it earlier.
    async fn step_clock(&mut self) {
        let by = self.rng.wait(1, 120);
        if self.rng.one_in(2) {
            self.coverage.count("clocks put forward");
            self.time.pass(by).await;
        } else {
            self.coverage.count("clocks set back");
            self.time.set_back(by).await;
            if matches!(self.engine, Engine::Sqlite) {
                self.restart().await;
            }
        }
        // The server polls every few seconds, whatever it waits for.
        self.coordinator.look_at = self.time.now();
    }

    /// The server writes down its reports now and then, and ends what nobody confirms.
    async fn silence(&mut self) {
        let Some(ttl) = self.mode.health_ttl else {
            return;
        };
        let (now, db) = (self.time.now(), &open(&self.fixture).db);
        if self.rng.one_in(4) {
            let flushed = db.flush_last_reports().await;
            flushed.expect("the database is there");
        }
        if !self.rng.one_in(4) {
            return;
        }
        let silenced = db.end_silent_health(ttl + ttl / 4).await;
        let silenced = silenced.expect("the database is there");
        for id in silenced.routes {
            self.coverage.count("healths that were silenced");
            let of = self.lives.iter_mut().find(|life| life.fleet.has(id));
            of.expect("its replica is known").goes_on(now);
        }
        for (id, error) in silenced.failed {
            let life = &self.lives[self.places[&id]];
            if life.poison.is_none() || !error.is_of_rows() {
                life.fail(format!("its health cannot be ended: {error}"));
            }
        }
    }

    /// The schedulers read their assignments, if they were notified.
    async fn assign(&mut self) {
        let now = self.time.now();
        self.coordinator.receive(now, &mut self.rng);
        if self.coordinator.assignments_at.is_none_or(|at| at > now) {
            return;
        }
        let db = &open(&self.fixture).db;
        let found = db.open_assignments(super::GROUP, Projects::All, &AssignmentSelection::All);
        let found = found.await.expect("they are listed");
        self.coordinator.assignments_at = found.next.map(|wait| now + wait);
        for assignment in &found.open {
            let revision = db.revision(assignment.route.view.revision).await;
            let revision = revision.expect("it is read").expect("a route has one");
            let life = &mut self.lives[self.places[&assignment.route.deployment]];
            let SimulatedDeployment {
                fleet, rng, agenda, ..
            } = life;
            fleet.take(assignment, revision.number, now, rng, agenda);
        }
    }

    /// The coordinator reconciles until nothing is due, if it has been woken.
    async fn coordinate(&mut self) {
        let now = self.time.now();
        self.coordinator.receive(now, &mut self.rng);
        let db = open(&self.fixture).db.clone();
        for _ in 0..10_000 {
            if self.coordinator.look_at > now {
                return self.assign().await;
            }
            let passes = self.coordinator.pass(&db, now, &mut self.rng).await;
            for pass in passes {
                self.is_sound(pass);
            }
            self.coordinator.receive(now, &mut self.rng);
        }
        panic!("the queue does not empty at {now}");
    }
}

fn open(fixture: &Option<Fixture>) -> &Fixture {
    fixture.as_ref().expect("it is open")
}

fn start(db: &Store, engine: Engine, mode: SimulationMode, now: Timestamp) -> SimulatedCoordinator {
    let workers = match engine {
        Engine::Sqlite => 1,
        Engine::Postgres => 2,
    };
    SimulatedCoordinator::start(db, now, workers, mode.loses)
}

/// How often the invariants are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);
const RETRY_DELAY: Duration = Duration::from_secs(2);
