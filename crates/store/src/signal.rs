//! Tells other tasks of this process what was committed, here or elsewhere.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use viridian_strategy::{DeploymentId, Timestamp};

/// What a committed transaction changed of one deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Which deployment.
    pub deployment: DeploymentId,
    /// The epoch of its traffic table, if that changed.
    pub epoch: Option<i64>,
    /// When it is due for a cycle.
    pub due_at: Option<Timestamp>,
    /// The resource group that has new assignments.
    pub resource_group: Option<String>,
}

/// What other processes committed, as far as they say. What it says nothing of
/// has to be looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// Whether something became due, now or later.
    pub due: bool,
    /// The resource groups that may have new assignments; none when it may be
    /// any.
    pub groups: Option<BTreeSet<String>>,
}

/// Something that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// By this process.
    Here(Touched),
    /// By others.
    Elsewhere(Elsewhere),
}

impl Announcement {
    /// Whether something became due, now or later.
    pub fn made_due(&self) -> bool {
        match self {
            Self::Here(touched) => touched.due_at.is_some(),
            Self::Elsewhere(elsewhere) => elsewhere.due,
        }
    }

    /// Whether a resource group may have new assignments.
    pub fn may_assign(&self, group: &str) -> bool {
        match self {
            Self::Here(touched) => touched.resource_group.as_deref() == Some(group),
            Self::Elsewhere(Elsewhere { groups, .. }) => {
                groups.as_ref().is_none_or(|groups| groups.contains(group))
            }
        }
    }
}

impl Elsewhere {
    /// Anything may have been committed.
    pub(crate) fn anything() -> Self {
        Self {
            due: true,
            groups: None,
        }
    }
}

/// Where commits are announced. A receiver that lags has to look for itself.
#[derive(Clone, Debug)]
pub(crate) struct Signal(broadcast::Sender<Announcement>);

impl Signal {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }

    pub(crate) fn announce(&self, touched: Vec<Touched>) {
        for touched in touched {
            // Nobody listening is no failure.
            let _ = self.0.send(Announcement::Here(touched));
        }
    }

    pub(crate) fn announce_elsewhere(&self, elsewhere: Elsewhere) {
        let _ = self.0.send(Announcement::Elsewhere(elsewhere));
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Announcement> {
        self.0.subscribe()
    }
}

const CAPACITY: usize = 4_096;
