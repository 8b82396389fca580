//! A route, its three statuses (lifecycle, health, traffic), and when it may be stopped.

use std::time::Duration;

use crate::{Policy, RevisionId, RouteId, Timestamp};

/// The lifecycle of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteStatus {
    /// Created; the scheduler has yet to start it.
    Provisioning,
    /// Started.
    Running,
    /// Drained, or being stopped by the scheduler.
    Terminating,
    /// Ended.
    Terminated,
    /// Could not be started.
    FailedToStart,
}

impl RouteStatus {
    /// The name for programs: `PROVISIONING`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Running => "RUNNING",
            Self::Terminating => "TERMINATING",
            Self::Terminated => "TERMINATED",
            Self::FailedToStart => "FAILED_TO_START",
        }
    }

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

/// The health of a route, as last reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteHealth {
    /// No report yet.
    NotChecked,
    /// It works.
    Healthy,
    /// It does not respond, or responds with an error.
    Unhealthy,
    /// It works, but not well enough.
    Degraded,
}

impl RouteHealth {
    /// The name for programs: `NOT_CHECKED`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotChecked => "NOT_CHECKED",
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
            Self::Degraded => "DEGRADED",
        }
    }
}

/// Whether a route takes traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteTraffic {
    /// It takes traffic whenever it runs and is healthy.
    Active,
    /// It takes no traffic.
    Inactive,
}

impl RouteTraffic {
    /// The name for programs: `ACTIVE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
        }
    }

    /// The ratio in the record: 1.0 or 0.0.
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
    /// Its id. Later ids sort after earlier ones.
    pub id: RouteId,
    /// The revision that it runs.
    pub revision: RevisionId,
    /// Its lifecycle.
    pub status: RouteStatus,
    /// Its health, as last reported.
    pub health: RouteHealth,
    /// Whether it takes traffic.
    pub traffic: RouteTraffic,
    /// The number of the activation in which it was created.
    pub activation: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub status_updated_at: Timestamp,
    /// When its health last changed.
    pub health_updated_at: Option<Timestamp>,
    /// When Viridian drained it. A route that ends after that has not failed.
    pub drained_at: Option<Timestamp>,
    /// When a promotion took its traffic but kept it RUNNING, for an instant
    /// roll-back.
    pub retained_at: Option<Timestamp>,
    /// When its scheduler took it away, without a drain before. A route that ends
    /// after that has not failed either.
    pub evicted_at: Option<Timestamp>,
    /// Whether it is known where it listens.
    pub has_address: bool,
    /// Whether it has been HEALTHY in its present session.
    pub once_healthy: bool,
    /// When its health was last observed in its present session, also by a report
    /// that repeated it.
    pub health_observed_at: Option<Timestamp>,
    /// When a caller asked for its drain, once a new one is ready in its place.
    pub drain_requested_at: Option<Timestamp>,
    /// When Viridian drained it because it had been UNHEALTHY for too long.
    pub hung_at: Option<Timestamp>,
}

/// When a drained route may be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopWhen {
    /// The time until which proxies may still send it traffic.
    pub not_before: Timestamp,
}

impl ObservedRoute {
    /// Whether it is RUNNING and HEALTHY, with an address. Says nothing about
    /// traffic, nor about how old its health is.
    pub fn is_ready(&self) -> bool {
        self.is_reachable() && self.health == RouteHealth::Healthy
    }

    /// Whether it is RUNNING, and it is known where.
    pub(crate) fn is_reachable(&self) -> bool {
        self.status == RouteStatus::Running && self.has_address
    }

    /// Whether it may serve when no route is ready. One that was never HEALTHY may
    /// still be loading: it gets no traffic.
    pub(crate) fn may_fail_open(&self) -> bool {
        self.is_reachable() && self.once_healthy
    }

    /// Whether its health was observed within `ttl` before `now`.
    pub(crate) fn is_fresh(&self, ttl: Duration, now: Timestamp) -> bool {
        // A time in the future, as after a clock was set back, says nothing about the age.
        self.health_observed_at
            .is_some_and(|at| at <= now && now < at + ttl)
    }

    /// Whether it is PROVISIONING or RUNNING, and not only retained.
    pub fn is_live(&self) -> bool {
        self.status.is_active() && self.retained_at.is_none()
    }

    /// Whether it runs this revision, retained by a promotion, and is ready.
    pub(crate) fn is_kept(&self, revision: RevisionId) -> bool {
        self.revision == revision && self.retained_at.is_some() && self.is_ready()
    }

    /// Whether it ended though neither Viridian nor its scheduler ended it.
    pub fn has_failed(&self) -> bool {
        self.status.is_over() && self.drained_at.is_none() && self.evicted_at.is_none()
    }

    /// When it failed, or was drained because it hung: such ends in a row make the next new
    /// route wait.
    pub(crate) fn broke_at(&self) -> Option<Timestamp> {
        let failed_at = self.has_failed().then_some(self.status_updated_at);
        self.hung_at.or(failed_at)
    }

