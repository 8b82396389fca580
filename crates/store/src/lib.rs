//! The record: what Viridian knows, and the transactions that change it.
//!
//! Two engines, SQLite and PostgreSQL, behind one set of queries.
//!
//! - [`Database`] is the way in: open one, read from it, or do a unit of work.
//! - One file an aggregate (`deployments`, `routes`, …): its record, its row and
//!   the statements on it, one a function.
//! - `units`: the units of work, each one transaction.
//! - [`check()`]: the invariants, as SQL in `invariants/`, asked of one snapshot.
//! - [`inspect()`]: a database looked over, before a server runs on it.
//! - [`copy()`]: from SQLite to PostgreSQL.
//! - `documents`: the JSON that is kept, with its golden files.
//! - `telemetry`: what it tells of itself.
//! - `write`: what a unit of work writes, as values, and how it is done.
//! - `dialect`, `types`, `write/`, `database/`: all that knows that there are two
//!   engines.

mod assignments;
mod check;
mod complete_on_drop;
mod connection;
mod copy;
mod database;
mod deployments;
mod dialect;
mod documents;
mod error;
mod events;
mod fail_points;
mod history;
mod inspect;
mod last_reports;
mod log_tailer;
mod migrations;
mod notifier;
mod reads;
mod replies;
mod revisions;
mod routes;
mod schema;
mod telemetry;
mod transaction;
mod types;
mod units;
mod write;

pub use self::{
    assignments::Assignment,
    check::{Check, Violation, check},
    copy::{Copied, copy},
    database::{Database, LimitError, Limits, Location},
    deployments::{Census, Deployment, DeploymentFilter, Metadata, Projects, Status},
    error::{
        ActivateRefusal, CheckError, CopyError, CreateRefusal, OpenError, PromoteRefusal,
        RollBackRefusal, StoreError, UnitError, UpdateRefusal,
    },
    events::{Event, EventFilter, LogEntry},
    history::HistoryEntry,
    inspect::{Extent, Inspection, SchemaState, inspect},
    last_reports::LastReport,
    log_tailer::{LogPoll, LogTailer},
    notifier::{CommitNotice, Notification, RemoteHint},
    reads::{Backlog, LogPage, OpenAssignments, ReadLogError, SnapshotPage},
    replies::Request,
    revisions::{HealthCheck, Revision, RevisionReference, RevisionSpec},
    routes::{Endpoint, Route, RouteFilter, Tables, TrafficTable},
    telemetry::{HISTOGRAMS, describe as describe_metrics},
    types::{Action, EventKind, Outcome, Phase, RequestId},
    units::{
        COORDINATOR, Changed, DeploymentSpec, FailureBackoff, HealthReport, NewDeployment,
        NewRevision, Promotion, PromotionPreview, Pruned, ReconcileBatch, ReportError,
        RequestContext, Retention, RetentionError, RolledBack, Silenced, StatusReport,
    },
};

#[cfg(test)]
mod tests;
