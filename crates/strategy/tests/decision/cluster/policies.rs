//! The policies of this simulation: those of [`generators`](crate::generators), with
//! deadlines that are over before anything starts at times.

use viridian_strategy::{Policy, Strategy};

use crate::{
    case::secs,
    generators::{
        policies::{PolicyRanges, StrategyKind, random_policy},
        rng::Rng,
    },
};

impl StrategyKind {
    pub(crate) fn of(policy: &Policy) -> Self {
        match policy.strategy {
            Strategy::BlueGreen(_) => Self::BlueGreen,
            Strategy::Canary(_) => Self::Canary,
            Strategy::Rolling(_) => Self::Rolling,
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::BlueGreen => Self::Rolling,
            Self::Rolling => Self::Canary,
            Self::Canary => Self::BlueGreen,
        }
    }

    /// Returns a policy that breaks no rule.
    pub(crate) fn policy(self, rng: &mut Rng) -> Policy {
        random_policy(rng, &RANGES, |_| self)
    }
}

const RANGES: PolicyRanges = PolicyRanges {
    progress_deadline: |rng| match rng.between(0, 39) {
        0 => secs(0),
        short @ 1..=6 => secs(short * 5),
        _ => rng.seconds(40, 600),
    },
    max_drain_grace: 30,
    max_unhealthy: 90,
    max_promote_delay: 120,
    max_hold: 90,
    max_min_ready: 60,
    max_scale_down_delay: 400,
    gate_timeout: (1, 200),
};
