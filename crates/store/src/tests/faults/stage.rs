//! A database of one unit of work: the unit is run on it, harmed, and looked at.

use std::{sync::Arc, time::Duration};

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use serde_json::Value;
use tokio::{
    sync::broadcast::Receiver,
    task::{block_in_place, yield_now},
    time::{Instant, timeout},
};
use tokio_postgres::{Client, NoTls};

use super::{
    super::{
        fixture::{Engine, Fixture, call},
        invariants,
    },
    record::Record,
    scenes::UnitTarget,
    units::{Unit, UnitResult},
};
use crate::Notification;
use viridian_engine::fail_points::{FailPoints, Fault, Point};

pub(super) struct UnitUnderTest {
    fixture: Fixture,
    engine: Engine,
    unit: Unit,
    way: ExecutionMode,
    subject: UnitTarget,
    record: Record,
    outside: OtherSession,
    before: Vec<String>,
}

/// How a unit gets its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExecutionMode {
    /// It has one of its own.
    Alone,
    /// It shares one, and a task of its own does it.
    Shared,
}

/// A look at the database from outside the store and its pool.
enum OtherSession {
    /// The file.
    Sqlite(String),
    Postgres(Client),
}

impl OtherSession {
    async fn of(fixture: &Fixture, engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => Self::Sqlite(fixture.url.trim_start_matches("sqlite:").to_owned()),
            Engine::Postgres => {
                let connected = tokio_postgres::connect(&fixture.url, NoTls).await;
                let (client, connection) = connected.expect("the server answers");
                tokio::spawn(connection);
                Self::Postgres(client)
            }
        }
    }
}

/// How a unit goes when nothing harms it.
pub(super) struct UnharmedRun {
    pub(super) points: Vec<Point>,
    shape: Vec<String>,
    announced: usize,
}

/// How a run ended for its caller.
enum CallerOutcome {
    Replied(UnitResult),
    Panicked,
    Gone,
}

/// What a run with a fault must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequiredOutcome {
    BeDone,
    LeaveNothing,
}

impl UnitUnderTest {
    pub(super) async fn set(engine: Engine, unit: Unit, way: ExecutionMode) -> Self {
        let mut fixture = Fixture::new(engine).await;
        if way == ExecutionMode::Alone {
            fixture.db = fixture.db.without_batches();
        }
        let subject = unit.set(&fixture).await;
        let record = Record::keep(&fixture, engine).await;
        let before = record.rows(&fixture).await;
        invariants::hold(&fixture).await;
        let outside = OtherSession::of(&fixture, engine).await;
        Self {
            fixture,
            engine,
            unit,
            way,
            subject,
            record,
            outside,
            before,
        }
    }

    pub(super) async fn run_unharmed(self: &Arc<Self>) -> UnharmedRun {
        self.nobody_serves_the_line("unharmed").await;
        let mut commits = self.fixture.db.subscribe();
        let faults = Arc::new(FailPoints::default());
        let told = Arc::clone(&faults).meet(self.run()).await;
        assert_eq!(told.is_ok(), !self.unit.is_refused(), "{told:?}");
        invariants::hold(&self.fixture).await;
        let shape = self.record.shape(&self.fixture).await;
        let announced = std::iter::from_fn(|| commits.try_recv().ok()).count();
        self.record.restore(&self.fixture).await;
        assert_eq!(self.record.rows(&self.fixture).await, self.before);
        UnharmedRun {
            points: faults.passed(),
            shape,
            announced,
        }
    }

