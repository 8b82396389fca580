//! The entries of the history that may still be added to, as a deployment's row has them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use viridian_strategy::RevisionId;

use super::{Micros, persisted};
use crate::record::{OpenEntries, OpenEntry, OpenKind, RouteEffects};

persisted!(OpenEntries => OpenEntriesDocument);

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct OpenEntriesDocument(Vec<OpenEntryDocument>);

#[derive(Serialize, Deserialize)]
struct OpenEntryDocument {
    kind: OpenKindDocument,
    number: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Uuid>,
    attempts: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    count: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    created: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    promoted: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    drained: u32,
    at: Micros,
}

#[derive(Serialize, Deserialize)]
enum OpenKindDocument {
    Waiting,
    RouteFailed,
    RouteReplaced,
    HungReplaced,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl From<&OpenEntries> for OpenEntriesDocument {
    fn from(open: &OpenEntries) -> Self {
        Self(open.0.iter().copied().map(Into::into).collect())
    }
}

impl From<OpenEntriesDocument> for OpenEntries {
    fn from(document: OpenEntriesDocument) -> Self {
        Self(document.0.into_iter().map(Into::into).collect())
    }
}

impl From<OpenEntry> for OpenEntryDocument {
    fn from(entry: OpenEntry) -> Self {
        let OpenEntry {
            kind,
            number,
            revision,
            attempts,
            count,
            effects:
                RouteEffects {
                    created,
                    promoted,
                    drained,
                },
            at,
        } = entry;
        Self {
            kind: match kind {
                OpenKind::Waiting => OpenKindDocument::Waiting,
                OpenKind::RouteFailed => OpenKindDocument::RouteFailed,
                OpenKind::RouteReplaced => OpenKindDocument::RouteReplaced,
                OpenKind::HungReplaced => OpenKindDocument::HungReplaced,
            },
            number,
            revision: revision.map(|RevisionId(id)| id),
            attempts,
            count,
            created,
            promoted,
            drained,
            at: at.into(),
        }
    }
}

impl From<OpenEntryDocument> for OpenEntry {
    fn from(document: OpenEntryDocument) -> Self {
        Self {
            kind: match document.kind {
                OpenKindDocument::Waiting => OpenKind::Waiting,
                OpenKindDocument::RouteFailed => OpenKind::RouteFailed,
                OpenKindDocument::RouteReplaced => OpenKind::RouteReplaced,
                OpenKindDocument::HungReplaced => OpenKind::HungReplaced,
            },
            number: document.number,
            revision: document.revision.map(RevisionId),
            attempts: document.attempts,
            count: document.count,
            effects: RouteEffects {
                created: document.created,
                promoted: document.promoted,
                drained: document.drained,
            },
            at: document.at.into(),
        }
    }
}
