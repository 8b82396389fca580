//! The history of a deployment as text.

use viridian_proto::v1::{
    DeploymentLifecycle, DeploymentSubStep, FieldChange, HistoryEntry, HistoryResult,
};

use super::{OutputStyle, RevisionNames, age::since};
use crate::{
    enum_names, permille,
    table::{TableColumn, clean, table},
};

/// A table of history entries.
pub(crate) fn history(
    entries: &[HistoryEntry],
    revisions: &RevisionNames,
    style: OutputStyle,
) -> String {
    let row = |it: &HistoryEntry| {
        vec![
            it.number.to_string(),
            it.create_time
                .as_ref()
                .map_or_else(|| "-".to_owned(), |at| since(at, style.now)),
            operation(it),
            result(it, style),
            transition(it),
            revisions.number(&it.revision_id),
            clean(&it.actor),
            why(it),
        ]
    };
    table(
        &[
            TableColumn::whole("NO"),
            TableColumn::whole("AGE"),
            TableColumn::whole("WHAT"),
            TableColumn::whole("RESULT"),
            TableColumn::name("MOVE", 14),
            TableColumn::optional("REVISION"),
            TableColumn::optional("BY"),
            TableColumn::text("WHY", 10),
        ],
        entries.iter().map(row).collect(),
        style.width,
    )
}

/// What was done: `PROMOTE`, or `SHIFT 25%` with the share that a canary took.
pub(crate) fn operation(entry: &HistoryEntry) -> String {
    match entry.phase.as_str() {
        SHIFT => format!("{SHIFT} {}", permille::to_text(entry.weight_permille)),
        phase => phase.to_owned(),
    }
}

/// The reason, with what happened to routes: `could not be started (3 routes): no such
/// image`.
pub(crate) fn why(entry: &HistoryEntry) -> String {
    let mut why = clean(&entry.reason);
    let effects = [
        (entry.created, "created"),
        (entry.promoted, "promoted"),
        (entry.drained, "drained"),
    ];
    let done = effects.iter().filter(|(count, _)| *count > 0);
    let mut notes: Vec<_> = done
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    // A failure creates nothing: its count is what there is to show.
    if notes.is_empty() && entry.count > 0 {
        let noun = if entry.count == 1 { "route" } else { "routes" };
        notes.push(format!("{} {noun}", entry.count));
    }
    if !notes.is_empty() {
        let space = if why.is_empty() { "" } else { " " };
        why += &format!("{space}({})", notes.join(", "));
    }
    if !entry.failure.is_empty() {
        why += &format!(": {}", clean(&entry.failure));
    }
    match (why.is_empty(), changes(entry)) {
        (_, changes) if changes.is_empty() => why,
        (true, changes) => changes,
        (false, changes) => format!("{why}: {changes}"),
    }
}

/// The first settings that a call changed.
fn changes(entry: &HistoryEntry) -> String {
    let or_none = |text: &str| match text {
        "" => "-".to_owned(),
        text => clean(text),
    };
    let change = |it: &FieldChange| {
        let (old, new) = (or_none(&it.old_value), or_none(&it.new_value));
        format!("{} {old} → {new}", clean(&it.path))
    };
    let shown = entry.changes.iter().take(SHOWN_CHANGES).map(change);
    let mut parts: Vec<_> = shown.collect();
    if let more @ 1.. = entry.changes.len().saturating_sub(SHOWN_CHANGES) {
        parts.push(format!("{more} more"));
    }
    parts.join(", ")
}

fn result(entry: &HistoryEntry, style: OutputStyle) -> String {
    let name = enum_names::result(entry.result());
    // What happened to routes says how many there were: how often they were seen is no news.
    let name = match entry.attempts {
        attempts if attempts > 1 && entry.count == 0 => format!("{name} x{attempts}"),
        _ => name.to_owned(),
    };
    match entry.result() {
        HistoryResult::Success => style.good(&name),
        HistoryResult::RolledBack | HistoryResult::Failed => style.bad(&name),
        HistoryResult::Waiting | HistoryResult::Unspecified => style.waiting(&name),
    }
}

/// `FROM → TO`, or the state alone if it did not change.
pub(crate) fn transition(entry: &HistoryEntry) -> String {
    let from = state(entry.from_lifecycle(), entry.from_sub_step());
    let to = state(entry.to_lifecycle(), entry.to_sub_step());
    if from == to {
        to
    } else if entry.from_lifecycle() == DeploymentLifecycle::Unspecified {
        format!("→ {to}")
    } else {
        format!("{from} → {to}")
    }
}

/// The sub-step if there is one, else the lifecycle.
fn state(lifecycle: DeploymentLifecycle, step: DeploymentSubStep) -> String {
    match step {
        DeploymentSubStep::Unspecified => enum_names::lifecycle(lifecycle),
        step => enum_names::sub_step(step),
    }
    .to_owned()
}

const SHIFT: &str = "SHIFT";

/// As many as a line has room for; `-o json` has all.
const SHOWN_CHANGES: usize = 2;

#[cfg(test)]
mod tests {
    use super::{
        super::{RevisionNames, fixture},
        *,
    };

    #[test]
    fn c4_a_change_is_told_with_its_values() {
        let change = |path: &str, old: &str, new: &str| FieldChange {
            path: path.to_owned(),
            old_value: old.to_owned(),
            new_value: new.to_owned(),
        };
        let entry = |reason: &str, count| HistoryEntry {
            reason: reason.to_owned(),
            changes: [
                change("target_replicas", "2", "3"),
                change("labels.tier", "", "web"),
                change("revision.image", "web:1", "web:2"),
            ][..count]
                .to_vec(),
            ..HistoryEntry::default()
        };
        assert_eq!(why(&entry("because", 0)), "because");
        assert_eq!(why(&entry("", 1)), "target_replicas 2 → 3");
        assert_eq!(
            why(&entry("because", 3)),
            "because: target_replicas 2 → 3, labels.tier - → web, 1 more"
        );
    }

    #[test]
    fn a_shift_is_told_with_its_share() {
        let entry = |phase: &str, weight_permille| HistoryEntry {
            phase: phase.to_owned(),
            weight_permille,
            ..HistoryEntry::default()
        };
        assert_eq!(operation(&entry("SHIFT", 25)), "SHIFT 2.5%");
        assert_eq!(operation(&entry("SHIFT", 0)), "SHIFT 0%");
        assert_eq!(operation(&entry("ADVANCE", 0)), "ADVANCE");
    }

    #[test]
    fn an_entry_is_a_line() {
        let revisions = RevisionNames::new(&fixture::revisions());
        let plain = history(&fixture::history(), &revisions, fixture::plain());
        insta::assert_snapshot!("history", plain);
        let coloured = history(&fixture::history(), &revisions, fixture::coloured());
        assert_eq!(console::strip_ansi_codes(&coloured), plain);
    }
}
