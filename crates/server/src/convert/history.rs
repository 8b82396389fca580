//! History.

use viridian_proto::v1;
use viridian_store::{FieldChange, HistoryEntry, HistoryOutcome};

use super::{
    deployment::{counts, lifecycle, sub_step},
    time::timestamp,
};

/// What happened, to the wire. At creation there is no place before.
pub(crate) fn history_entry(entry: HistoryEntry) -> v1::HistoryEntry {
    let from = entry.from.map(|from| from.lifecycle);
    let from_step = entry.from.and_then(|from| from.sub_step);
    let from = from.map_or(v1::DeploymentLifecycle::Unspecified, lifecycle);
    let step = |step: Option<_>| step.map_or(v1::DeploymentSubStep::Unspecified, sub_step);
    v1::HistoryEntry {
        deployment_id: entry.deployment.to_string(),
        number: entry.number,
        phase: entry.phase.as_str().to_owned(),
        result: result(entry.outcome).into(),
        from_lifecycle: from.into(),
        to_lifecycle: lifecycle(entry.to.lifecycle).into(),
        from_sub_step: step(from_step).into(),
        to_sub_step: step(entry.to.sub_step).into(),
        revision_id: entry.revision.map(|id| id.to_string()).unwrap_or_default(),
        actor: entry.actor,
        reason: entry.reason,
        request_id: entry
            .request
            .map(|request| request.0.to_string())
            .unwrap_or_default(),
        commit_id: entry
            .commit
            .map(|commit| commit.0.to_string())
            .unwrap_or_default(),
        blue: Some(counts(entry.status.blue)),
        green: Some(counts(entry.status.green)),
        attempts: entry.attempts.cast_signed(),
        create_time: Some(timestamp(entry.created_at)),
        update_time: Some(timestamp(entry.updated_at)),
        created: count(entry.effects.created),
        promoted: count(entry.effects.promoted),
        drained: count(entry.effects.drained),
        failure: entry.failure,
        count: count(entry.count),
        weight_permille: entry.weight_permille.unwrap_or_default().into(),
        changes: entry.changes.into_iter().map(field_change).collect(),
    }
}

/// A setting that changed, to the wire.
pub(crate) fn field_change(change: FieldChange) -> v1::FieldChange {
    v1::FieldChange {
        path: change.path,
        old_value: change.old_value,
        new_value: change.new_value,
    }
}

fn result(outcome: HistoryOutcome) -> v1::HistoryResult {
    match outcome {
        HistoryOutcome::Success => v1::HistoryResult::Success,
        HistoryOutcome::Waiting => v1::HistoryResult::Waiting,
        HistoryOutcome::RolledBack => v1::HistoryResult::RolledBack,
        HistoryOutcome::Failed => v1::HistoryResult::Failed,
    }
}

/// A count, which the wire has as a signed number.
fn count(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
