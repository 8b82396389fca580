//! What the replicas of a revision do: how they start, what their health is, how they end.

use std::time::Duration;

use viridian_strategy::RouteHealth::{self, Degraded, Healthy, NotChecked, Unhealthy};

use super::rng::Rng;

/// What the replicas of a revision have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RevisionBehavior {
    Good,
    Slow,
    FailsToStart,
    NeverHealthy,
    Flaps,
    Crashes,
}

/// How often something happens (one in this many), and within how many seconds.
pub(crate) struct BehaviorRates {
    /// The weight of [`RevisionBehavior::Good`]. Each of the others weighs 1.
    pub(crate) good: u64,
    pub(crate) start_within: u64,
    /// The first and the last second in which a slow replica starts.
    pub(crate) slow_start: (u64, u64),
    /// For a revision of which no replica starts.
    pub(crate) failure_within: u64,
    /// For a replica that fails by accident.
    pub(crate) accident_one_in: u64,
    pub(crate) accident_within: u64,
    pub(crate) hang_one_in: u64,
    pub(crate) crash_within: u64,
    pub(crate) vanish_one_in: u64,
    pub(crate) preempt_one_in: u64,
    /// For replicas that vanish or are preempted.
    pub(crate) loss_within: u64,
    /// The first and the last second after which a healthy replica is checked again.
    pub(crate) healthy_check: (u64, u64),
    /// The same for one that flaps, from the first second on.
    pub(crate) flapping_check_within: u64,
    pub(crate) unhealthy_check_within: u64,
}

/// How the start of a replica ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartOutcome {
    Starts,
    Fails,
}

/// How a replica goes without having been drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplicaLoss {
    Vanishes,
    /// The scheduler stops it.
    Preempted,
}

impl RevisionBehavior {
    pub(crate) fn at_random(rng: &mut Rng, rates: &BehaviorRates) -> Self {
        rng.weighed(&[
            (rates.good, Self::Good),
            (1, Self::Slow),
            (1, Self::FailsToStart),
            (1, Self::NeverHealthy),
            (1, Self::Flaps),
            (1, Self::Crashes),
        ])
    }

    /// Returns how a start ends and after how long. None if it hangs: it neither
    /// succeeds nor fails.
    pub(crate) fn start(
        self,
        rng: &mut Rng,
        rates: &BehaviorRates,
    ) -> Option<(Duration, StartOutcome)> {
        let by_accident = rng.one_in(rates.accident_one_in);
        Some(match self {
            Self::FailsToStart => (rng.wait(0, rates.failure_within), StartOutcome::Fails),
            _ if by_accident => (rng.wait(0, rates.accident_within), StartOutcome::Fails),
            Self::Slow => {
                let (first, last) = rates.slow_start;
                (rng.wait(first, last), StartOutcome::Starts)
            }
            _ if rng.one_in(rates.hang_one_in) => return None,
            _ => (rng.wait(0, rates.start_within), StartOutcome::Starts),
        })
    }

    /// Returns how a replica that has started is lost and after how long. None if it
    /// runs until it is drained.
    pub(crate) fn loss(
        self,
        rng: &mut Rng,
        rates: &BehaviorRates,
    ) -> Option<(Duration, ReplicaLoss)> {
        if self == Self::Crashes {
            Some((rng.wait(1, rates.crash_within), ReplicaLoss::Vanishes))
        } else if rng.one_in(rates.vanish_one_in) {
            Some((rng.wait(1, rates.loss_within), ReplicaLoss::Vanishes))
        } else if rng.one_in(rates.preempt_one_in) {
            Some((rng.wait(1, rates.loss_within), ReplicaLoss::Preempted))
        } else {
            None
        }
    }

    /// Returns what a check of a running replica finds.
    pub(crate) fn health(self, rng: &mut Rng) -> RouteHealth {
        match self {
            Self::NeverHealthy => rng.pick(&[NotChecked, Unhealthy, Degraded]),
            Self::Flaps => rng.pick(&[Healthy, Healthy, Unhealthy, Degraded, NotChecked]),
            _ => rng.weighed(&[
                (15, Healthy),
                (1, Unhealthy),
                (1, Degraded),
                (1, NotChecked),
            ]),
        }
    }

    /// Returns the time until the next check of a replica with this health.
    pub(crate) fn next_check(
        self,
        health: RouteHealth,
        rng: &mut Rng,
        rates: &BehaviorRates,
    ) -> Duration {
        match (health, self) {
            (Healthy, Self::Flaps) => rng.wait(1, rates.flapping_check_within),
            (Healthy, _) => {
                let (first, last) = rates.healthy_check;
                rng.wait(first, last)
            }
            _ => rng.wait(1, rates.unhealthy_check_within),
        }
    }
}
