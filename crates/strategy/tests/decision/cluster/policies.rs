//! Policies at random, every field of them.

use viridian_strategy::{
    BlueGreen, GateAction, GateTimeout, IntOrPercent, Policy, RollingUpdate, Strategy,
};

use super::dice::Dice;
use crate::scene::secs;

/// The two ways, without their settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    BlueGreen,
    Rolling,
}

impl Way {
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
    pub(crate) fn policy(self, dice: &mut Dice) -> Policy {
        loop {
            let policy = Policy {
                strategy: match self {
                    Self::BlueGreen => Strategy::BlueGreen(blue_green(dice)),
                    Self::Rolling => Strategy::Rolling(rolling(dice)),
                },
                progress_deadline: match dice.below(40) {
                    0 => secs(0),
                    short @ 1..=6 => secs(short * 5),
                    _ => secs(dice.between(40, 600)),
                },
                drain_grace: dice.setting(30),
            };
            if policy.errors().is_empty() {
                return policy;
            }
        }
    }
}

fn blue_green(dice: &mut Dice) -> BlueGreen {
    BlueGreen {
        auto_promote: dice.one_in(2),
        promote_delay: dice.setting(120),
        min_ready: dice.setting(60),
        max_replacements: u32::try_from(dice.below(4)).expect("small"),
        scale_down_delay: dice.setting(400),
        gate_timeout: dice.one_in(2).then(|| GateTimeout {
            duration: secs(dice.between(1, 200)),
            action: dice.pick(&[GateAction::Hold, GateAction::Rollback, GateAction::Promote]),
        }),
    }
}

fn rolling(dice: &mut Dice) -> RollingUpdate {
    RollingUpdate {
        max_surge: amount(dice),
        max_unavailable: amount(dice),
    }
}

fn amount(dice: &mut Dice) -> IntOrPercent {
    if dice.one_in(2) {
        IntOrPercent::Count(u32::try_from(dice.below(4)).expect("small"))
    } else {
        IntOrPercent::Percent(u32::try_from(dice.between(0, 100)).expect("small"))
    }
}
