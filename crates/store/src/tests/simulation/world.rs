//! Many lives in one database, on one clock that jumps to what is next: the
//! fleets' and the callers' deeds, or the coordinator's next look.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    time::Duration,
};

use futures::future::join_all;
use viridian_strategy::{DeploymentId, Lifecycle, Timestamp};

use super::{
    agenda::Happening,
    callers::{Ask, Told, is_at_gate, terms},
    coordinator::{Coordinator, POLL},
    coverage::Coverage,
    dice::Dice,
    fleet::Report,
    life::Life,
    poison,
};
use crate::{
    Call, Database, Deployment, HealthReport, Pass, Projects, ReportError, RouteFilter,
    StatusReport, StoreError, Tables, TrafficTable,
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
    dice: Dice,
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
    pub(super) loses: Option<u32>,
}

/// What happens at one instant.
#[derive(Default)]
struct Deeds {
    statuses: Vec<(usize, StatusReport)>,
    healths: Vec<(usize, HealthReport)>,
    calls: Vec<Calling>,
}

struct Calling {
    place: usize,
    before: Result<Deployment, StoreError>,
    ask: Ask,
    terms: Call,
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
            dice: Dice::new(seeds.start),
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
            if self.dice.one_in(100) {
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
        let away = self.dice.wait(0, 60);
        self.time.pass(away).await;
        let fixture = self.fixture.take().expect("it is open");
        self.fixture = Some(self.time.restart(fixture).await);
        let now = self.time.now();
        self.coordinator = start(&open(&self.fixture).db, self.engine, self.manner, now);
        self.lives.iter_mut().for_each(Life::forget_failures);
        // All that came due meanwhile is done first.
        self.coordinate().await;
    }

    async fn take_deeds(&mut self) -> Deeds {
        let now = self.time.now();
        let mut deeds = Deeds::default();
        for place in 0..self.lives.len() {
            while let Some(happening) = self.lives[place].agenda.take(now) {
                self.coordinator.is_idle = false;
                self.take_deed(place, happening, &mut deeds).await;
            }
        }
        deeds
    }

    async fn take_deed(&mut self, place: usize, happening: Happening, deeds: &mut Deeds) {
        let now = self.time.now();
        let life = &mut self.lives[place];
        match happening {
            Happening::Poisoned(poison) => {
                life.note(now, format_args!("{poison:?}"));
                life.poison = Some(poison);
                let fixture = open(&self.fixture);
                poison.strike(fixture, self.engine, life.id, now).await;
                self.coordinator.look_at = now;
            }
            Happening::Cured => {
                life.note(now, "cured");
                if let Some(poison) = life.poison.take() {
                    poison.cure(open(&self.fixture), self.engine, life.id).await;
                }
            }
            Happening::Call | Happening::Attend => {
                let before = open(&self.fixture).db.find_deployment(life.id).await;
                let before = before.transpose().expect("it is there");
                let attends = matches!(happening, Happening::Attend);
                let ask = match &before {
                    Ok(before) if attends => life.attend(before, now),
                    Ok(before) => {
                        let (known, dice) = (&life.revisions, &mut life.dice);
                        Some(Ask::at_random(known, before.paused, dice))
                    }
                    Err(_) if attends => {
                        life.agenda.add(now + PAUSE, Happening::Attend);
                        None
                    }
                    Err(_) => Some(Ask::at_random(&life.revisions, false, &mut life.dice)),
                };
                if !attends {
                    life.next_call(now);
                }
                deeds.calls.extend(ask.map(|ask| Calling {
                    place,
                    before,
                    ask,
                    terms: terms(&mut life.dice),
                }));
            }
            happening => {
                let said = life
                    .fleet
                    .happen(&happening, now, &mut life.dice, &mut life.agenda);
                if said.is_some() {
                    life.note(now, format_args!("{happening:?} {said:?}"));
                }
                match said {
                    Some(Report::Status(report)) => deeds.statuses.push((place, report)),
                    Some(Report::Health(report)) => deeds.healths.push((place, report)),
                    None => {}
                }
            }
        }
    }

