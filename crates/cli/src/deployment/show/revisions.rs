//! Revisions.

use std::collections::HashMap;

use viridian_proto::v1::{Deployment, Revision, RevisionSpec};

use super::{Look, age::since};
use crate::table::{clean, table};

/// The revisions of a deployment by their ids, so that people see numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Revisions(HashMap<String, (i64, String)>);

impl Revisions {
    pub(crate) fn new(revisions: &[Revision]) -> Self {
        let entry = |it: &Revision| (it.id.clone(), (it.number, runs(it.spec.as_ref())));
        Self(revisions.iter().map(entry).collect())
    }

    /// Its number and what it runs: `4 (cart:2)`. Its id when it is not known, which
    /// happens when it is forgotten or newer than the list.
    pub(crate) fn name(&self, id: &str) -> String {
        match self.0.get(id) {
            Some((number, runs)) => format!("{number} ({runs})"),
            None if id.is_empty() => "none".to_owned(),
            None => id.to_owned(),
        }
    }

    /// Whether it is known.
    pub(crate) fn has(&self, id: &str) -> bool {
        id.is_empty() || self.0.contains_key(id)
    }

    /// Its number only.
    pub(crate) fn number(&self, id: &str) -> String {
        match self.0.get(id) {
            Some((number, _)) => number.to_string(),
            None if id.is_empty() => "-".to_owned(),
            None => id.to_owned(),
        }
    }
}

/// Revisions, one a line.
pub(crate) fn revisions(deployment: &Deployment, revisions: &[Revision], look: Look) -> String {
    let row = |it: &Revision| {
        vec![
            it.number.to_string(),
            role(deployment, &it.id, look),
            runs(it.spec.as_ref()),
            it.create_time
                .as_ref()
                .map_or_else(|| "-".to_owned(), |at| since(at, look.now)),
            clean(&it.created_by),
            it.id.clone(),
        ]
    };
    table(
        &["REVISION", "IS", "RUNS", "AGE", "BY", "ID"],
        revisions.iter().map(row).collect(),
    )
}

fn role(deployment: &Deployment, id: &str, look: Look) -> String {
    if deployment.current_revision_id == id {
        look.blue("current")
    } else if deployment.deploying_revision_id == id {
        look.green("deploying")
    } else {
        "-".to_owned()
    }
}

/// What a revision runs, in few words.
pub(crate) fn runs(spec: Option<&RevisionSpec>) -> String {
    let Some(spec) = spec else {
        return "nothing".to_owned();
    };
    let whole = [&spec.image, &spec.model]
        .into_iter()
        .find(|text| !text.is_empty())
        .cloned()
        .unwrap_or_else(|| spec.command.join(" "));
    let whole = clean(&whole);
    match whole.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

/// Of what a revision runs, in letters.
const LONGEST: usize = 60;

#[cfg(test)]
mod tests {
    use viridian_proto::v1::RevisionSpec;

    use super::{super::fixture, revisions, runs};

    #[test]
    fn one_a_line() {
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
        assert_eq!(runs(Some(&spec)), cut);
    }
}
