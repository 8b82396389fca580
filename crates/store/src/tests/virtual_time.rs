//! A database by whose clock it is as late as a test says.
//!
//! The store takes SQLite's time from a function, and asks PostgreSQL for its:
//! there a function of the same name stands before PostgreSQL's own. So on both
//! engines the very statements run that run in earnest.
//!
//! The clock is set some hours back, and never put beyond what it really is, so
//! that nothing that is asked by the real time finds what is of the future.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio_postgres::{Client, NoTls};
use viridian_engine::{Clock, UnixMicros, system_clock};
use viridian_strategy::Timestamp;

use super::{
    fixture::{Engine, Fixture},
    keeper::Keeper,
};
use crate::{Check, Store, check, types::timestamp};

pub(super) struct VirtualTime {
    now: Timestamp,
    dial: Dial,
}

enum Dial {
    /// Which of the clocks.
    Sqlite(usize),
    Postgres(Client),
}

impl VirtualTime {
    /// A new database, hours ago.
    pub(super) async fn new(engine: Engine) -> (Self, Fixture) {
        let (url, keeper) = Keeper::create(engine).await;
        let dial = match engine {
            Engine::Sqlite => Dial::Sqlite(take_clock()),
            Engine::Postgres => Dial::Postgres(with_a_clock(&url).await),
        };
        let seconds = timestamp(system_clock()).as_micros() / 1_000_000;
        let mut time = Self {
            now: Timestamp::from_micros(seconds * 1_000_000) - BEGIN,
            dial,
        };
        time.turn().await;
        let db = time.open(&url).await;
        (time, Fixture::of(db, url, keeper))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Puts the clock forward.
    pub(super) async fn pass(&mut self, time: Duration) {
        self.set(self.now + time).await;
    }

    /// Puts the clock forward to a time.
    pub(super) async fn set(&mut self, now: Timestamp) {
        if now <= self.now {
            return;
        }
        self.now = now;
        assert!(
            now < timestamp(system_clock()),
            "the test takes more time than it has"
        );
        self.turn().await;
    }

    /// Sets the clock back, as someone may do at any time.
    pub(super) async fn set_back(&mut self, by: Duration) {
        self.now = self.now - by;
        self.turn().await;
    }

    async fn turn(&mut self) {
        match &self.dial {
            Dial::Sqlite(clock) => NOW[*clock].store(self.now.as_micros(), Ordering::SeqCst),
            Dial::Postgres(client) => {
                let set = format!("UPDATE virtual.clock SET now = '{}'", self.now);
                client.batch_execute(&set).await.expect("it is set");
            }
        }
    }

    /// Opens the database once more, as a server does that starts.
    pub(super) async fn open(&self, url: &str) -> Store {
        let db = Store::open(url).await.expect("the database opens");
        match self.dial {
            Dial::Sqlite(clock) => db.with_clock(CLOCKS[clock]),
            Dial::Postgres(_) => db,
        }
    }

    /// Closes the database and opens it again, as when the one server is started
    /// anew.
    pub(super) async fn restart(&self, fixture: Fixture) -> Fixture {
        let (url, keeper) = fixture.close();
        let db = self.open(&url).await;
        Fixture::of(db, url, keeper)
    }

    /// Asks for all invariants, those about time too.
    pub(super) async fn check(&self, url: &str, grace: Duration) -> Check {
        // SQLite goes by the real time here.
        let behind = match self.dial {
            Dial::Sqlite(_) => timestamp(system_clock()).since(self.now),
            Dial::Postgres(_) => Duration::ZERO,
        };
        let check = check(url, Some(grace + behind)).await;
        check.expect("it can be checked")
    }
}

impl Drop for VirtualTime {
    fn drop(&mut self) {
        if let Dial::Sqlite(clock) = self.dial {
            let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
            taken[clock] = false;
        }
    }
}

/// Has a new database of PostgreSQL go by a clock of its own: `virtual.clock` has the time at
/// which it stands, if it stands, and how far it is ahead.
pub(super) async fn with_a_clock(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("the server answers");
    tokio::spawn(connection);
    let name = url::Url::parse(url).expect("a URL");
    let name = name.path().trim_start_matches('/').to_owned();
    let clock = format!(
        "CREATE SCHEMA virtual; \
         CREATE TABLE virtual.clock (now timestamptz, ahead interval NOT NULL DEFAULT '0'); \
         INSERT INTO virtual.clock DEFAULT VALUES; \
         CREATE FUNCTION virtual.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE \
         AS 'SELECT COALESCE(now, pg_catalog.clock_timestamp()) + ahead FROM virtual.clock'; \
         ALTER DATABASE {name} SET search_path = public, virtual, pg_catalog"
    );
    client.batch_execute(&clock).await.expect("it has a clock");
    client
}

fn take_clock() -> usize {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let clock = taken.iter().position(|taken| !taken);
    let clock = clock.expect("a clock that nobody has");
    taken[clock] = true;
    clock
}

/// A clock of the store is a function without anything of its own.
fn by<const CLOCK: usize>() -> UnixMicros {
    UnixMicros(NOW[CLOCK].load(Ordering::SeqCst))
}

macro_rules! clocks {
    ($($number:literal)*) => {
        [$(by::<$number>),*]
    };
}

/// As many as tests run side by side, and more.
const CLOCKS: [Clock; 64] = clocks! {
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
    16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47
    48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
};
static NOW: [AtomicI64; CLOCKS.len()] = [const { AtomicI64::new(0) }; CLOCKS.len()];
static TAKEN: Mutex<[bool; CLOCKS.len()]> = Mutex::new([false; CLOCKS.len()]);

/// Less than replies are kept, by which I12 is asked.
const BEGIN: Duration = Duration::from_secs(20 * 60 * 60);