    /// One behind the other: each caller is told what it found and did.
    async fn do_in_order(&mut self, deeds: Deeds) {
        let Deeds {
            statuses,
            healths,
            calls,
        } = deeds;
        let db = open(&self.fixture).db.clone();
        let results = report_statuses(&db, &statuses).await;
        self.statuses_are_taken(statuses, results);
        let results = report_healths(&db, &healths).await;
        self.healths_are_taken(healths, results);
        for calling in calls {
            // As reports have left it.
            let id = self.lives[calling.place].id;
            let before = db.find_deployment(id).await.transpose();
            let calling = Calling {
                before: before.expect("it is there"),
                ..calling
            };
            let reply = calling.ask.ask(&db, id, &calling.terms).await;
            self.is_answered_alone(&calling, &reply).await;
            self.is_answered(calling, reply).await;
        }
    }

    /// Together, with passes of the coordinator and a check in the midst of it.
    async fn do_together(&mut self, deeds: Deeds) {
        let Deeds {
            statuses,
            healths,
            calls,
        } = deeds;
        let now = self.time.now();
        let db = open(&self.fixture).db.clone();
        let reports = async {
            let of_statuses = report_statuses(&db, &statuses).await;
            (of_statuses, report_healths(&db, &healths).await)
        };
        let lives = &self.lives;
        let asks = calls.iter().map(|calling| {
            calling
                .ask
                .ask(&db, lives[calling.place].id, &calling.terms)
        });
        let (coordinator, dice) = (&mut self.coordinator, &mut self.dice);
        let ((of_statuses, of_healths), replies, passes) =
            futures::join!(reports, join_all(asks), coordinator.pass(&db, now, dice));
        self.statuses_are_taken(statuses, of_statuses);
        self.healths_are_taken(healths, of_healths);
        for pass in passes {
            self.is_sound(pass);
        }
        for (calling, reply) in calls.into_iter().zip(replies) {
            self.is_answered(calling, reply).await;
        }
    }

    /// Nothing else changed it meanwhile: a call that is taken left what it
    /// says, and one that is refused left everything as it was.
    async fn is_answered_alone(&mut self, calling: &Calling, reply: &Reply) {
        let Calling {
            place, before, ask, ..
        } = calling;
        let after = open(&self.fixture)
            .db
            .find_deployment(self.lives[*place].id)
            .await;
        let (Ok(before), Ok(Some(after))) = (before, after) else {
            return;
        };
        let life = &self.lives[*place];
        match reply {
            Ok(told) if *told != after => {
                life.fail(format!(
                    "{ask:?} told of {told:#?}, and there is {after:#?}"
                ));
            }
            Err(_) if *before != after => {
                life.fail(format!("{ask:?} was refused, and changed {before:#?}"));
            }
            _ => {}
        }
        let ought = ask.ought(before);
        let is_wrong = ought.is_some_and(|ought| ought != reply.is_ok());
        if is_wrong && life.poison.is_none() {
            life.fail(format!("{ask:?} was answered with {reply:?}"));
        }
    }

    async fn is_answered(&mut self, calling: Calling, reply: Reply) {
        let Calling {
            place, ask, terms, ..
        } = calling;
        let now = self.time.now();
        let life = &mut self.lives[place];
        let outcome = match &reply {
            Ok(_) => "taken".to_owned(),
            Err(Told::Refused(why)) => format!("refused: {why}"),
            Err(Told::Failed(error)) => format!("failed: {error}"),
        };
        life.note(now, format_args!("{ask:?} is {outcome}"));
        match reply {
            Ok(deployment) => {
                self.coverage.count("calls taken");
                life.knows(&deployment);
                if terms.request.is_some() {
                    self.is_repeated(place, &ask, &terms, &deployment).await;
                }
            }
            Err(Told::Refused(_)) => self.coverage.count("calls refused"),
            Err(Told::Failed(error)) if life.poison.is_some() && error.is_of_rows() => {
                self.coverage.count("calls failed by poison");
            }
            Err(Told::Failed(error)) => life.fail(format!("{ask:?} fails: {error}")),
        }
    }

