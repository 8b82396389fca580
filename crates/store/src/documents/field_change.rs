//! The settings that a call changed.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::persisted;
use crate::record::FieldChange;

persisted!(Vec<FieldChange> => ChangesDocument<'_>);

#[derive(Serialize, Deserialize, Default)]
#[serde(transparent)]
pub(crate) struct ChangesDocument<'a>(Vec<ChangeDocument<'a>>);

#[derive(Serialize, Deserialize)]
struct ChangeDocument<'a> {
    path: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_empty")]
    old: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_empty")]
    new: Cow<'a, str>,
}

impl ChangesDocument<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn is_empty(text: &str) -> bool {
    text.is_empty()
}

impl<'a> From<&'a Vec<FieldChange>> for ChangesDocument<'a> {
    fn from(changes: &'a Vec<FieldChange>) -> Self {
        Self(changes.iter().map(Into::into).collect())
    }
}

impl From<ChangesDocument<'_>> for Vec<FieldChange> {
    fn from(ChangesDocument(changes): ChangesDocument<'_>) -> Self {
        changes.into_iter().map(Into::into).collect()
    }
}

impl<'a> From<&'a FieldChange> for ChangeDocument<'a> {
    fn from(change: &'a FieldChange) -> Self {
        let FieldChange {
            path,
            old_value,
            new_value,
        } = change;
        Self {
            path: path.into(),
            old: old_value.into(),
            new: new_value.into(),
        }
    }
}

impl From<ChangeDocument<'_>> for FieldChange {
    fn from(document: ChangeDocument<'_>) -> Self {
        Self {
            path: document.path.into_owned(),
            old_value: document.old.into_owned(),
            new_value: document.new.into_owned(),
        }
    }
}
