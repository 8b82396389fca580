//! What the record says, as plain values: no rows, no statements, no JSON.
//!
//! The aggregates read and write these values, `documents` gives their JSON, and the
//! units of work return them. This module knows none of the three.

mod address;
mod assignment;
mod commit;
mod deployment;
mod deployment_summary;
mod event;
mod field_change;
mod group_route;
mod history;
mod last_report;
mod last_rollout;
mod open_entries;
mod projects;
mod protocol;
mod reply;
mod request;
mod revision;
mod route;
mod traffic;

pub use self::{
    address::{AddressError, RouteAddress},
    assignment::{Action, Assignment, AssignmentPosition},
    commit::CommitId,
    deployment::{Deployment, Metadata, NamedRevision, RevisionNumbers, Status},
    deployment_summary::DeploymentSummary,
    event::{Event, EventKind},
    field_change::FieldChange,
    group_route::{GroupRoute, GroupRoutePosition, RevisionOutline},
    history::{HistoryEntry, HistoryOutcome, Operation, RouteEffects},
    last_report::LastReport,
    last_rollout::LastRollout,
    projects::{CountBy, Projects},
    protocol::Protocol,
    reply::{Applied, NewRevision, Promotion, RolledBack, SwitchedMember, SwitchedSet, Updated},
    request::{Request, RequestId},
    revision::{HealthCheck, Revision, RevisionReference, RevisionSpec, SecretReference},
    route::Route,
    traffic::{PreviewEndpoint, TrafficEndpoint, TrafficTable, WeightedRevision},
};
pub(crate) use self::{
    deployment::NumberedRevision,
    history::NewHistoryEntry,
    open_entries::{OpenEntries, OpenEntry, OpenKind},
    traffic::{TableContent, TableLine, TableShares, split_seed},
};
