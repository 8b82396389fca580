//! What is found, and how it is shown.

use std::fmt::Display;

use serde_json::{Value, json};

use crate::table::{clean, columns};

/// What is found in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Where: `database`, `clock` and so on.
    place: &'static str,
    verdict: Verdict,
    what: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// It works, and someone ought to know.
    Note,
    Wrong {
        mend: String,
    },
}

impl Finding {
    /// Nothing is to be done.
    pub(crate) fn fine(place: &'static str, what: impl Display) -> Self {
        Self::new(place, Verdict::Fine, what)
    }

    /// It works, and someone ought to know.
    pub(crate) fn note(place: &'static str, what: impl Display) -> Self {
        Self::new(place, Verdict::Note, what)
    }

    /// What does not work, or soon will not, and how to mend it.
    pub(crate) fn wrong(place: &'static str, what: impl Display, mend: impl Display) -> Self {
        let mend = clean(&mend.to_string());
        Self::new(place, Verdict::Wrong { mend }, what)
    }

    pub(crate) fn is_wrong(&self) -> bool {
        matches!(self.verdict, Verdict::Wrong { .. })
    }

    fn new(place: &'static str, verdict: Verdict, what: impl Display) -> Self {
        let what = clean(&what.to_string());
        Self {
            place,
            verdict,
            what,
        }
    }

    fn word(&self) -> &'static str {
        match self.verdict {
            Verdict::Fine => "ok",
            Verdict::Note => "note",
            Verdict::Wrong { .. } => "WRONG",
        }
    }

    fn mend(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Wrong { mend } => Some(mend),
            Verdict::Fine | Verdict::Note => None,
        }
    }
}

/// A line a finding.
pub(crate) fn text(findings: &[Finding]) -> String {
    let row = |it: &Finding| {
        let what = match it.mend() {
            Some(mend) => format!("{}. To mend it: {mend}", it.what),
            None => it.what.clone(),
        };
        vec![it.word().to_owned(), it.place.to_owned(), what]
    };
    columns(findings.iter().map(row).collect())
}

/// The same for a program.
pub(crate) fn json(findings: &[Finding]) -> Value {
    let finding = |it: &Finding| {
        json!({
            "place": it.place,
            "verdict": it.word().to_lowercase(),
            "what": it.what,
            "mend": it.mend(),
        })
    };
    findings.iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_a_line() {
        let findings = [
            Finding::fine("database", "SQLite 3.50"),
            Finding::wrong("clock", "an hour\nahead", "set it"),
        ];
        assert_eq!(
            text(&findings),
            "ok     database  SQLite 3.50\nWRONG  clock     an hour ahead. To mend it: set it"
        );
        assert_eq!(json(&findings)[1]["mend"], "set it");
    }
}
