//! How the last rollout came out.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use viridian_strategy::{RevisionId, RolloutOutcome};

use super::{Micros, persisted};
use crate::record::LastRollout;

persisted!(LastRollout => LastRolloutDocument<'_>);

#[derive(Serialize, Deserialize)]
pub(crate) struct LastRolloutDocument<'a> {
    revision: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<i64>,
    outcome: OutcomeDocument,
    #[serde(default, skip_serializing_if = "is_forward")]
    way_back: bool,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    reason: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    failure: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Micros>,
}

fn is_forward(way_back: &bool) -> bool {
    !way_back
}

#[derive(Serialize, Deserialize)]
enum OutcomeDocument {
    Promoted,
    RolledBack,
    Aborted,
    Superseded,
    Failed,
}

impl<'a> From<&'a LastRollout> for LastRolloutDocument<'a> {
    fn from(last: &'a LastRollout) -> Self {
        let LastRollout {
            revision,
            number,
            outcome,
            is_way_back,
            reason,
            failure,
            ended_at,
        } = last;
        Self {
            revision: revision.0,
            number: *number,
            outcome: (*outcome).into(),
            way_back: *is_way_back,
            reason: reason.into(),
            failure: failure.into(),
            ended_at: ended_at.map(Into::into),
        }
    }
}

impl From<LastRolloutDocument<'_>> for LastRollout {
    fn from(document: LastRolloutDocument<'_>) -> Self {
        Self {
            revision: RevisionId(document.revision),
            number: document.number,
            outcome: document.outcome.into(),
            is_way_back: document.way_back,
            reason: document.reason.into_owned(),
            failure: document.failure.into_owned(),
            ended_at: document.ended_at.map(Into::into),
        }
    }
}

impl From<RolloutOutcome> for OutcomeDocument {
    fn from(outcome: RolloutOutcome) -> Self {
        match outcome {
            RolloutOutcome::Promoted => Self::Promoted,
            RolloutOutcome::RolledBack => Self::RolledBack,
            RolloutOutcome::Aborted => Self::Aborted,
            RolloutOutcome::Superseded => Self::Superseded,
            RolloutOutcome::Failed => Self::Failed,
        }
    }
}

impl From<OutcomeDocument> for RolloutOutcome {
    fn from(document: OutcomeDocument) -> Self {
        match document {
            OutcomeDocument::Promoted => Self::Promoted,
            OutcomeDocument::RolledBack => Self::RolledBack,
            OutcomeDocument::Aborted => Self::Aborted,
            OutcomeDocument::Superseded => Self::Superseded,
            OutcomeDocument::Failed => Self::Failed,
        }
    }
}
