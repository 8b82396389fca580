//! A deployment at one sequence, as events and replies have it, and its metadata.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use viridian_strategy::DeploymentId;

use super::{
    Micros, availability::AvailabilityDocument, last_rollout::LastRolloutDocument, persisted,
    policy::PolicyDocument, protocol::ProtocolDocument, rollout::StopwatchDocument,
    served::ServedDocument, state::StateDocument, status::StatusDocument,
};
use crate::record::{Deployment, Metadata, RevisionNumbers};

persisted!(Deployment => DeploymentDocument<'_>);
persisted!(Metadata => MetadataDocument<'_>);

#[derive(Serialize, Deserialize)]
pub(crate) struct DeploymentDocument<'a> {
    id: Uuid,
    project: Cow<'a, str>,
    name: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "has_no_labels")]
    labels: Cow<'a, BTreeMap<String, String>>,
    metadata: MetadataDocument<'a>,
    target_replicas: u32,
    policy: PolicyDocument,
    revision_history_limit: u32,
    // Earlier programs had none.
    #[serde(default, skip_serializing_if = "ProtocolDocument::is_default")]
    protocol: ProtocolDocument,
    paused: bool,
    state: StateDocument,
    // Earlier programs distinguished activations by time, and wrote neither of the two.
    #[serde(default)]
    last_activation: i64,
    #[serde(default)]
    current_activation: i64,
    // Earlier programs counted activations only.
    #[serde(default, skip_serializing_if = "is_zero")]
    rollout_number: i64,
    // Earlier programs wrote the last of those that served, under this name.
    #[serde(default, skip_serializing)]
    previous: Option<Uuid>,
    #[serde(default, skip_serializing_if = "ServedDocument::is_empty")]
    served: ServedDocument,
    generation: i64,
    sequence: i64,
    epoch: i64,
    status: StatusDocument,
    #[serde(skip_serializing_if = "Option::is_none")]
    availability: Option<AvailabilityDocument>,
    created_at: Micros,
    updated_at: Micros,
    phase_started_at: Micros,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_at: Option<Micros>,
    #[serde(skip_serializing_if = "Option::is_none")]
    promoted_at: Option<Micros>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coming_up: Option<StopwatchDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_number: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deploying_number: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_rollout: Option<LastRolloutDocument<'a>>,
    #[serde(default, skip_serializing_if = "is_false")]
    restarted: bool,
    last_revision: i64,
    last_history: i64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct MetadataDocument<'a> {
    #[serde(default, skip_serializing_if = "str::is_empty")]
    domain: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    resource_group: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    created_user: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    session_owner: Cow<'a, str>,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn has_no_labels(labels: &BTreeMap<String, String>) -> bool {
    labels.is_empty()
}

impl<'a> From<&'a Deployment> for DeploymentDocument<'a> {
    fn from(deployment: &'a Deployment) -> Self {
        // Without `..`: a new field that is not written does not compile.
        let Deployment {
            id,
            project,
            name,
            labels,
            metadata,
            target_replicas,
            policy,
            revision_history_limit,
            protocol,
            paused,
            state,
            last_activation,
            current_activation,
            rollout_number,
            numbers,
            served,
            last_rollout,
            generation,
            sequence,
            epoch,
            status,
            availability,
            created_at,
            updated_at,
            phase_started_at,
            deadline_at,
            promoted_at,
            coming_up,
            restarted,
            last_revision,
            last_history,
        } = deployment;
        Self {
            id: id.0,
            project: project.into(),
            name: name.into(),
            labels: Cow::Borrowed(labels),
            metadata: metadata.into(),
            target_replicas: *target_replicas,
            policy: policy.into(),
            revision_history_limit: *revision_history_limit,
            protocol: (*protocol).into(),
            paused: *paused,
            state: (*state).into(),
            last_activation: *last_activation,
            current_activation: *current_activation,
            rollout_number: *rollout_number,
            previous: None,
            served: served.into(),
            generation: *generation,
            sequence: *sequence,
            epoch: *epoch,
            status: status.into(),
            availability: availability.map(Into::into),
            created_at: (*created_at).into(),
            updated_at: (*updated_at).into(),
            phase_started_at: (*phase_started_at).into(),
            deadline_at: deadline_at.map(Into::into),
            promoted_at: promoted_at.map(Into::into),
            coming_up: coming_up.map(Into::into),
            current_number: numbers.current,
            deploying_number: numbers.deploying,
            last_rollout: last_rollout.as_ref().map(Into::into),
            restarted: *restarted,
            last_revision: *last_revision,
            last_history: *last_history,
        }
    }
}

impl From<DeploymentDocument<'_>> for Deployment {
    fn from(document: DeploymentDocument<'_>) -> Self {
        Self {
            id: DeploymentId(document.id),
            project: document.project.into_owned(),
            name: document.name.into_owned(),
            labels: document.labels.into_owned(),
            metadata: document.metadata.into(),
            target_replicas: document.target_replicas,
            policy: document.policy.into(),
            revision_history_limit: document.revision_history_limit,
            protocol: document.protocol.into(),
            paused: document.paused,
            state: document.state.into(),
            last_activation: document.last_activation,
            current_activation: document.current_activation,
            rollout_number: document.rollout_number,
            numbers: RevisionNumbers {
                current: document.current_number,
                deploying: document.deploying_number,
            },
            served: document.served.or(document.previous),
            last_rollout: document.last_rollout.map(Into::into),
            generation: document.generation,
            sequence: document.sequence,
            epoch: document.epoch,
            status: document.status.into(),
            availability: document.availability.map(Into::into),
            created_at: document.created_at.into(),
            updated_at: document.updated_at.into(),
            phase_started_at: document.phase_started_at.into(),
            deadline_at: document.deadline_at.map(Into::into),
            promoted_at: document.promoted_at.map(Into::into),
            coming_up: document.coming_up.map(Into::into),
            restarted: document.restarted,
            last_revision: document.last_revision,
            last_history: document.last_history,
        }
    }
}

impl<'a> From<&'a Metadata> for MetadataDocument<'a> {
    fn from(metadata: &'a Metadata) -> Self {
        let Metadata {
            domain,
            resource_group,
            created_user,
            session_owner,
        } = metadata;
        Self {
            domain: domain.into(),
            resource_group: resource_group.into(),
            created_user: created_user.into(),
            session_owner: session_owner.into(),
        }
    }
}

impl From<MetadataDocument<'_>> for Metadata {
    fn from(document: MetadataDocument<'_>) -> Self {
        Self {
            domain: document.domain.into_owned(),
            resource_group: document.resource_group.into_owned(),
            created_user: document.created_user.into_owned(),
            session_owner: document.session_owner.into_owned(),
        }
    }
}