    /// Who asks again gets the first reply.
    async fn is_repeated(&mut self, place: usize, ask: &Ask, terms: &Call, first: &Deployment) {
        let life = &self.lives[place];
        let again = ask.ask(&open(&self.fixture).db, life.id, terms).await;
        match again {
            Ok(again) if again == *first => self.coverage.count("calls repeated"),
            again => life.fail(format!("the repeat of {ask:?} came to {again:?}")),
        }
    }

    fn statuses_are_taken(&mut self, reports: Vec<(usize, StatusReport)>, results: Results) {
        for ((place, report), result) in reports.into_iter().zip(results) {
            self.is_taken(place, Report::Status(report), result);
        }
    }

    fn healths_are_taken(&mut self, reports: Vec<(usize, HealthReport)>, results: Results) {
        for ((place, report), result) in reports.into_iter().zip(results) {
            self.is_taken(place, Report::Health(report), result);
        }
    }

    fn is_taken(&mut self, place: usize, report: Report, result: Result<(), ReportError>) {
        let now = self.time.now();
        let life = &mut self.lives[place];
        match result {
            Ok(()) => self.coverage.count("reports taken"),
            // It was drained meanwhile, or has ended.
            Err(ReportError::IllegalMove { .. } | ReportError::Over(_)) => {
                self.coverage.count("reports refused");
            }
            Err(error) if error.may_pass() && life.poison.is_some() => {
                self.coverage.count("reports failed by poison");
                life.agenda.stall(now, report);
            }
            Err(error) => life.fail(format!("{report:?} fails: {error}")),
        }
    }

