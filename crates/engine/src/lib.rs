//! A SQL runtime for two engines, SQLite and PostgreSQL. It knows no table.
//!
//! - [`Engine`] opens a database, and hands out connections and transactions.
//! - [`SqlTransaction`] collects writes, and sends them with COMMIT.
//! - [`pipeline!`], [`load!`] and [`with_conn!`] run queries that are written once for
//!   both engines.
//! - `writer`: SQLite's one writer with its group commit. [`KeyedLocks`]: callers of one
//!   row wait here, without a connection.
//! - [`WaitStart`]: all waits of a call are counted from one moment.
//! - [`Snapshot`]: one consistent view, beside whatever servers run on the database.
//! - [`fail_points`]: only with the feature `testing`.

mod busy_wait;
mod checkpointer;
mod complete_on_drop;
mod connection;
mod connection_slots;
mod engine;
mod error;
#[cfg(feature = "testing")]
pub mod fail_points;
#[cfg(not(feature = "testing"))]
mod fail_points;
mod keyed_locks;
mod limit_error;
mod limits;
mod listener;
mod location;
mod migrations;
mod pg_connection;
mod pg_connector;
mod postgres;
mod round_trip;
mod snapshot;
pub mod sql_types;
mod sqlite;
mod sqlite_file;
mod sqlite_thread;
mod statement;
mod suitability;
pub mod telemetry;
mod tls;
mod transaction;
mod wait;
mod write;
mod write_fault;
mod writer;

#[doc(hidden)]
pub use self::{
    connection::load_in_place,
    pg_connection::{unanswered, within},
    round_trip::{FirstFailure, ask, begin},
    sqlite_thread::{SqliteConn, SqliteThread},
};
pub use self::{
    connection::{AsEngine, EngineConnection},
    engine::Engine,
    error::{EngineError, OpenError},
    keyed_locks::{KeyedGuards, KeyedLocks},
    limit_error::LimitError,
    limits::Limits,
    listener::Listener,
    location::Location,
    migrations::Migrations,
    pg_connector::SessionUse,
    postgres::PgServer,
    round_trip::{Clock, RoundTrip, UnixMicros, now, process_clock, system_clock},
    snapshot::Snapshot,
    sqlite_file::{FileClaim, claim, count_names},
    statement::{
        Cacheable, Cached, ForUpdate, ForUpdateQuery, LockWait, pad_to_power_of_two, selected,
    },
    transaction::{CommitHook, SqlTransaction},
    wait::WaitStart,
    write::{Column, SqlFragment, Write},
    write_fault::{FileChange, WriteFault},
};
