//! What happened to a deployment.

use viridian_proto::v1::{DeploymentLifecycle, DeploymentSubStep, HistoryEntry, HistoryResult};

use super::{Look, Revisions, age::since};
use crate::{
    names,
    table::{clean, table},
};

/// What happened, one a line.
pub(crate) fn history(entries: &[HistoryEntry], revisions: &Revisions, look: Look) -> String {
    let row = |it: &HistoryEntry| {
        vec![
            it.number.to_string(),
            it.create_time
                .as_ref()
                .map_or_else(|| "-".to_owned(), |at| since(at, look.now)),
            it.phase.clone(),
            result(it, look),
            what(it),
            revisions.number(&it.revision_id),
            clean(&it.actor),
            clean(&it.reason),
        ]
    };
    table(
        &[
            "NO", "AGE", "WHAT", "RESULT", "MOVE", "REVISION", "BY", "WHY",
        ],
        entries.iter().map(row).collect(),
    )
}

fn result(entry: &HistoryEntry, look: Look) -> String {
    let name = names::result(entry.result());
    let name = match entry.attempts {
        ..=1 => name.to_owned(),
        often => format!("{name} x{often}"),
    };
    match entry.result() {
        HistoryResult::Success => look.good(&name),
        HistoryResult::RolledBack => look.bad(&name),
        HistoryResult::Waiting | HistoryResult::Unspecified => look.waits(&name),
    }
}

/// From where to where it moved, or where it stayed.
pub(crate) fn what(entry: &HistoryEntry) -> String {
    let from = place(entry.from_lifecycle(), entry.from_sub_step());
    let to = place(entry.to_lifecycle(), entry.to_sub_step());
    if from == to {
        to
    } else if entry.from_lifecycle() == DeploymentLifecycle::Unspecified {
        format!("→ {to}")
    } else {
        format!("{from} → {to}")
    }
}

/// The sub-step says enough when there is one.
fn place(lifecycle: DeploymentLifecycle, step: DeploymentSubStep) -> String {
    match step {
        DeploymentSubStep::Unspecified => names::lifecycle(lifecycle),
        step => names::sub_step(step),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Revisions, fixture},
        history,
    };

    #[test]
    fn one_a_line() {
        let revisions = Revisions::new(&fixture::revisions());
        let plain = history(&fixture::history(), &revisions, fixture::plain());
        insta::assert_snapshot!("history", plain);
        let coloured = history(&fixture::history(), &revisions, fixture::coloured());
        assert_eq!(console::strip_ansi_codes(&coloured), plain);
    }
}
