//! Findings of the doctor, and their output as text and JSON.

use std::fmt::Display;

use serde_json::{Value, json};

use crate::table::{clean, columns};

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DoctorFinding {
    /// What was checked: `database`, `clock` and so on.
    place: &'static str,
    level: FindingLevel,
    what: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum FindingLevel {
    Fine,
    /// It works, but the operator should know about it.
    Note,
    Wrong {
        fix: String,
    },
}

impl DoctorFinding {
    /// No problem.
    pub(crate) fn fine(place: &'static str, what: impl Display) -> Self {
        Self::new(place, FindingLevel::Fine, what)
    }

    /// It works, but the operator should know about it.
    pub(crate) fn note(place: &'static str, what: impl Display) -> Self {
        Self::new(place, FindingLevel::Note, what)
    }

    /// A problem now or soon, and how to fix it.
    pub(crate) fn wrong(place: &'static str, what: impl Display, fix: impl Display) -> Self {
        let fix = clean(&fix.to_string());
        Self::new(place, FindingLevel::Wrong { fix }, what)
    }

    pub(crate) fn is_wrong(&self) -> bool {
        matches!(self.level, FindingLevel::Wrong { .. })
    }

    fn new(place: &'static str, level: FindingLevel, what: impl Display) -> Self {
        let what = clean(&what.to_string());
        Self { place, level, what }
    }

    fn word(&self) -> &'static str {
        match self.level {
            FindingLevel::Fine => "ok",
            FindingLevel::Note => "note",
            FindingLevel::Wrong { .. } => "WRONG",
        }
    }

    fn fix(&self) -> Option<&str> {
        match &self.level {
            FindingLevel::Wrong { fix } => Some(fix),
            FindingLevel::Fine | FindingLevel::Note => None,
        }
    }
}

/// A line for each finding.
pub(crate) fn text(findings: &[DoctorFinding]) -> String {
    let row = |it: &DoctorFinding| {
        let what = match it.fix() {
            Some(fix) => format!("{}. Fix: {fix}", it.what),
            None => it.what.clone(),
        };
        vec![it.word().to_owned(), it.place.to_owned(), what]
    };
    columns(findings.iter().map(row).collect())
}

/// The findings for scripts. The keys are public.
pub(crate) fn json(findings: &[DoctorFinding]) -> Value {
    let finding = |it: &DoctorFinding| {
        json!({
            "place": it.place,
            "verdict": it.word().to_lowercase(),
            "what": it.what,
            "mend": it.fix(),
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
            "ok     database  SQLite 3.50\nWRONG  clock     an hour ahead. Fix: set it"
        );
        assert_eq!(json(&findings)[1]["mend"], "set it");
    }
}
