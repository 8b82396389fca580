//! Revisions as a table, and their names by id.

use std::collections::HashMap;

use viridian_proto::v1::{Deployment, Revision, RevisionSpec};

use super::{OutputStyle, age::since};
use crate::table::{TableColumn, clean, table};

/// The revisions of a deployment by their ids, to show numbers instead.
#[derive(Debug, Clone, Default)]
pub(crate) struct RevisionNames(HashMap<String, (i64, String)>);

impl RevisionNames {
    pub(crate) fn new(revisions: &[Revision]) -> Self {
        let entry = |it: &Revision| (it.id.clone(), (it.number, program(it.spec.as_ref())));
        Self(revisions.iter().map(entry).collect())
    }

    /// Number and program: `4 (cart:2)`. The id if the revision is not in the list,
    /// because it was pruned or is newer.
    pub(crate) fn name(&self, id: &str) -> String {
        match self.0.get(id) {
            Some((number, program)) => format!("{number} ({program})"),
            None if id.is_empty() => "none".to_owned(),
            None => id.to_owned(),
        }
    }

    /// Number, program and id: `4 (cart:2), 0193…`.
    pub(crate) fn full(&self, id: &str) -> String {
        match self.0.get(id) {
            Some((number, program)) => format!("{number} ({program}), {id}"),
            None => self.name(id),
        }
    }

    /// The number, if the revision is in the list.
    pub(crate) fn number_of(&self, id: &str) -> Option<i64> {
        self.0.get(id).map(|(number, _)| *number)
    }

    /// Whether the revision is in the list.
    pub(crate) fn has(&self, id: &str) -> bool {
        id.is_empty() || self.0.contains_key(id)
    }

    /// The number alone.
    pub(crate) fn number(&self, id: &str) -> String {
        match self.0.get(id) {
            Some((number, _)) => number.to_string(),
            None if id.is_empty() => "-".to_owned(),
            None => id.to_owned(),
        }
    }
}

/// A table of revisions.
pub(crate) fn revisions(
    deployment: &Deployment,
    revisions: &[Revision],
    style: OutputStyle,
) -> String {
    let row = |it: &Revision| {
        vec![
            it.number.to_string(),
            role(deployment, &it.id, style),
            program(it.spec.as_ref()),
            it.create_time
                .as_ref()
                .map_or_else(|| "-".to_owned(), |at| since(at, style.now)),
            clean(&it.created_by),
            it.id.clone(),
        ]
    };
    table(
        &[
            TableColumn::whole("REVISION"),
            TableColumn::whole("IS"),
            TableColumn::name("RUNS", 12),
            TableColumn::whole("AGE"),
            TableColumn::text("BY", 6),
            TableColumn::name("ID", 14),
        ],
        revisions.iter().map(row).collect(),
        style.width,
    )
}

fn role(deployment: &Deployment, id: &str, style: OutputStyle) -> String {
    if deployment.current_revision_id == id {
        style.blue("current")
    } else if deployment.deploying_revision_id == id {
        style.green("deploying")
    } else {
        "-".to_owned()
    }
}

/// The program of a revision, shortened: its image, its model or its command.
pub(crate) fn program(spec: Option<&RevisionSpec>) -> String {
    let Some(spec) = spec else {
        return "nothing".to_owned();
    };
    let whole = [&spec.image, &spec.model]
        .into_iter()
        .find(|text| !text.is_empty())
        .cloned()
        .unwrap_or_else(|| spec.command.join(" "));
    let whole = clean(&whole);
    // Counted in characters: a cut inside of one would panic.
    match whole.char_indices().nth(MAX_PROGRAM_CHARS) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

/// Longer programs are cut off.
const MAX_PROGRAM_CHARS: usize = 60;

#[cfg(test)]
mod tests {
    use viridian_proto::v1::RevisionSpec;

    use super::{super::fixture, program, revisions};

    #[test]
    fn a_revision_is_a_line() {
        let (deployment, list) = (fixture::at_the_gate(), fixture::revisions());
        let plain = revisions(&deployment, &list, fixture::plain());
        insta::assert_snapshot!("revisions", plain);
        let coloured = revisions(&deployment, &list, fixture::coloured());
        assert_eq!(console::strip_ansi_codes(&coloured), plain);
        assert_ne!(coloured, plain);
    }

    #[test]
    fn long_commands_are_cut() {
        let spec = RevisionSpec {
            command: vec!["é".repeat(100)],
            ..RevisionSpec::default()
        };
        let cut = format!("{}…", "é".repeat(60));
        assert_eq!(program(Some(&spec)), cut);
    }
}