    /// Whether its scheduler is taking it away.
    pub fn is_evicted(&self) -> bool {
        self.status == RouteStatus::Terminating && self.evicted_at.is_some()
    }

    /// The latest change of its status or health.
    pub fn settled_at(&self) -> Timestamp {
        self.health_updated_at
            .map_or(self.status_updated_at, |at| at.max(self.status_updated_at))
    }

    /// The latest of its times.
    pub fn latest_time(&self) -> Timestamp {
        let perhaps = [
            self.health_updated_at,
            self.health_observed_at,
            self.drained_at,
            self.retained_at,
            self.drain_requested_at,
            self.hung_at,
        ];
        let always = self.created_at.max(self.status_updated_at);
        perhaps.into_iter().flatten().fold(always, Timestamp::max)
    }

    /// Moves all of its times back.
    pub fn move_times_back(&mut self, by: Duration) {
        let always = [&mut self.created_at, &mut self.status_updated_at];
        let perhaps = [
            &mut self.health_updated_at,
            // With the others, or a health that has just been confirmed would be from the future
            // and count for nothing.
            &mut self.health_observed_at,
            &mut self.drained_at,
            &mut self.retained_at,
            &mut self.drain_requested_at,
            &mut self.hung_at,
        ];
        let perhaps = perhaps.into_iter().flatten();
        always
            .into_iter()
            .chain(perhaps)
            .for_each(|time| *time = *time - by);
    }

    /// Applies a report of its status. The caller checks
    /// [`RouteStatus::may_become`] first.
    pub fn move_to(&mut self, status: RouteStatus, now: Timestamp) {
        if self.status != status {
            self.status = status;
            self.status_updated_at = now;
            // Only a scheduler reports this of a route that Viridian has not drained.
            if status == RouteStatus::Terminating {
                self.evicted_at = Some(now);
            }
        }
        // Or an ended route would be counted as ACTIVE for ever.
        if !status.is_active() {
            self.traffic = RouteTraffic::Inactive;
        }
    }

    /// Applies a report of its health, observed now.
    pub fn observe(&mut self, health: RouteHealth, now: Timestamp) {
        self.apply_observation(health, now, now);
    }

    /// Applies a report of its health, observed at some time. The caller checks
    /// [`Self::later_observation`] first.
    pub fn apply_observation(&mut self, health: RouteHealth, at: Timestamp, now: Timestamp) {
        // A repeated report is no change: it must not restart the waits of ready green.
        if self.health != health {
            self.health = health;
            self.health_updated_at = Some(now);
        }
        self.once_healthy |= health == RouteHealth::Healthy;
        // One in the future is from before the clock was set back: it would hide all that follow.
        let known = self.health_observed_at.filter(|&known| known <= now);
        self.health_observed_at = known.max(Some(at.min(now)));
    }

    /// Ends a health that no report confirms.
    pub fn forget_health(&mut self, now: Timestamp) {
        if self.health != RouteHealth::NotChecked {
            self.health = RouteHealth::NotChecked;
            self.health_updated_at = Some(now);
        }
    }

    /// When its health was observed, if that was after `at`: then a report of what was
    /// seen at `at` comes too late. A report without a session may also be about the
    /// session before.
    pub fn later_observation(
        &self,
        at: Timestamp,
        names_session: bool,
        now: Timestamp,
    ) -> Option<Timestamp> {
        // A new session has no observation yet, and begins with the time of that change.
        let begin = self.health_updated_at.filter(|_| !names_session);
        self.health_observed_at
            .or(begin)
            // After the clock was set back, the known time may be in the future: every report
            // would come too late until then.
            .map(|known| known.min(now))
            .filter(|&known| at < known)
    }

    /// Begins another session of a RUNNING route: what was seen of the one before says
    /// nothing about this one.
    pub fn begin_session(&mut self, now: Timestamp) {
        self.health = RouteHealth::NotChecked;
        self.health_updated_at = Some(now);
        self.health_observed_at = None;
        self.once_healthy = false;
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

    /// The termination order, first to drain first: those that can serve nothing, not even
    /// when no route is ready; then the others. Within each: not RUNNING or without an
    /// address, then UNHEALTHY, DEGRADED, NOT_CHECKED, HEALTHY; the youngest first.
    pub(crate) fn termination_key(&self) -> impl Ord + use<> {
        let rank = match self.health {
            // Or a ready one would go before one to which nothing can be sent.
            _ if !self.is_reachable() => 0,
            RouteHealth::Unhealthy => 1,
            RouteHealth::Degraded => 2,
            RouteHealth::NotChecked => 3,
            RouteHealth::Healthy => 4,
        };
        // The id decides between routes of one transaction, so that the order is always the same.
        let age = std::cmp::Reverse((self.created_at, self.id));
        (self.may_fail_open(), rank, age)
    }
}