    /// Runs the unit with a fault at a point, checks what is left, and puts all
    /// rows back.
    pub(super) async fn inject(self: &Arc<Self>, course: &UnharmedRun, at: usize, fault: Fault) {
        let what = format!(
            "{:?} {:?} {:?}: {fault:?} {}, point {at} of {}",
            self.engine,
            self.unit,
            self.way,
            course.points[at],
            course.points.len(),
        );
        let mut commits = self.fixture.db.subscribe();
        let end = self.run_into(at, fault, &what).await;
        let must = match (self.way, fault) {
            // It is done once more, alone.
            (ExecutionMode::Shared, Fault::Error) => RequiredOutcome::BeDone,
            // Staged, it goes on by itself.
            (ExecutionMode::Shared, Fault::Gone) if course.points.len() - at <= self.decided() => {
                RequiredOutcome::BeDone
            }
            (ExecutionMode::Shared, Fault::Gone) => RequiredOutcome::LeaveNothing,
            _ => must(course, at, fault),
        };
        match must {
            RequiredOutcome::BeDone => self.is_done(course, &mut commits, &what).await,
            RequiredOutcome::LeaveNothing => {
                let rows = self.record.rows(&self.fixture).await;
                assert_eq!(rows, self.before, "{what}: something is left");
            }
        }
        self.nothing_is_open(&what).await;
        let more = std::iter::from_fn(|| commits.try_recv().ok()).count();
        let at_commit = at + COMMIT >= course.points.len();
        assert!(
            more == 0
                || at_commit
                    && (must == RequiredOutcome::LeaveNothing || self.way == ExecutionMode::Shared),
            "{what}: what is not committed is announced"
        );
        self.caller_knows(&end, must, &what);
        self.next_goes_on(&what).await;
        // Where nothing was left, one repeat for each point tells enough.
        if must == RequiredOutcome::BeDone || fault == Fault::Error {
            self.repeat(course, end, must, &what).await;
            // What is as it was before has been asked already.
            if must == RequiredOutcome::BeDone {
                invariants::hold(&self.fixture).await;
            }
            self.record.restore(&self.fixture).await;
        }
    }

    /// How many points are behind the decision: on SQLite the writes have their own.
    fn decided(&self) -> usize {
        match self.engine {
            Engine::Sqlite => WRITES + COMMIT,
            Engine::Postgres => COMMIT,
        }
    }

    /// As many connections as the pool has can be had at once.
    pub(super) async fn hands_out_every_connection(&self) {
        let mut all = Vec::new();
        let (_, max) = self.fixture.db.connections_in_use();
        for _ in 0..max {
            all.push(self.fixture.db.reader().await.expect("one is free"));
        }
        assert_eq!(self.fixture.db.connections_in_use(), (max, max));
    }

    async fn run(&self) -> UnitResult {
        self.unit.run(&self.fixture.db, &self.subject).await
    }

    async fn run_into(self: &Arc<Self>, at: usize, fault: Fault, what: &str) -> CallerOutcome {
        self.nobody_serves_the_line(what).await;
        let faults = Arc::new(FailPoints::at(at, fault));
        let stage = Arc::clone(self);
        let harmed = Arc::clone(&faults).meet(async move { stage.run().await });
        let unit = tokio::spawn(harmed);
        if fault == Fault::Gone {
            let reached = timeout(WAIT_TIMEOUT, faults.reached()).await;
            reached.unwrap_or_else(|_| panic!("{what}: it is not reached"));
            unit.abort();
            let gone = unit
                .await
                .expect_err("it was reached, and not gone on from");
            assert!(gone.is_cancelled(), "{what}: {gone}");
            faults.caller_is_gone();
            return CallerOutcome::Gone;
        }
        let ended = timeout(WAIT_TIMEOUT, unit).await;
        match ended.unwrap_or_else(|_| panic!("{what}: nobody is told")) {
            Ok(told) => CallerOutcome::Replied(told),
            Err(error) => {
                assert!(fault == Fault::Panic && error.is_panic(), "{what}: {error}");
                CallerOutcome::Panicked
            }
        }
    }

    /// All of it is in the record, soon if the caller did not wait for it, and
    /// others are told.
    async fn is_done(
        &self,
        course: &UnharmedRun,
        commits: &mut Receiver<Notification>,
        what: &str,
    ) {
        let until = Instant::now() + WAIT_TIMEOUT;
        while self.record.shape(&self.fixture).await != course.shape {
            assert!(Instant::now() < until, "{what}: it is not done");
        }
        for _ in 0..course.announced {
            let announced = timeout(WAIT_TIMEOUT, commits.recv()).await;
            announced
                .unwrap_or_else(|_| panic!("{what}: nobody else is told"))
                .expect("the signal is there");
        }
    }

    /// No transaction is open, soon, and no connection is handed out.
    async fn nothing_is_open(&self, what: &str) {
        let until = Instant::now() + WAIT_TIMEOUT;
        while self.fixture.db.connections_in_use().0 > 0 {
            assert!(Instant::now() < until, "{what}: a connection is leaked");
            yield_now().await;
        }
        match &self.outside {
            OtherSession::Sqlite(path) => block_in_place(|| lock(path, what)),
            OtherSession::Postgres(client) => {
                while open_transactions(client).await > 0 {
                    assert!(Instant::now() < until, "{what}: a transaction is open");
                }
            }
        }
    }

