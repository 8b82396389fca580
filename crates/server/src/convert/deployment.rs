//! Deployments.

use std::collections::BTreeMap;

use viridian_proto::v1;
use viridian_store::{Deployment, LastRollout, Metadata, NewDeployment};
use viridian_strategy::{
    Availability, Blocker, BlockerCode, DeploymentState, Lifecycle, MAX_REPLICAS, ReplicaCounts,
    RolloutOutcome, SubStep,
};

use super::{
    Violations,
    policy::{parse_policy, policy},
    protocol::{parse_protocol, protocol},
    reference::check_name,
    revision::parse_spec,
    time::timestamp,
};
use crate::resource_name::is_resource_name;

/// A new deployment from the wire.
pub(crate) fn parse_new(
    wire: &v1::CreateDeploymentRequest,
    violations: &mut Violations,
) -> NewDeployment {
    check_name("project", &wire.project, violations);
    check_name("name", &wire.name, violations);
    NewDeployment {
        project: wire.project.clone(),
        name: wire.name.clone(),
        labels: parse_labels(&wire.labels, violations),
        metadata: parse_metadata(wire.metadata.as_ref(), violations),
        target_replicas: violations.within(
            "target_replicas",
            wire.target_replicas,
            0,
            MAX_REPLICAS,
        ),
        policy: parse_policy(wire.policy.as_ref(), violations),
        revision_history_limit: parse_history_limit(wire.revision_history_limit, violations),
        protocol: parse_protocol(wire.protocol, violations),
        initial_revision: wire
            .initial_revision
            .as_ref()
            .map(|spec| parse_spec("initial_revision", spec, violations)),
    }
}

/// Metadata from the wire, of a new deployment.
pub(crate) fn parse_metadata(
    wire: Option<&v1::DeploymentMetadata>,
    violations: &mut Violations,
) -> Metadata {
    let wire = wire.cloned().unwrap_or_default();
    for (name, text) in [
        ("domain", &wire.domain),
        ("resource_group", &wire.resource_group),
        ("created_user", &wire.created_user),
        ("session_owner", &wire.session_owner),
    ] {
        violations.text(&format!("metadata.{name}"), text, MAX_METADATA);
    }
    Metadata {
        domain: wire.domain,
        resource_group: resource_group(wire.resource_group),
        created_user: wire.created_user,
        session_owner: wire.session_owner,
    }
}

/// Metadata, to the wire.
pub(crate) fn metadata(metadata: Metadata) -> v1::DeploymentMetadata {
    v1::DeploymentMetadata {
        domain: metadata.domain,
        resource_group: metadata.resource_group,
        created_user: metadata.created_user,
        session_owner: metadata.session_owner,
    }
}

/// How many revisions are kept; the default for 0, which is as good as not set.
pub(crate) fn parse_history_limit(wire: i32, violations: &mut Violations) -> u32 {
    match wire {
        0 => DEFAULT_HISTORY_LIMIT,
        limit => violations.within("revision_history_limit", limit, 1, MAX_HISTORY_LIMIT),
    }
}

/// The same as a request has it by itself.
pub(crate) fn parse_resource_group(wire: String, violations: &mut Violations) -> String {
    violations.text("resource_group", &wire, MAX_METADATA);
    resource_group(wire)
}

/// The group that a caller means: the one named "default" when it names none.
fn resource_group(wire: String) -> String {
    if wire.is_empty() {
        DEFAULT_GROUP.to_owned()
    } else {
        wire
    }
}

/// A deployment, to the wire.
pub(crate) fn deployment(deployment: Deployment) -> v1::Deployment {
    let state = &deployment.state;
    let sub_step = state
        .sub_step()
        .map_or(v1::DeploymentSubStep::Unspecified, sub_step);
    let canary = state.rollout().map(|it| it.canary).unwrap_or_default();
    v1::Deployment {
        id: deployment.id.to_string(),
        lifecycle: lifecycle(state.lifecycle()).into(),
        sub_step: sub_step.into(),
        current_revision_id: state.current().map(|id| id.to_string()).unwrap_or_default(),
        deploying_revision_id: state
            .deploying()
            .map(|id| id.to_string())
            .unwrap_or_default(),
        project: deployment.project,
        name: deployment.name,
        labels: deployment.labels,
        metadata: Some(metadata(deployment.metadata)),
        target_replicas: deployment.target_replicas.cast_signed(),
        policy: Some(policy(&deployment.policy)),
        revision_history_limit: deployment.revision_history_limit.cast_signed(),
        paused: deployment.paused,
        generation: deployment.generation,
        sequence: deployment.sequence,
        epoch: deployment.epoch,
        blue: Some(counts(deployment.status.blue)),
        green: Some(counts(deployment.status.green)),
        blockers: blockers(&deployment.status),
        create_time: Some(timestamp(deployment.created_at)),
        update_time: Some(timestamp(deployment.updated_at)),
        phase_start_time: Some(timestamp(deployment.phase_started_at)),
        deadline_time: deployment.deadline_at.map(timestamp),
        promote_time: deployment.promoted_at.map(timestamp),
        availability: availability(deployment.availability).into(),
        last_rollout: deployment.last_rollout.map(last_rollout),
        current_revision_number: deployment.numbers.current.unwrap_or_default(),
        deploying_revision_number: deployment.numbers.deploying.unwrap_or_default(),
        retained_until_time: deployment.status.retained_until.map(timestamp),
        rollout: deployment.rollout_number,
        step: canary.step.cast_signed(),
        split: split(state, &deployment.status),
        protocol: protocol(deployment.protocol).into(),
    }
}

