//! Policies at random, every field of them.

use viridian_strategy::{
    BlueGreen, GateAction, GateTimeout, IntOrPercent, Policy, RollingUpdate, Strategy,
};

use super::rng::Rng;
use crate::case::secs;

/// The two ways, without their settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StrategyKind {
    BlueGreen,
    Rolling,
}

impl StrategyKind {
    pub(crate) fn of(policy: &Policy) -> Self {
        match policy.strategy {
            Strategy::BlueGreen(_) => Self::BlueGreen,
            Strategy::Rolling(_) => Self::Rolling,
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::BlueGreen => Self::Rolling,
            Self::Rolling => Self::BlueGreen,
        }
    }

    /// A policy that breaks no rule.
    pub(crate) fn policy(self, rng: &mut Rng) -> Policy {
        loop {
            let policy = Policy {
                strategy: match self {
                    Self::BlueGreen => Strategy::BlueGreen(blue_green(rng)),
                    Self::Rolling => Strategy::Rolling(rolling(rng)),
                },
                progress_deadline: match rng.below(40) {
                    0 => secs(0),
                    short @ 1..=6 => secs(short * 5),
                    _ => secs(rng.between(40, 600)),
                },
                drain_grace: rng.setting(30),
            };
            if policy.errors().is_empty() {
                return policy;
            }
        }
    }
}

fn blue_green(rng: &mut Rng) -> BlueGreen {
    BlueGreen {
        auto_promote: rng.one_in(2),
        promote_delay: rng.setting(120),
        min_ready: rng.setting(60),
        max_replacements: u32::try_from(rng.below(4)).expect("small"),
        scale_down_delay: rng.setting(400),
        gate_timeout: rng.one_in(2).then(|| GateTimeout {
            duration: secs(rng.between(1, 200)),
            action: rng.pick(&[GateAction::Hold, GateAction::Rollback, GateAction::Promote]),
        }),
    }
}

fn rolling(rng: &mut Rng) -> RollingUpdate {
    RollingUpdate {
        max_surge: amount(rng),
        max_unavailable: amount(rng),
    }
}

fn amount(rng: &mut Rng) -> IntOrPercent {
    if rng.one_in(2) {
        IntOrPercent::Count(u32::try_from(rng.below(4)).expect("small"))
    } else {
        IntOrPercent::Percent(u32::try_from(rng.between(0, 100)).expect("small"))
    }
}