    /// The schedulers take what they are assigned, when they heard that there
    /// may be something.
    async fn assign(&mut self) {
        let now = self.time.now();
        self.coordinator.hear(now, &mut self.dice);
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
                fleet,
                dice,
                agenda,
                ..
            } = life;
            fleet.take(assignment, now, dice, agenda);
        }
    }

    /// The coordinator works for as long as there is something to do, if it has
    /// been woken.
    async fn coordinate(&mut self) {
        let now = self.time.now();
        self.coordinator.hear(now, &mut self.dice);
        let db = open(&self.fixture).db.clone();
        for _ in 0..10_000 {
            if self.coordinator.look_at > now {
                return self.assign().await;
            }
            let passes = self.coordinator.pass(&db, now, &mut self.dice).await;
            for pass in passes {
                self.is_sound(pass);
            }
            self.coordinator.hear(now, &mut self.dice);
        }
        panic!("the queue does not empty at {now}");
    }

    /// Nothing failed but what is poisoned.
    fn is_sound(&mut self, pass: Pass) {
        let now = self.time.now();
        for id in pass.done {
            self.coverage.count("cycles");
            self.lives[self.places[&id]].forget_failures();
        }
        for (id, error) in pass.failed {
            let life = &mut self.lives[self.places[&id]];
            if life.poison.is_none() || !error.is_of_rows() {
                life.fail(format!("its cycle fails: {error}"));
            }
            self.coverage.count("cycles failed by poison");
            life.failed(now);
        }
    }

    /// All that is due has been looked at: nothing was forgotten, and what is
    /// poisoned delays no other.
    async fn nothing_waits(&self) {
        let now = self.time.now();
        let late = if self.manner.loses.is_some() {
            now - POLL
        } else {
            now
        };
        let query = format!("SELECT COUNT(*) AS n FROM deployments WHERE due_at <= '{late}'");
        let waiting = open(&self.fixture).number(&query).await;
        assert_eq!(waiting, 0, "left in the queue at {now}");
        let revenants = open(&self.fixture).number(REVENANTS).await;
        assert_eq!(revenants, 0, "drained, and back at {now}");
    }

    /// Whoever follows a table sees a later one each time that it changed.
    async fn tables_move_on(&mut self) {
        let now = self.time.now();
        let all = Tables::All {
            after: None,
            limit: 10_000,
        };
        let tables = open(&self.fixture).db.traffic_tables(all, Projects::All);
        for table in tables.await.expect("they are read") {
            let life = &self.lives[self.places[&table.deployment]];
            if let Some(seen) = self.tables.get(&table.deployment)
                && *seen != table
                && seen.epoch >= table.epoch
            {
                life.fail(format!("at {now} {table:?} follows {seen:?}"));
            }
            self.tables.insert(table.deployment, table);
        }
    }

    async fn check(&mut self) {
        self.coverage.count("checks");
        let now = self.time.now();
        let check = self
            .time
            .check(&open(&self.fixture).url, POLL + PAUSE)
            .await;
        for violation in check.violations {
            let life = &self.lives[self.places[&violation.deployment]];
            let excused = life.excused_until().is_some_and(|until| until >= now);
            // What cannot be looked at passes its deadline.
            if violation.invariant == "I11" && (life.poison.is_some() || excused) {
                continue;
            }
            life.fail(format!("at {now}: {violation:?}"));
        }
    }

    /// Nothing is due, nobody has anything to do, and all that was asked for is
    /// there.
    async fn is_at_rest(&self) {
        let due = "SELECT COUNT(*) AS n FROM deployments WHERE due_at IS NOT NULL";
        assert_eq!(open(&self.fixture).number(due).await, 0, "due for ever");
        let assigned = "SELECT COUNT(*) AS n FROM assignments";
        assert_eq!(
            open(&self.fixture).number(assigned).await,
            0,
            "assigned for ever"
        );
        for life in &self.lives {
            let deployment = open(&self.fixture).get(life.id).await;
            if !life.is_at_rest(&deployment) {
                life.fail(format!("comes to rest as {deployment:#?}"));
            }
            if deployment.paused {
                continue;
            }
            let filter = RouteFilter::default();
            let routes = open(&self.fixture)
                .db
                .list_routes(life.id, filter, None, 10_000);
            let mut by_revision: BTreeMap<_, u32> = BTreeMap::new();
            for route in routes.await.expect("they are listed") {
                let view = route.view;
                if view.is_ready() {
                    *by_revision.entry(view.revision).or_default() += 1;
                } else if !view.status.is_over() {
                    life.fail(format!("is left with {view:?}"));
                }
            }
            let state = &deployment.state;
            let wanted = if state.lifecycle() == Lifecycle::Destroyed {
                [None, None]
            } else {
                [state.current(), state.deploying()]
            };
            let target = deployment.target_replicas;
            let wanted = wanted
                .into_iter()
                .flatten()
                .map(|revision| (revision, target));
            let wanted: BTreeMap<_, u32> = wanted.filter(|(_, target)| *target > 0).collect();
            if by_revision != wanted {
                life.fail(format!("is left with {by_revision:?}, not {wanted:?}"));
            }
            debug_assert!(is_at_gate(&deployment) || state.deploying().is_none());
        }
    }
}

fn open(fixture: &Option<Fixture>) -> &Fixture {
    fixture.as_ref().expect("it is open")
}

fn start(db: &Database, engine: Engine, manner: Manner, now: Timestamp) -> Coordinator {
    let workers = match engine {
        Engine::Sqlite => 1,
        Engine::Postgres => 2,
    };
    Coordinator::start(db, now, workers, manner.loses)
}

async fn report_statuses(db: &Database, reports: &[(usize, StatusReport)]) -> Results {
    if reports.is_empty() {
        return Vec::new();
    }
    let reports = reports.iter().map(|(_, report)| report.clone()).collect();
    let results = db.report_statuses(reports).await;
    results.expect("the batch is taken")
}

async fn report_healths(db: &Database, reports: &[(usize, HealthReport)]) -> Results {
    if reports.is_empty() {
        return Vec::new();
    }
    let reports = reports.iter().map(|(_, report)| *report).collect();
    let results = db.report_health(reports).await;
    results.expect("the batch is taken")
}

/// Whatever is reported of what is drained, it does not come back.
const REVENANTS: &str = "SELECT COUNT(*) AS n FROM routes \
    WHERE drained_at IS NOT NULL AND status IN ('PROVISIONING', 'RUNNING')";

/// How often the invariants are asked for.
const EVERY: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(2);
