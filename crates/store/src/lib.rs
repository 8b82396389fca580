//! The record: what Viridian knows, and the transactions that change it.
//!
//! - [`Store`]: open a database, read from it, or run a unit of work. How SQLite and
//!   PostgreSQL are used is `viridian-engine`'s.
//! - `record`: what is stored, as plain values ([`Deployment`], [`Route`], …).
//! - `documents`: their JSON.
//! - One file an aggregate (`deployments`, `routes`, …): its row and its statements, one a
//!   function of [`StoreConnection`].
//! - `units`: the units of work, each one transaction. `batcher`: calls that share one.
//! - [`check()`]: the invariants, as SQL in `invariants/`, on one snapshot.
//! - [`inspect()`]: what the doctor looks at before a server runs on a database.
//! - [`copy()`]: from SQLite to PostgreSQL.
//! - `telemetry`: metrics, spans, and log lines.

mod assignments;
mod batcher;
mod check;
mod clock_watch;
mod connection;
mod copy;
mod deployments;
mod documents;
mod error;
mod events;
mod group_reads;
mod history;
mod inspect;
mod jump_detector;
mod labels;
mod last_reports;
mod last_seen;
mod log_identity;
mod log_tailer;
mod migrations;
mod notifier;
mod reads;
mod record;
mod relay;
mod replies;
mod revision_cache;
mod revisions;
mod routes;
mod row_count;
mod schema;
mod store;
mod telemetry;
mod transaction;
mod types;
mod units;
mod usage;

pub use viridian_engine::{FileChange, LimitError, Limits, Location, OpenError, WriteFault};

pub use self::{
    assignments::AssignmentSelection,
    check::{Check, Violation, check, recount, rename_log},
    connection::StoreConnection,
    copy::{Copied, copy},
    deployments::{
        DeploymentFilter, DeploymentLabels, DeploymentName, DeploymentPlace, StateCounts,
    },
    error::{
        AbortRefusal, ActivateRefusal, AdvanceRefusal, ApplyRefusal, CheckError, CopyError,
        CreateRefusal, PromoteRefusal, QuotaExcess, RollBackRefusal, StoreError, UnitError,
        UpdateRefusal,
    },
    events::{ChangedPage, EventFilter, LogEntry, LogPage, ReadLogError, SnapshotPage},
    group_reads::OpenAssignments,
    inspect::{Extent, Inspection, SchemaState, inspect},
    log_identity::LogIdentity,
    log_tailer::{LogPoll, LogTailer},
    migrations::schema_version,
    notifier::{AssignedDeployments, CommitNotice, Notification, RemoteHint},
    reads::{Backlog, Census},
    record::{
        Action, AddressError, Applied, Assignment, AssignmentPosition, CommitId, CountBy,
        Deployment, DeploymentSummary, Event, EventKind, FieldChange, GroupRoute,
        GroupRoutePosition, HealthCheck, HistoryEntry, HistoryOutcome, LastReport, LastRollout,
        Metadata, NamedRevision, NewRevision, Operation, PreviewEndpoint, Projects, Promotion,
        Protocol, Request, RequestId, Revision, RevisionNumbers, RevisionOutline,
        RevisionReference, RevisionSpec, RolledBack, Route, RouteAddress, RouteEffects,
        SecretReference, Status, SwitchedMember, SwitchedSet, TrafficEndpoint, TrafficTable,
        Updated, WeightedRevision,
    },
    routes::{GroupRouteFilter, RouteFilter, RouteStateCounts, Tables},
    store::Store,
    telemetry::{
        HISTOGRAMS, describe as describe_metrics, label_projects, labels_projects, project_labels,
    },
    units::{
        Activation, AdvanceOptions, ApplyOptions, COORDINATOR, DeploymentSpec, DesiredState,
        FailureBackoff, HealthReport, MAX_SET_MEMBERS, MAX_SET_ROUTES, Manifest, MemberPreview,
        MemberRefusal, NewDeployment, PromoteMember, PromotionPreview, Pruned, ReconcileBatch,
        ReportError, RequestContext, Retention, RollBackMember, RollBackOptions, RollBackPreview,
        SetRefusal, Silenced, SpecChange, StatusReport,
    },
    usage::QuotaSource,
};

#[cfg(test)]
mod tests;
