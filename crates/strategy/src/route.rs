//! A replica as the decision sees it.

use crate::{Policy, RevisionId, RouteId, StopWhen, Timestamp};

/// Where a route is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteStatus {
    /// Wanted; the scheduler has yet to start it.
    Provisioning,
    /// Started.
    Running,
    /// Drained; to be stopped by the scheduler.
    Terminating,
    /// Ended.
    Terminated,
    /// Could not be started.
    FailedToStart,
}

impl RouteStatus {
    /// PROVISIONING or RUNNING.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Provisioning | Self::Running)
    }

    /// TERMINATED or FAILED_TO_START.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Terminated | Self::FailedToStart)
    }

    /// Whether a report may move a route from this status to `next`.
    pub fn may_become(self, next: RouteStatus) -> bool {
        use RouteStatus::{FailedToStart, Provisioning, Running, Terminated, Terminating};
        matches!(
            (self, next),
            (Provisioning, Running | FailedToStart | Terminating)
                | (Running, Terminating | Terminated)
                | (Terminating, Terminated)
        )
    }
}

/// What the health checker last said of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteHealth {
    /// Nothing yet.
    NotChecked,
    /// It answers as it should.
    Healthy,
    /// It does not answer, or answers with an error.
    Unhealthy,
    /// It answers, but not as well as it should.
    Degraded,
}

/// Whether a route takes traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteTraffic {
    /// It is to take traffic whenever it runs and is healthy.
    Active,
    /// It takes none.
    Inactive,
}

impl RouteTraffic {
    /// The share that belongs to it: 1.0 or 0.0.
    pub fn ratio(self) -> f64 {
        match self {
            Self::Active => 1.0,
            Self::Inactive => 0.0,
        }
    }
}

/// The part of a route that a decision reads or changes: one replica of one
/// revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedRoute {
    /// Its id; later ones sort behind earlier ones.
    pub id: RouteId,
    /// What it runs.
    pub revision: RevisionId,
    /// Where it is in its life.
    pub status: RouteStatus,
    /// What the health checker last said.
    pub health: RouteHealth,
    /// Whether it takes traffic.
    pub traffic: RouteTraffic,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub status_updated_at: Timestamp,
    /// When its health last changed.
    pub health_updated_at: Option<Timestamp>,
    /// When Viridian took it out for good; what ends after that has not failed.
    pub drained_at: Option<Timestamp>,
    /// Since when it is kept RUNNING without traffic for an instant roll-back.
    pub retained_at: Option<Timestamp>,
}

impl ObservedRoute {
    /// RUNNING and HEALTHY. Says nothing about traffic.
    pub fn is_ready(&self) -> bool {
        self.status == RouteStatus::Running && self.health == RouteHealth::Healthy
    }

    /// PROVISIONING or RUNNING, and not merely retained.
    pub fn is_live(&self) -> bool {
        self.status.is_active() && self.retained_at.is_none()
    }

    /// Ended without having been drained.
    pub fn has_failed(&self) -> bool {
        self.status.is_over() && self.drained_at.is_none()
    }

    /// Since when it has the status and the health that it has.
    pub fn settled_at(&self) -> Timestamp {
        self.health_updated_at
            .map_or(self.status_updated_at, |at| at.max(self.status_updated_at))
    }

    /// What a report of another status makes of it. The caller asks
    /// [`RouteStatus::may_become`] first.
    pub fn move_to(&mut self, status: RouteStatus, now: Timestamp) {
        if self.status != status {
            self.status = status;
            self.status_updated_at = now;
        }
        if !status.is_active() {
            self.traffic = RouteTraffic::Inactive;
        }
    }

    /// What a report of health makes of it.
    pub fn observe(&mut self, health: RouteHealth, now: Timestamp) {
        if self.health != health {
            self.health = health;
            self.health_updated_at = Some(now);
        }
    }

    /// When it may be stopped if it is drained `now`: after the grace if it had
    /// traffic, at once if it never had any.
    pub fn stop_when(&self, policy: &Policy, now: Timestamp) -> StopWhen {
        // A retained route had traffic until the promotion, and a proxy that lags
        // may still send it some.
        let had_traffic = self.traffic == RouteTraffic::Active || self.retained_at.is_some();
        let not_before = if had_traffic && self.status == RouteStatus::Running {
            now + policy.drain_grace
        } else {
            now
        };
        StopWhen { not_before }
    }

    /// Sorts what is to be drained first to the front: not RUNNING, then
    /// UNHEALTHY, DEGRADED, NOT_CHECKED, HEALTHY; the youngest first in each.
    pub(crate) fn termination_key(&self) -> impl Ord + use<> {
        let rank = match (self.status, self.health) {
            (RouteStatus::Running, RouteHealth::Unhealthy) => 1,
            (RouteStatus::Running, RouteHealth::Degraded) => 2,
            (RouteStatus::Running, RouteHealth::NotChecked) => 3,
            (RouteStatus::Running, RouteHealth::Healthy) => 4,
            (_, _) => 0,
        };
        (rank, std::cmp::Reverse((self.created_at, self.id)))
    }
}
