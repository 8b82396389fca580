//! Green, counted, and what stands between it and the next move.

use super::GreenNeeds;
use crate::{
    Blocker, Observed, Rollout, RouteId, RouteTraffic, Stopwatch, Timestamp, counts::RouteCounts,
    observed::StaleHealth, replenish::trim,
};

/// Green, counted, and the step that matches.
pub(crate) struct GreenAssessment {
    /// How many green are needed.
    pub(crate) target: u32,
    /// Whether new green take traffic.
    pub(crate) traffic: RouteTraffic,
    /// How many failed green are replaced.
    pub(crate) budget: u32,
    /// The green that stay.
    pub(crate) counts: RouteCounts,
    /// How many are to be created.
    pub(crate) missing: u32,
    /// Those above the target, in termination order.
    pub(crate) surplus: Vec<RouteId>,
    pub(crate) readiness: GreenReadiness,
    /// Ready green whose health is too old for a step forward.
    pub(crate) stale: Option<StaleHealth>,
    /// The rollout with its clocks as of now.
    pub(crate) rollout: Rollout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GreenReadiness {
    /// The target is 0: there is nothing to wait for, and nothing is proved.
    NoReplicas,
    /// Step 2: some have yet to be created.
    Missing,
    /// Step 3: none is live, and some failed.
    AllFailed,
    /// Steps 4 and 5: too few are ready.
    NotReady,
    /// Step 6: enough are ready, but not for long enough.
    MinReady(Timestamp),
    /// Only a gate is closed. Holds the end of the promotion's delay.
    Ready(Timestamp),
}

impl GreenNeeds {
    /// How far the waits of green are that is ready for as long as the watch says.
    fn time(self, watch: Stopwatch, now: Timestamp) -> GreenReadiness {
        // Both waits run side by side on one watch: the longer one counts.
        let over = |time| watch.reaches(time).unwrap_or(now);
        let min_ready = over(self.min_ready);
        if now < min_ready {
            GreenReadiness::MinReady(min_ready)
        } else {
            GreenReadiness::Ready(over(self.delay))
        }
    }
}

impl GreenAssessment {
    /// Steps 1 to 6 of blue-green, which every promotion depends on.
    pub(crate) fn of(needs: GreenNeeds, observed: &Observed<'_>, rollout: &Rollout) -> Self {
        let target = needs.routes;
        let green = observed
            .routes
            .iter()
            .filter(|route| route.revision == rollout.deploying && route.retained_at.is_none());
        let (counts, surplus) = trim(green.clone(), rollout.activation, target);
        // Failed green past the budget stay missing: the deadline decides on them.
        let budget = needs.budget;
        let spent = counts.failed.saturating_sub(budget);
        let missing = target.saturating_sub(counts.live()).saturating_sub(spent);
        let least = needs.least_ready;
        let enough_ready = if target == 0 {
            Err(GreenReadiness::NoReplicas)
        } else if counts.ready >= least {
            // What is missing or not ready above the threshold comes up after the switch.
            counts
                .settled_at_least(least, green, &surplus)
                .ok_or(GreenReadiness::NotReady)
        } else if missing > 0 {
            Err(GreenReadiness::Missing)
        } else if counts.live() == 0 && counts.failed > 0 {
            Err(GreenReadiness::AllFailed)
        } else {
            Err(GreenReadiness::NotReady)
        };
        let rollout = rollout.progressed(counts.ready, target, observed.now);
        let (readiness, rollout) = match enough_ready {
            Err(GreenReadiness::NoReplicas) => (
                GreenReadiness::NoReplicas,
                rollout.without_replicas(observed.now),
            ),
            Err(obstacle) => (obstacle, rollout.unsteady(observed.policy, observed.now)),
            Ok(settled_at) => {
                let (rollout, watch) = rollout.steady(settled_at, observed.now);
                (needs.time(watch, observed.now), rollout)
            }
        };
        Self {
            target,
            traffic: needs.traffic,
            budget,
            counts,
            missing,
            stale: observed.stale_health(rollout.deploying, &surplus),
            surplus,
            readiness,
            rollout,
        }
    }

    /// Succeeds if nothing but a gate blocks the promotion; otherwise lists what
    /// does.
    pub(crate) fn check_ready(&self) -> Result<(), Vec<Blocker>> {
        match self.readiness {
            // Without replicas only a caller can know that the revision is good.
            GreenReadiness::NoReplicas => Ok(()),
            GreenReadiness::Ready(_) => match self.stale {
                Some(stale) => Err(vec![stale.blocker()]),
                None => Ok(()),
            },
            GreenReadiness::MinReady(until) => Err(vec![Blocker::MinReady { until }]),
            GreenReadiness::Missing | GreenReadiness::AllFailed | GreenReadiness::NotReady => {
                let missing = (self.missing > 0).then_some(Blocker::GreenMissing {
                    missing: self.missing,
                    target: self.target,
                });
                let mut blockers = Vec::from_iter(missing);
                // A promotion creates nothing: what is missing is
                // named as missing, and not as starting.
                self.explain(0, &mut blockers);
                blockers.extend(self.stale.map(StaleHealth::blocker));
                Err(blockers)
            }
        }
    }

    /// Names everything that blocks green, once `created` more are starting.
    pub(crate) fn explain(&self, created: u32, blockers: &mut impl Extend<Blocker>) {
        let Self {
            target,
            budget,
            counts,
            ..
        } = *self;
        let RouteCounts {
            ready,
            unready,
            failed,
            ..
        } = counts;
        let provisioning = counts.provisioning + created;
        blockers.extend((provisioning > 0).then_some(Blocker::GreenProvisioning {
            provisioning,
            ready,
            target,
        }));
        blockers.extend(counts.has_unhealthy().then_some(Blocker::GreenUnhealthy {
            ready,
            target,
            unready,
        }));
        blockers.extend(counts.no_address());
        blockers.extend((failed > 0).then_some(Blocker::GreenFailed {
            failed,
            ready,
            target,
        }));
        blockers.extend(counts.evictions());
        blockers.extend((failed > budget).then_some(Blocker::ReplacementsExhausted { budget }));
    }
}
