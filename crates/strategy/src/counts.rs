//! Routes, classified and counted.

use crate::{
    Blocker, ObservedDeployment, ObservedRoute, RouteHealth, RouteId, RouteStatus, RouteTraffic,
    Timestamp, blocker::UnreadyRoutes,
};

/// Routes of one revision, counted. A route that Viridian drained is counted
/// nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicaCounts {
    /// PROVISIONING.
    pub provisioning: u32,
    /// RUNNING and HEALTHY, with an address.
    pub ready: u32,
    /// RUNNING, but not ready.
    pub unhealthy: u32,
    /// Failed, of those that were created in the present activation of the revision.
    pub failed: u32,
    /// ACTIVE.
    pub active_traffic: u32,
    /// Kept RUNNING for an instant roll-back.
    pub retained: u32,
}

/// Counts blue and green. Retained routes count as retained blue, whatever their
/// revision.
pub fn counts(
    deployment: &ObservedDeployment,
    routes: &[ObservedRoute],
) -> (ReplicaCounts, ReplicaCounts) {
    let mut blue = ReplicaCounts::default();
    let mut green = ReplicaCounts::default();
    let rollout = deployment.state.rollout();
    for route in routes {
        // First: a retained route belongs to an earlier revision, and would count nowhere.
        if route.status.is_active() && route.retained_at.is_some() {
            blue.retained += 1;
        } else if let Some(rollout) = rollout.filter(|it| it.deploying == route.revision) {
            green.add(route, rollout.activation);
        } else if deployment.state.current() == Some(route.revision) {
            blue.add(route, deployment.current_activation);
        }
    }
    (blue, green)
}

impl ReplicaCounts {
    fn add(&mut self, route: &ObservedRoute, activation: i64) {
        match RouteClass::of(route, activation) {
            RouteClass::Provisioning => self.provisioning += 1,
            RouteClass::Ready => self.ready += 1,
            RouteClass::Unready => self.unhealthy += 1,
            RouteClass::Failed => self.failed += 1,
            RouteClass::Evicted | RouteClass::Gone => {}
        }
        if route.traffic == RouteTraffic::Active {
            self.active_traffic += 1;
        }
    }
}

/// The class in which a route counts. Every route is in exactly one, whatever its
/// health: a rollout must not hang on a value that no class has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouteClass {
    Provisioning,
    Ready,
    /// RUNNING, but not HEALTHY, or without an address.
    Unready,
    /// Failed in the present activation of the revision.
    Failed,
    /// Being taken away by its scheduler.
    Evicted,
    /// Drained, or ended in an earlier activation of the revision.
    Gone,
}

impl RouteClass {
    pub(crate) fn of(route: &ObservedRoute, activation: i64) -> Self {
        match route.status {
            RouteStatus::Provisioning => Self::Provisioning,
            RouteStatus::Running if route.is_ready() => Self::Ready,
            RouteStatus::Running => Self::Unready,
            RouteStatus::Terminating if route.is_evicted() => Self::Evicted,
            RouteStatus::Terminating => Self::Gone,
            RouteStatus::Terminated | RouteStatus::FailedToStart => {
                // By number: a clock that was set back would make an attempt fail by the
                // failures of the one before.
                if route.has_failed() && route.activation == activation {
                    Self::Failed
                } else {
                    Self::Gone
                }
            }
        }
    }
}

/// The routes of one revision that count, by class.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RouteCounts {
    pub(crate) provisioning: u32,
    pub(crate) ready: u32,
    pub(crate) unready: UnreadyRoutes,
    pub(crate) unready_count: u32,
    /// Those of them without an address, and since when the first of them runs.
    pub(crate) no_address: Option<(u32, Timestamp)>,
    pub(crate) failed: u32,
    pub(crate) evicted: u32,
    /// The latest change of status or health among the ready ones.
    pub(crate) settled_at: Option<Timestamp>,
}

impl RouteCounts {
    #[inline]
    pub(crate) fn of<'a>(routes: impl Iterator<Item = &'a ObservedRoute>, activation: i64) -> Self {
        let mut counts = Self::default();
        for route in routes {
            counts.add(route, activation);
        }
        counts
    }

    pub(crate) fn live(&self) -> u32 {
        self.provisioning + self.ready + self.unready_count
    }

    /// Since when `least` of these ready routes have been ready: a later one starts no wait
    /// again. None if they are fewer. `routes` are those that were counted, and `surplus`.
    pub(crate) fn settled_at_least<'a>(
        &self,
        least: u32,
        routes: impl Iterator<Item = &'a ObservedRoute>,
        surplus: &[RouteId],
    ) -> Option<Timestamp> {
        // Nothing to order: that is nearly always so.
        if self.ready <= least {
            return self.settled_at.filter(|_| self.ready == least);
        }
        let ready = routes.filter(|route| route.is_ready() && !surplus.contains(&route.id));
        let mut times: Vec<Timestamp> = ready.map(ObservedRoute::settled_at).collect();
        let last = (least as usize).checked_sub(1)?;
        (last < times.len()).then(|| *times.select_nth_unstable(last).1)
    }

    /// Names the routes that their scheduler takes away, if there are any.
    pub(crate) fn evictions(&self) -> Option<Blocker> {
        (self.evicted > 0).then_some(Blocker::Evicted {
            evicted: self.evicted,
        })
    }

    /// Whether some run with an address, and are not healthy.
    pub(crate) fn has_unhealthy(&self) -> bool {
        self.unready_count > self.no_address.map_or(0, |(count, _)| count)
    }

    /// Those that run without an address, if there are any.
    pub(crate) fn no_address(&self) -> Option<Blocker> {
        let (count, since) = self.no_address?;
        Some(Blocker::NoAddress { count, since })
    }

    #[inline]
    fn add(&mut self, route: &ObservedRoute, activation: i64) {
        match RouteClass::of(route, activation) {
            RouteClass::Provisioning => self.provisioning += 1,
            RouteClass::Ready => {
                self.ready += 1;
                self.settled_at = self.settled_at.max(Some(route.settled_at()));
            }
            RouteClass::Unready => {
                self.unready_count += 1;
                if route.has_address {
                    self.unready.add(route.health, route.settled_at());
                } else {
                    // Whatever its health is: nothing can be sent there.
                    add_one(&mut self.no_address, route.status_updated_at);
                }
            }
            RouteClass::Failed => self.failed += 1,
            RouteClass::Evicted => self.evicted += 1,
            RouteClass::Gone => {}
        }
    }
}

impl UnreadyRoutes {
    fn add(&mut self, health: RouteHealth, since: Timestamp) {
        let part = match health {
            RouteHealth::Healthy => return,
            RouteHealth::Unhealthy => &mut self.unhealthy,
            RouteHealth::Degraded => &mut self.degraded,
            RouteHealth::NotChecked => &mut self.not_checked,
        };
        add_one(part, since);
    }
}

fn add_one(part: &mut Option<(u32, Timestamp)>, since: Timestamp) {
    *part = Some(part.map_or((1, since), |(count, first)| (count + 1, first.min(since))));
}
