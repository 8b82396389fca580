//! What is found, and how it is shown.

use std::fmt::Display;

use serde_json::{Value, json};

use crate::table::{clean, columns};

/// What is found in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DoctorFinding {
    /// Where: `database`, `clock` and so on.
    place: &'static str,
    verdict: FindingLevel,
    what: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum FindingLevel {
    Fine,
    /// It works, and someone ought to know.
    Note,
    Wrong {
        mend: String,
    },
}

impl DoctorFinding {
    /// Nothing is to be done.
    pub(crate) fn fine(place: &'static str, what: impl Display) -> Self {
        Self::new(place, FindingLevel::Fine, what)
    }

    /// It works, and someone ought to know.
    pub(crate) fn note(place: &'static str, what: impl Display) -> Self {
        Self::new(place, FindingLevel::Note, what)
    }

    /// What does not work, or soon will not, and how to mend it.
    pub(crate) fn wrong(place: &'static str, what: impl Display, mend: impl Display) -> Self {
        let mend = clean(&mend.to_string());
        Self::new(place, FindingLevel::Wrong { mend }, what)
    }

    pub(crate) fn is_wrong(&self) -> bool {
        matches!(self.verdict, FindingLevel::Wrong { .. })
    }

    fn new(place: &'static str, verdict: FindingLevel, what: impl Display) -> Self {
        let what = clean(&what.to_string());
        Self {
            place,
            verdict,
            what,
        }
    }

    fn word(&self) -> &'static str {
        match self.verdict {
            FindingLevel::Fine => "ok",
            FindingLevel::Note => "note",
            FindingLevel::Wrong { .. } => "WRONG",
        }
    }

    fn mend(&self) -> Option<&str> {
        match &self.verdict {
            FindingLevel::Wrong { mend } => Some(mend),
            FindingLevel::Fine | FindingLevel::Note => None,
        }
    }
}

/// A line a finding.
pub(crate) fn text(findings: &[DoctorFinding]) -> String {
    let row = |it: &DoctorFinding| {
        let what = match it.mend() {
            Some(mend) => format!("{}. To mend it: {mend}", it.what),
            None => it.what.clone(),
        };
        vec![it.word().to_owned(), it.place.to_owned(), what]
    };
    columns(findings.iter().map(row).collect())
}

/// The same for a program.
pub(crate) fn json(findings: &[DoctorFinding]) -> Value {
    let finding = |it: &DoctorFinding| {
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
            DoctorFinding::fine("database", "SQLite 3.50"),
            DoctorFinding::wrong("clock", "an hour\nahead", "set it"),
        ];
        assert_eq!(
            text(&findings),
            "ok     database  SQLite 3.50\nWRONG  clock     an hour ahead. To mend it: set it"
        );
        assert_eq!(json(&findings)[1]["mend"], "set it");
    }
}
