//! The revisions that served before, oldest first.

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use viridian_strategy::{RevisionId, ServedRevisions};

use super::persisted;

persisted!(ServedRevisions => ServedDocument);

#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ServedDocument(Vec<Uuid>);

impl ServedDocument {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The revisions; or, in a document from before there were several, the one.
    pub(super) fn or(self, previous: Option<Uuid>) -> ServedRevisions {
        match previous.filter(|_| self.is_empty()) {
            Some(previous) => Self(vec![previous]).into(),
            None => self.into(),
        }
    }
}

impl From<&ServedRevisions> for ServedDocument {
    fn from(served: &ServedRevisions) -> Self {
        Self(served.iter().map(|RevisionId(id)| id).collect())
    }
}

impl From<ServedDocument> for ServedRevisions {
    fn from(ServedDocument(ids): ServedDocument) -> Self {
        ids.into_iter().map(RevisionId).collect()
    }
}
