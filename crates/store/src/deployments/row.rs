//! The row of a deployment, and how it becomes a record.

use std::collections::BTreeMap;

use diesel::prelude::*;
use viridian_engine::{Column, columns};
use viridian_strategy::{
    Availability, DeploymentId, DeploymentState, Lifecycle, Policy, RevisionId, ServedRevisions,
    SubStep, Timestamp,
};

use super::LockedDeployment;
use crate::{
    documents::{RolloutDocument, StopwatchDocument},
    error::StoreError,
    record::{
        CommitId, Deployment, LastRollout, Metadata, OpenEntries, Protocol, RevisionNumbers,
        Status, TableContent, TableLine, TableShares,
    },
    schema::deployments,
    types::{Json, Sql},
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = deployments)]
pub(crate) struct LockedRow {
    #[diesel(embed)]
    deployment: DeploymentRow,
    endpoints: Json<Vec<TableLine>>,
    shares: Option<Json<TableShares>>,
    commit_id: Option<Sql<CommitId>>,
    open_entries: Option<Json<OpenEntries>>,
    due_at: Option<Sql<Timestamp>>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = deployments)]
pub(crate) struct DeploymentRow {
    #[diesel(embed)]
    pub(super) fixed: ImmutableColumns,
    #[diesel(embed)]
    pub(super) moving: MutableColumns,
}

/// The columns that never change.
#[derive(Queryable, Selectable)]
#[diesel(table_name = deployments)]
pub(crate) struct ImmutableColumns {
    pub(super) id: Sql<DeploymentId>,
    project: String,
    name: String,
    metadata: Json<Metadata>,
    created_at: Sql<Timestamp>,
}

/// The columns that change.
#[derive(Queryable, Selectable)]
#[diesel(table_name = deployments)]
pub(crate) struct MutableColumns {
    labels: Json<BTreeMap<String, String>>,
    lifecycle: Sql<Lifecycle>,
    sub_step: Option<Sql<SubStep>>,
    current_revision_id: Option<Sql<RevisionId>>,
    deploying_revision_id: Option<Sql<RevisionId>>,
    previous_revision_id: Option<Sql<RevisionId>>,
    rollout: Option<Json<RolloutDocument>>,
    target_replicas: i32,
    policy: Json<Policy>,
    revision_history_limit: i32,
    protocol: Sql<Protocol>,
    paused: bool,
    generation: i64,
    sequence: i64,
    epoch: i64,
    last_revision: i64,
    last_history: i64,
    status: Json<Status>,
    availability: Option<Sql<Availability>>,
    updated_at: Sql<Timestamp>,
    phase_started_at: Sql<Timestamp>,
    deadline_at: Option<Sql<Timestamp>>,
    promoted_at: Option<Sql<Timestamp>>,
    last_activation: i64,
    current_activation: i64,
    rollout_number: i64,
    canary_step: i32,
    weight_permille: Option<i32>,
    last_rollout: Option<Json<LastRollout>>,
    current_revision_number: Option<i64>,
    deploying_revision_number: Option<i64>,
    served: Json<ServedRevisions>,
    coming_up: Option<Json<StopwatchDocument>>,
    restarted: bool,
}

impl ImmutableColumns {
    pub(super) fn columns(rows: Vec<Self>) -> Vec<Column> {
        columns!(rows, ImmutableColumns { id, project, name, metadata, created_at } in deployments)
    }
}

impl MutableColumns {
    pub(super) fn columns(rows: Vec<Self>) -> Vec<Column> {
        columns!(rows, MutableColumns {
            labels, lifecycle, sub_step, current_revision_id, deploying_revision_id,
            previous_revision_id, rollout, target_replicas, policy,
            revision_history_limit, protocol, paused, generation, sequence, epoch, last_revision,
            last_history, status, availability, updated_at, phase_started_at,
            deadline_at, promoted_at, last_activation, current_activation,
            rollout_number, canary_step, weight_permille, last_rollout, current_revision_number, deploying_revision_number, served,
            coming_up, restarted,
        } in deployments)
    }
}

impl From<Deployment> for DeploymentRow {
    fn from(deployment: Deployment) -> Self {
        let state = deployment.state;
        let rollout = state.rollout().map(|rollout| Json(rollout.into()));
        let canary = state.rollout().map(|it| it.canary).unwrap_or_default();
        Self {
            fixed: ImmutableColumns {
                id: Sql(deployment.id),
                project: deployment.project,
                name: deployment.name,
                metadata: Json(deployment.metadata),
                created_at: Sql(deployment.created_at),
            },
            moving: MutableColumns {
                labels: Json(deployment.labels),
                lifecycle: Sql(state.lifecycle()),
                sub_step: state.sub_step().map(Sql),
                current_revision_id: state.current().map(Sql),
                deploying_revision_id: state.deploying().map(Sql),
                // A column of its own, so that a foreign key protects the one that matters most.
                previous_revision_id: deployment.served.last().map(Sql),
                rollout,
                // Constraints keep this and the history limit at 1,000 or less, so that no sign
                // is lost.
                target_replicas: deployment.target_replicas.cast_signed(),
                policy: Json(deployment.policy),
                revision_history_limit: deployment.revision_history_limit.cast_signed(),
                protocol: Sql(deployment.protocol),
                paused: deployment.paused,
                generation: deployment.generation,
                sequence: deployment.sequence,
                epoch: deployment.epoch,
                last_revision: deployment.last_revision,
                last_history: deployment.last_history,
                status: Json(deployment.status),
                availability: deployment.availability.map(Sql),
                updated_at: Sql(deployment.updated_at),
                phase_started_at: Sql(deployment.phase_started_at),
                deadline_at: deployment.deadline_at.map(Sql),
                promoted_at: deployment.promoted_at.map(Sql),
                last_activation: deployment.last_activation,
                current_activation: deployment.current_activation,
                rollout_number: deployment.rollout_number,
                canary_step: canary.step.cast_signed(),
                weight_permille: canary.weight.map(i32::from),
                last_rollout: deployment.last_rollout.map(Json),
                current_revision_number: deployment.numbers.current,
                deploying_revision_number: deployment.numbers.deploying,
                served: Json(deployment.served),
                coming_up: deployment.coming_up.map(|watch| Json(watch.into())),
                restarted: deployment.restarted,
            },
        }
    }
}

