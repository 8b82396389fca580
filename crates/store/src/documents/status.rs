//! The route counts of a deployment, and its blockers.

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};
use viridian_strategy::ReplicaCounts;

use super::{Micros, blocker::BlockerDocument, persisted};
use crate::record::Status;

persisted!(Status => StatusDocument);

#[derive(Serialize, Deserialize)]
pub(crate) struct StatusDocument {
    blue: CountsDocument,
    green: CountsDocument,
    // As many as `Blockers` holds: a longer list does not parse.
    #[serde(default, skip_serializing_if = "ArrayVec::is_empty")]
    blockers: ArrayVec<BlockerDocument, 12>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retained_until: Option<Micros>,
    #[serde(default, skip_serializing_if = "is_no_share")]
    effective_permille: u16,
    #[serde(default, skip_serializing_if = "is_zero")]
    stale_promoted: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    health_detail: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    failure_detail: String,
}

#[derive(Serialize, Deserialize)]
struct CountsDocument {
    #[serde(default, skip_serializing_if = "is_zero")]
    provisioning: u32,
    ready: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    unhealthy: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    failed: u32,
    active_traffic: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    retained: u32,
}

fn is_no_share(permille: &u16) -> bool {
    *permille == 0
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl From<&Status> for StatusDocument {
    fn from(status: &Status) -> Self {
        let Status {
            blue,
            green,
            blockers,
            retained_until,
            effective_permille,
            stale_promoted,
            health_detail,
            failure_detail,
        } = status;
        Self {
            blue: blue.into(),
            green: green.into(),
            blockers: blockers.iter().copied().map(Into::into).collect(),
            retained_until: retained_until.map(Into::into),
            effective_permille: *effective_permille,
            stale_promoted: *stale_promoted,
            health_detail: health_detail.clone(),
            failure_detail: failure_detail.clone(),
        }
    }
}

impl From<StatusDocument> for Status {
    fn from(document: StatusDocument) -> Self {
        Self {
            blue: document.blue.into(),
            green: document.green.into(),
            blockers: document.blockers.into_iter().map(Into::into).collect(),
            retained_until: document.retained_until.map(Into::into),
            effective_permille: document.effective_permille,
            stale_promoted: document.stale_promoted,
            health_detail: document.health_detail,
            failure_detail: document.failure_detail,
        }
    }
}

impl From<&ReplicaCounts> for CountsDocument {
    fn from(counts: &ReplicaCounts) -> Self {
        let ReplicaCounts {
            provisioning,
            ready,
            unhealthy,
            failed,
            active_traffic,
            retained,
        } = *counts;
        Self {
            provisioning,
            ready,
            unhealthy,
            failed,
            active_traffic,
            retained,
        }
    }
}

impl From<CountsDocument> for ReplicaCounts {
    fn from(document: CountsDocument) -> Self {
        Self {
            provisioning: document.provisioning,
            ready: document.ready,
            unhealthy: document.unhealthy,
            failed: document.failed,
            active_traffic: document.active_traffic,
            retained: document.retained,
        }
    }
}