    /// Whoever served the last one has left: it would serve the next one too, and
    /// meets none of its faults.
    async fn nobody_serves_the_line(&self, what: &str) {
        let until = Instant::now() + WAIT_TIMEOUT;
        while !self.fixture.db.batcher().is_idle() {
            assert!(Instant::now() < until, "{what}: the line is served on");
            yield_now().await;
        }
    }

    /// What the caller was told is so.
    fn caller_knows(&self, end: &CallerOutcome, must: RequiredOutcome, what: &str) {
        let CallerOutcome::Replied(told) = end else {
            return;
        };
        let known =
            must == RequiredOutcome::BeDone && self.unit.is_a_call() && !self.unit.is_refused();
        assert_eq!(told.is_ok(), known, "{what}: the caller is told {told:?}");
    }

    /// The deployment can be used.
    async fn next_goes_on(&self, what: &str) {
        let Some(id) = self.subject.deployment else {
            return;
        };
        let terms = call();
        let next = self.fixture.db.preview_promote(id, None, &terms);
        let next = timeout(WAIT_TIMEOUT, next).await;
        next.unwrap_or_else(|_| panic!("{what}: the next one waits"))
            .unwrap_or_else(|error| panic!("{what}: the next one fails: {error:?}"));
    }

    /// A repeat of the call does it, if it was not done, and never twice.
    async fn repeat(
        &self,
        course: &UnharmedRun,
        end: CallerOutcome,
        must: RequiredOutcome,
        what: &str,
    ) {
        let repeated = self.run().await;
        if self.unit.is_refused() {
            assert!(repeated.is_err(), "{what}: {repeated:?}");
        } else {
            let reply = repeated.unwrap_or_else(|error| panic!("{what}: the repeat: {error}"));
            if self.unit.is_a_call() {
                assert_eq!(self.stored_reply().await, reply, "{what}");
                if let CallerOutcome::Replied(Ok(first)) = end {
                    assert_eq!(first, reply, "{what}: the repeat has another reply");
                }
            }
        }
        // A cycle or a report may well come to something else the second time.
        if must == RequiredOutcome::LeaveNothing || self.unit.is_a_call() {
            let shape = self.record.shape(&self.fixture).await;
            assert_eq!(shape, course.shape, "{what}: the repeat");
        }
    }

    async fn stored_reply(&self) -> Value {
        let stored = "SELECT CAST(reply AS text) AS line FROM replies";
        let [reply] = &self.fixture.lines(stored).await[..] else {
            panic!("one reply")
        };
        serde_json::from_str(reply).expect("it parses")
    }
}

async fn open_transactions(client: &Client) -> i64 {
    let row = client.query_one(OPEN, &[]).await;
    row.expect("the server answers").get(0)
}

/// Has SQLite's lock for a moment.
fn lock(path: &str, what: &str) {
    let mut other = SqliteConnection::establish(path).expect("it opens");
    let locked = "PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE; ROLLBACK";
    let locked = other.batch_execute(locked);
    locked.unwrap_or_else(|error| panic!("{what}: the writer's lock is held: {error}"));
}

/// Before COMMIT is sent nothing may be left, and once it was sent all of it is
/// done, whoever has gone.
fn must(course: &UnharmedRun, at: usize, fault: Fault) -> RequiredOutcome {
    let to_come = course.points.len() - at;
    let before_commit = to_come > COMMIT || to_come == COMMIT && fault != Fault::Gone;
    if before_commit {
        RequiredOutcome::LeaveNothing
    } else {
        RequiredOutcome::BeDone
    }
}

/// How many points COMMIT has, which are a unit's last ones.
const COMMIT: usize = 3;

/// How many a unit's writes have on SQLite, before COMMIT.
const WRITES: usize = 3;

const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

const OPEN: &str = "SELECT COUNT(*) FROM pg_stat_activity \
    WHERE datname = current_database() AND backend_type = 'client backend' \
    AND pid <> pg_backend_pid() AND state <> 'idle'";