/// None while no share above 0 is asked for.
fn split(state: &DeploymentState, status: &viridian_store::Status) -> Option<v1::TrafficSplit> {
    let rollout = state.rollout()?;
    // A dark step asks for nothing: its routes are in the preview of the table.
    let asked = rollout.canary.weight.filter(|&asked| asked > 0)?;
    Some(v1::TrafficSplit {
        revision_id: rollout.deploying.to_string(),
        weight_permille: asked.into(),
        effective_permille: status.effective_permille.into(),
    })
}

fn last_rollout(last: LastRollout) -> v1::LastRollout {
    v1::LastRollout {
        revision_id: last.revision.to_string(),
        revision_number: last.number.unwrap_or_default(),
        outcome: outcome(last.outcome).into(),
        reason: last.reason,
        failure: last.failure,
        end_time: last.ended_at.map(timestamp),
    }
}

fn outcome(outcome: RolloutOutcome) -> v1::RolloutOutcome {
    match outcome {
        RolloutOutcome::Promoted => v1::RolloutOutcome::Promoted,
        RolloutOutcome::RolledBack => v1::RolloutOutcome::RolledBack,
        RolloutOutcome::Aborted => v1::RolloutOutcome::Aborted,
        RolloutOutcome::Superseded => v1::RolloutOutcome::Superseded,
        RolloutOutcome::Failed => v1::RolloutOutcome::Failed,
    }
}

fn blockers(status: &viridian_store::Status) -> Vec<v1::Blocker> {
    let all = status.blockers.iter();
    all.map(|it| blocker(status, it)).collect()
}

/// A blocker of a deployment with this status, to the wire.
pub(crate) fn blocker(status: &viridian_store::Status, blocker: &Blocker) -> v1::Blocker {
    v1::Blocker {
        code: code(blocker.code()).into(),
        message: status.sentence(blocker),
        until_time: blocker.until().map(timestamp),
    }
}

/// A lifecycle from the wire; none when it is not set.
pub(crate) fn parse_lifecycle(wire: v1::DeploymentLifecycle) -> Option<Lifecycle> {
    match wire {
        v1::DeploymentLifecycle::Unspecified => None,
        v1::DeploymentLifecycle::Pending => Some(Lifecycle::Pending),
        v1::DeploymentLifecycle::Ready => Some(Lifecycle::Ready),
        v1::DeploymentLifecycle::Deploying => Some(Lifecycle::Deploying),
        v1::DeploymentLifecycle::Destroying => Some(Lifecycle::Destroying),
        v1::DeploymentLifecycle::Destroyed => Some(Lifecycle::Destroyed),
    }
}

/// A sub-step from the wire; none when it is not set.
pub(crate) fn parse_sub_step(wire: v1::DeploymentSubStep) -> Option<SubStep> {
    match wire {
        v1::DeploymentSubStep::Unspecified => None,
        v1::DeploymentSubStep::Provisioning => Some(SubStep::Provisioning),
        v1::DeploymentSubStep::AwaitingPromotion => Some(SubStep::AwaitingPromotion),
        v1::DeploymentSubStep::Shifting => Some(SubStep::Shifting),
        v1::DeploymentSubStep::RollingBack => Some(SubStep::RollingBack),
    }
}

/// How well a deployment serves, from the wire; none when it is not set.
pub(crate) fn parse_availability(wire: v1::DeploymentAvailability) -> Option<Availability> {
    match wire {
        v1::DeploymentAvailability::Unspecified => None,
        v1::DeploymentAvailability::Available => Some(Availability::Available),
        v1::DeploymentAvailability::Degraded => Some(Availability::Degraded),
        v1::DeploymentAvailability::Unavailable => Some(Availability::Unavailable),
        v1::DeploymentAvailability::Idle => Some(Availability::Idle),
    }
}

