//! What is wrong with settings.

use std::fmt;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::{duration::DurationError, permille::PermilleError, table::clean};

/// One mistake in settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SettingMistake {
    /// Where it is in a file. None for flags.
    pub(in crate::deployment) line: Option<usize>,
    /// The setting, with the names of files.
    pub(in crate::deployment) path: String,
    pub(in crate::deployment) problem: SettingProblem,
}

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingProblem {
    #[error("unknown setting; did you mean {0}?")]
    Misspelled(String),
    #[error("unknown setting; expected one of: {0}")]
    Unknown(String),
    #[error("expected {0}")]
    Expected(String),
    #[error(transparent)]
    Duration(#[from] DurationError),
    #[error(transparent)]
    Share(#[from] PermilleError),
    #[error("only one of {0} is allowed")]
    OneOf(String),
    #[error("it is set twice")]
    Repeated,
    #[error("is missing")]
    Missing,
    #[error("is in the file twice")]
    SameDeployment,
}

impl fmt::Display for SettingMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An unknown name comes from the file as it is.
        write!(f, "{}: {}", clean(&self.path), self.problem)
    }
}

/// What a name that is no setting was meant to be: one of the names beside it, or the path
/// of a setting below them.
pub(super) fn unknown(name: &str, names: &[String], message: &MessageDescriptor) -> SettingProblem {
    let wanted = plain(name);
    let distance = |other: &String| {
        let other = plain(other);
        let is_part = |one: &str, other: &str| one.len() >= MIN_PART && other.contains(one);
        // A part of a name is as good as a name with a wrong letter.
        match is_part(&wanted, &other) || is_part(&other, &wanted) {
            true => 1,
            false => strsim::damerau_levenshtein(&wanted, &other),
        }
    };
    let closest = names.iter().map(|it| (distance(it), it)).min();
    if let Some((distance, closest)) = closest
        && distance <= wanted.len() / 3
    {
        return SettingProblem::Misspelled(closest.clone());
    }
    match below(message, &wanted) {
        Some(path) => SettingProblem::Misspelled(path),
        None => SettingProblem::Unknown(names.join(", ")),
    }
}

/// The path of a setting of this name, below a message.
fn below(message: &MessageDescriptor, wanted: &str) -> Option<String> {
    message.fields().find_map(|field| {
        let inner = inner(&field)?;
        let path = match inner.fields().find(|it| plain(it.name()) == wanted) {
            Some(found) => found.name().to_owned(),
            None => below(&inner, wanted)?,
        };
        Some(format!("{}.{path}", super::in_files(field.name())))
    })
}

/// The message of a setting with settings below it.
fn inner(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(inner) if !field.is_map() => {
            Some(inner).filter(|it| it.package_name().starts_with("viridian."))
        }
        _ => None,
    }
}

/// A name without what people write differently.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|it| it.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

const MIN_PART: usize = 4;
