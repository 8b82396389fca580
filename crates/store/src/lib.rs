//! The record: what Viridian knows, and the transactions that change it.
//!
//! - [`Store`]: open a database, read from it, or run a unit of work. How SQLite and
//!   PostgreSQL are used is `viridian-engine`'s.
//! - One file an aggregate (`deployments`, `routes`, …): its record, its row, and its
//!   statements, one a function of [`StoreConnection`].
//! - `units`: the units of work, each one transaction. `batcher`: calls that share one.
//! - [`check()`]: the invariants, as SQL in `invariants/`, on one snapshot.
//! - [`inspect()`]: what the doctor looks at before a server runs on a database.
//! - [`copy()`]: from SQLite to PostgreSQL.
//! - `telemetry`: metrics, spans, and log lines.

mod assignments;
mod batcher;
mod check;
mod connection;
mod copy;
mod deployments;
mod documents;
mod error;
mod events;
mod history;
mod inspect;
mod last_reports;
mod log_tailer;
mod migrations;
mod notifier;
mod reads;
mod relay;
mod replies;
mod revisions;
mod routes;
mod schema;
mod store;
mod telemetry;
mod transaction;
mod types;
mod units;

pub use viridian_engine::{LimitError, Limits, Location, OpenError};

pub use self::{
    assignments::Assignment,
    check::{Check, Violation, check},
    connection::StoreConnection,
    copy::{Copied, copy},
    deployments::{Deployment, DeploymentFilter, Metadata, Projects, StateCounts, Status},
    error::{
        ActivateRefusal, CheckError, CopyError, CreateRefusal, PromoteRefusal, RollBackRefusal,
        StoreError, UnitError, UpdateRefusal,
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
    routes::{Route, RouteFilter, Tables, TrafficEndpoint, TrafficTable},
    store::Store,
    telemetry::{HISTOGRAMS, describe as describe_metrics},
    types::{Action, EventKind, Outcome, Phase, RequestId},
    units::{
        COORDINATOR, DeploymentSpec, FailureBackoff, HealthReport, NewDeployment, NewRevision,
        Promotion, PromotionPreview, Pruned, ReconcileBatch, ReportError, RequestContext,
        Retention, RolledBack, Silenced, StatusReport, Updated,
    },
};

#[cfg(test)]
mod tests;
