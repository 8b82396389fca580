//! Many lives in one database, on one clock that jumps to what is next: the
//! fleets' and the callers' deeds, or the coordinator's next look.

mod checks;
mod deeds;

use std::{collections::HashMap, ops::Range, time::Duration};

use viridian_strategy::{DeploymentId, Timestamp};

use super::{
    callers::Told, coordinator::Coordinator, coverage::Coverage, generators::rng::Rng, life::Life,
    poison,
};
use crate::{
    Deployment, Projects, ReportError, Store, TrafficTable,
    tests::{
        fixture::{Engine, Fixture, call},
        virtual_time::VirtualTime,
    },
};

pub(super) struct World<'a> {
    engine: Engine,
    manner: Manner,
    time: VirtualTime,
    /// None only while it is started anew.
    fixture: Option<Fixture>,
    lives: Vec<Life>,
    places: HashMap<DeploymentId, usize>,
    coordinator: Coordinator,
    /// Of what happens to all of them.
    rng: Rng,
    check_at: Timestamp,
    /// As they were seen last.
    tables: HashMap<DeploymentId, TrafficTable>,
    coverage: &'a mut Coverage,
}

/// What a world is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Reports, calls and cycles of one instant are under way together, and not
    /// one behind the other.
    pub(super) together: bool,
    /// Of so many announcements of a commit the coordinator does not hear one.
    pub(super) loses: Option<u64>,
}

type Reply = Result<Deployment, Told>;
type Results = Vec<Result<(), ReportError>>;

impl<'a> World<'a> {
    pub(super) async fn new(
        engine: Engine,
        manner: Manner,
        seeds: Range<u64>,
        coverage: &'a mut Coverage,
    ) -> Self {
        let (time, fixture) = VirtualTime::new(engine).await;
        poison::prepare(&fixture, engine).await;
        let now = time.now();
        let mut world = Self {
            coordinator: start(&fixture.db, engine, manner, now),
            rng: Rng::new(seeds.start, None),
            engine,
            manner,
            time,
            fixture: Some(fixture),
            lives: Vec::new(),
            places: HashMap::new(),
            check_at: now + EVERY,
            tables: HashMap::new(),
            coverage,
        };
        for seed in seeds {
            let (mut life, new) = Life::new(seed);
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

    /// Lives until all is at rest.
    pub(super) async fn live(mut self) {
        while let Some(next) = self.next_at() {
            self.time.set(next).await;
            if self.rng.one_in(100) {
                self.restart().await;
            }
            self.coverage.count("instants");
            let deeds = self.take_deeds().await;
            if self.manner.together {
                self.do_together(deeds).await;
            } else {
                self.do_in_order(deeds).await;
            }
            self.assign().await;
            self.coordinate().await;
            self.nothing_waits().await;
            self.tables_move_on().await;
            if self.check_at <= self.time.now() {
                self.check_at = self.time.now() + EVERY;
                self.check().await;
            }
        }
        self.check().await;
        self.is_at_rest().await;
        self.coverage.record(open(&self.fixture)).await;
    }

    /// When something happens next. None once nothing will.
    fn next_at(&self) -> Option<Timestamp> {
        let agendas = self.lives.iter().filter_map(|life| life.agenda.next_at());
        let fates = agendas.chain(self.coordinator.assignments_at).min();
        let next = match fates {
            Some(at) => Some(at.min(self.coordinator.look_at)),
            None => (!self.coordinator.is_idle).then_some(self.coordinator.look_at),
        };
        next.map(|at| at.max(self.time.now()))
    }

    /// The server is away for a while, and another one takes over.
    async fn restart(&mut self) {
        self.coverage.count("restarts");
        let away = self.rng.wait(0, 60);
        self.time.pass(away).await;
        let fixture = self.fixture.take().expect("it is open");
        self.fixture = Some(self.time.restart(fixture).await);
        let now = self.time.now();
        self.coordinator = start(&open(&self.fixture).db, self.engine, self.manner, now);
        self.lives.iter_mut().for_each(Life::forget_failures);
        // All that came due meanwhile is done first.
        self.coordinate().await;
    }

    /// The schedulers take what they are assigned, when they heard that there
    /// may be something.
    async fn assign(&mut self) {
        let now = self.time.now();
        self.coordinator.hear(now, &mut self.rng);
        if self.coordinator.assignments_at.is_none_or(|at| at > now) {
            return;
        }
        let db = &open(&self.fixture).db;
        let found = db.open_assignments(super::GROUP, Projects::All, 100_000);
        let found = found.await.expect("they are listed");
        self.coordinator.assignments_at = found.next.map(|wait| now + wait);
        for assignment in &found.open {
            let life = &mut self.lives[self.places[&assignment.route.deployment]];
            let Life {
                fleet, rng, agenda, ..
            } = life;
            fleet.take(assignment, now, rng, agenda);
        }
    }

    /// The coordinator works for as long as there is something to do, if it has
    /// been woken.
    async fn coordinate(&mut self) {
        let now = self.time.now();
        self.coordinator.hear(now, &mut self.rng);
        let db = open(&self.fixture).db.clone();
        for _ in 0..10_000 {
            if self.coordinator.look_at > now {
                return self.assign().await;
            }
            let passes = self.coordinator.pass(&db, now, &mut self.rng).await;
            for pass in passes {
                self.is_sound(pass);
            }
            self.coordinator.hear(now, &mut self.rng);
        }
        panic!("the queue does not empty at {now}");
    }
}

fn open(fixture: &Option<Fixture>) -> &Fixture {
    fixture.as_ref().expect("it is open")
}

fn start(db: &Store, engine: Engine, manner: Manner, now: Timestamp) -> Coordinator {
    let workers = match engine {
        Engine::Sqlite => 1,
        Engine::Postgres => 2,
    };
    Coordinator::start(db, now, workers, manner.loses)
}

/// How often the invariants are asked for.
const EVERY: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(2);
