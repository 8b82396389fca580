//! Tells other tasks of this process what was committed.

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

/// Where commits are announced. A receiver that lags has to look for itself.
#[derive(Clone, Debug)]
pub(crate) struct Signal(broadcast::Sender<Touched>);

impl Signal {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }

    pub(crate) fn announce(&self, touched: Vec<Touched>) {
        for touched in touched {
            // Nobody listening is no failure.
            let _ = self.0.send(touched);
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Touched> {
        self.0.subscribe()
    }
}

const CAPACITY: usize = 4_096;