impl TryFrom<DeploymentRow> for Deployment {
    type Error = StoreError;

    fn try_from(row: DeploymentRow) -> Result<Self, StoreError> {
        let DeploymentRow { fixed, moving } = row;
        let Sql(id) = fixed.id;
        let state = state(&moving).map_err(|why| StoreError::Corrupt { id, why })?;
        Ok(Self {
            id,
            project: fixed.project,
            name: fixed.name,
            labels: moving.labels.0,
            metadata: fixed.metadata.0,
            target_replicas: moving.target_replicas.cast_unsigned(),
            policy: moving.policy.0,
            revision_history_limit: moving.revision_history_limit.cast_unsigned(),
            protocol: moving.protocol.0,
            paused: moving.paused,
            state,
            last_activation: moving.last_activation,
            current_activation: moving.current_activation,
            rollout_number: moving.rollout_number,
            numbers: RevisionNumbers {
                current: moving.current_revision_number,
                deploying: moving.deploying_revision_number,
            },
            served: moving.served.0,
            restarted: moving.restarted,
            last_rollout: moving.last_rollout.map(|Json(it)| it),
            generation: moving.generation,
            sequence: moving.sequence,
            epoch: moving.epoch,
            status: moving.status.0,
            availability: moving.availability.map(|Sql(it)| it),
            created_at: fixed.created_at.0,
            updated_at: moving.updated_at.0,
            phase_started_at: moving.phase_started_at.0,
            deadline_at: moving.deadline_at.map(|Sql(at)| at),
            promoted_at: moving.promoted_at.map(|Sql(at)| at),
            coming_up: moving.coming_up.map(|Json(watch)| watch.into()),
            last_revision: moving.last_revision,
            last_history: moving.last_history,
        })
    }
}

fn state(moving: &MutableColumns) -> Result<DeploymentState, &'static str> {
    let current = moving.current_revision_id.map(|Sql(id)| id);
    Ok(match moving.lifecycle.0 {
        Lifecycle::Pending => DeploymentState::Pending { current },
        // Constraints exclude what is an error from here on. A row that got past them fails
        // alone.
        Lifecycle::Ready => DeploymentState::Ready {
            current: current.ok_or("READY without a revision")?,
        },
        Lifecycle::Destroying => DeploymentState::Destroying { current },
        Lifecycle::Destroyed => DeploymentState::Destroyed { current },
        Lifecycle::Deploying => {
            let deploying = moving.deploying_revision_id.map(|Sql(id)| id);
            let Json(document) = moving
                .rollout
                .as_ref()
                .ok_or("DEPLOYING without a rollout")?;
            let sub_step = moving.sub_step.ok_or("DEPLOYING without a sub-step")?;
            DeploymentState::Deploying(document.rollout(
                current.ok_or("DEPLOYING without a current revision")?,
                deploying.ok_or("DEPLOYING without a deploying revision")?,
                sub_step.0,
                // Every activation ends the rollout before it, so that a rollout is the last one.
                moving.last_activation,
                share(moving)?,
            ))
        }
    })
}

/// The step of a canary, and the share that it asks for.
fn share(moving: &MutableColumns) -> Result<(u32, Option<u16>), &'static str> {
    // A constraint keeps it from 0 to 999. A row that got past it fails alone.
    let weight = moving.weight_permille.map(u16::try_from).transpose();
    let weight = weight.map_err(|_| "a weight that is no weight")?;
    Ok((moving.canary_step.cast_unsigned(), weight))
}

impl TryFrom<LockedRow> for LockedDeployment {
    type Error = StoreError;

    fn try_from(row: LockedRow) -> Result<Self, StoreError> {
        let deployment = Deployment::try_from(row.deployment)?;
        let due_at = row.due_at.map(|Sql(at)| at);
        Ok(Self {
            deployment,
            table: TableContent {
                lines: row.endpoints.0,
                shares: row.shares.map(|Json(it)| it).unwrap_or_default(),
            },
            table_commit: row.commit_id.map(|Sql(id)| id),
            open_entries: row.open_entries.map(|Json(open)| open).unwrap_or_default(),
            due_at,
        })
    }
}