/// Labels from the wire.
pub(crate) fn parse_labels(
    labels: &BTreeMap<String, String>,
    violations: &mut Violations,
) -> BTreeMap<String, String> {
    violations.count("labels", labels.len(), MAX_LABELS);
    // Those past the limit are refused as a whole: their own violations would only bury that one.
    for (key, value) in labels.iter().take(MAX_LABELS) {
        let field = || format!("labels[{key:?}]");
        if !is_label_key(key) {
            violations.add(field(), "is not a label's key");
        }
        if !(value.is_empty() || is_resource_name(value)) {
            violations.add(
                field(),
                "must be empty, or of at most 63 letters, digits, \"-\", \"_\" and \".\", with a \
                 letter or a digit at both ends",
            );
        }
    }
    labels.clone()
}

/// A name, with the name of a domain before it or not, as in Kubernetes.
fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((domain, name)) => is_domain(domain) && is_resource_name(name),
        None => is_resource_name(key),
    }
}

fn is_domain(text: &str) -> bool {
    let lower = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'.');
    text.len() <= 253 && text.bytes().all(lower) && text.split('.').all(is_resource_name)
}

/// A lifecycle, to the wire.
pub(crate) fn lifecycle(lifecycle: Lifecycle) -> v1::DeploymentLifecycle {
    match lifecycle {
        Lifecycle::Pending => v1::DeploymentLifecycle::Pending,
        Lifecycle::Ready => v1::DeploymentLifecycle::Ready,
        Lifecycle::Deploying => v1::DeploymentLifecycle::Deploying,
        Lifecycle::Destroying => v1::DeploymentLifecycle::Destroying,
        Lifecycle::Destroyed => v1::DeploymentLifecycle::Destroyed,
    }
}

/// A sub-step, to the wire.
pub(crate) fn sub_step(sub_step: SubStep) -> v1::DeploymentSubStep {
    match sub_step {
        SubStep::Provisioning => v1::DeploymentSubStep::Provisioning,
        SubStep::AwaitingPromotion => v1::DeploymentSubStep::AwaitingPromotion,
        SubStep::Shifting => v1::DeploymentSubStep::Shifting,
        SubStep::RollingBack => v1::DeploymentSubStep::RollingBack,
    }
}

/// How well a deployment serves, to the wire.
fn availability(availability: Option<Availability>) -> v1::DeploymentAvailability {
    match availability {
        None => v1::DeploymentAvailability::Unspecified,
        Some(Availability::Available) => v1::DeploymentAvailability::Available,
        Some(Availability::Degraded) => v1::DeploymentAvailability::Degraded,
        Some(Availability::Unavailable) => v1::DeploymentAvailability::Unavailable,
        Some(Availability::Idle) => v1::DeploymentAvailability::Idle,
    }
}

/// Counts, to the wire.
pub(crate) fn counts(counts: ReplicaCounts) -> v1::ReplicaCounts {
    v1::ReplicaCounts {
        provisioning: counts.provisioning.cast_signed(),
        ready: counts.ready.cast_signed(),
        unhealthy: counts.unhealthy.cast_signed(),
        failed: counts.failed.cast_signed(),
        active_traffic: counts.active_traffic.cast_signed(),
        retained: counts.retained.cast_signed(),
    }
}

fn code(code: BlockerCode) -> v1::BlockerCode {
    match code {
        BlockerCode::GreenMissing => v1::BlockerCode::GreenMissing,
        BlockerCode::GreenProvisioning => v1::BlockerCode::GreenProvisioning,
        BlockerCode::GreenUnhealthy => v1::BlockerCode::GreenUnhealthy,
        BlockerCode::GreenFailed => v1::BlockerCode::GreenFailed,
        BlockerCode::MinReady => v1::BlockerCode::MinReady,
        BlockerCode::ManualGate => v1::BlockerCode::ManualGate,
        BlockerCode::PromoteDelay => v1::BlockerCode::PromoteDelay,
        BlockerCode::Paused => v1::BlockerCode::Paused,
        BlockerCode::ReplacementsExhausted => v1::BlockerCode::ReplacementsExhausted,
        BlockerCode::NoRevision => v1::BlockerCode::NoRevision,
        BlockerCode::RoutesNotReady => v1::BlockerCode::RoutesNotReady,
        BlockerCode::BackOff => v1::BlockerCode::BackOff,
        BlockerCode::Terminating => v1::BlockerCode::Terminating,
        BlockerCode::NoReplicas => v1::BlockerCode::NoReplicas,
        BlockerCode::NoAddress => v1::BlockerCode::NoAddress,
        BlockerCode::HealthStale => v1::BlockerCode::HealthStale,
        BlockerCode::Restarting => v1::BlockerCode::Restarting,
        BlockerCode::StepHold => v1::BlockerCode::StepHold,
        BlockerCode::ManualStep => v1::BlockerCode::ManualStep,
    }
}

/// Kubernetes bounds names of this kind in the same way.
const MAX_METADATA: usize = 253;
const MAX_LABELS: usize = 64;
const DEFAULT_GROUP: &str = "default";
pub(crate) const DEFAULT_HISTORY_LIMIT: u32 = 10;
const MAX_HISTORY_LIMIT: u32 = 1_000;
