//! Notifies other tasks of this process of what was committed, here or elsewhere.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use uuid::Uuid;
use viridian_strategy::{DeploymentId, Timestamp};

/// What a committed transaction changed of one deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitNotice {
    /// Which deployment.
    pub deployment: DeploymentId,
    /// The epoch of its traffic table, if that changed.
    pub epoch: Option<i64>,
    /// When it is due for a cycle.
    pub due_at: Option<Timestamp>,
    /// The resource group that has new assignments.
    pub resource_group: Option<String>,
}

/// A hint of what other processes committed. What it does not mention has to be polled for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteHint {
    /// Whether something became due, now or later.
    pub due: bool,
    /// The resource groups that may have new assignments; none when it may be
    /// any.
    pub groups: Option<BTreeSet<String>>,
    /// The deployments that have them; none when it may be any of the groups. Servers of
    /// earlier versions do not say.
    #[serde(default)]
    pub assigned: Option<BTreeSet<Uuid>>,
}

/// The deployments that may have new assignments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssignedDeployments {
    /// Any of the group.
    Any,
    /// These, of which some may be of another group.
    Of(BTreeSet<DeploymentId>),
}

/// Something that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// By this process.
    Local(CommitNotice),
    /// By others.
    Remote(RemoteHint),
}

impl Notification {
    /// Whether something became due, now or later.
    pub fn made_due(&self) -> bool {
        match self {
            Self::Local(notices) => notices.due_at.is_some(),
            Self::Remote(elsewhere) => elsewhere.due,
        }
    }

    /// Which deployments of a resource group may have new assignments.
    pub fn assigned_in(&self, group: &str) -> AssignedDeployments {
        match self {
            Self::Local(notice) => match &notice.resource_group {
                Some(of) if of == group => AssignedDeployments::Of([notice.deployment].into()),
                _ => AssignedDeployments::none(),
            },
            Self::Remote(RemoteHint {
                groups: Some(groups),
                ..
            }) if !groups.contains(group) => AssignedDeployments::none(),
            Self::Remote(RemoteHint { assigned, .. }) => match assigned {
                Some(ids) => {
                    let ids = ids.iter().copied().map(DeploymentId);
                    AssignedDeployments::Of(ids.collect())
                }
                None => AssignedDeployments::Any,
            },
        }
    }
}

impl AssignedDeployments {
    /// None at all.
    pub fn none() -> Self {
        Self::Of(BTreeSet::new())
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Of(ids) if ids.is_empty())
    }
}

impl RemoteHint {
    /// Anything may have been committed.
    pub(crate) fn anything() -> Self {
        Self {
            due: true,
            groups: None,
            assigned: None,
        }
    }
}

/// Where commits are announced. A receiver that lags has to poll.
#[derive(Clone, Debug)]
pub(crate) struct Notifier(broadcast::Sender<Notification>);

impl Notifier {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }

    pub(crate) fn notify(&self, notices: Vec<CommitNotice>) {
        for notice in notices {
            // Without receivers this fails, and that is no failure.
            let _ = self.0.send(Notification::Local(notice));
        }
    }

    pub(crate) fn notify_remote(&self, hint: RemoteHint) {
        let _ = self.0.send(Notification::Remote(hint));
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Notification> {
        self.0.subscribe()
    }
}

// A receiver that lags by more has to poll, so a burst of commits costs no more memory.
const CAPACITY: usize = 4_096;
