//! Policies at random, with times that are short but for some.

use viridian_strategy::{
    BlueGreen, BlueGreenPatch, GateAction, GateTimeout, IfOther, IntOrPercent, Policy, PolicyPatch,
    RollingUpdate, RollingUpdatePatch, Strategy, StrategyPatch, StrategySettings,
};

use super::dice::Dice;

/// A policy that breaks no rule.
pub(super) fn policy(dice: &mut Dice) -> Policy {
    loop {
        let strategy = if dice.one_in(4) {
            Strategy::Rolling(rolling(dice))
        } else {
            Strategy::BlueGreen(blue_green(dice))
        };
        let policy = Policy {
            strategy,
            progress_deadline: if dice.one_in(4) {
                dice.wait(5, 30)
            } else {
                dice.wait(40, 300)
            },
            drain_grace: dice.setting(8),
        };
        if policy.errors().is_empty() {
            return policy;
        }
    }
}

/// A change of some settings.
pub(super) fn patch(dice: &mut Dice) -> PolicyPatch {
    let settings = if dice.one_in(4) {
        StrategySettings::Rolling(RollingUpdatePatch {
            max_surge: Some(IntOrPercent::Count(small(dice, 1, 3))),
            ..RollingUpdatePatch::default()
        })
    } else {
        StrategySettings::BlueGreen(BlueGreenPatch {
            auto_promote: Some(dice.one_in(2)),
            promote_delay: Some(dice.setting(30)),
            ..BlueGreenPatch::default()
        })
    };
    let if_other = if dice.one_in(4) {
        IfOther::Replace
    } else {
        IfOther::Refuse
    };
    PolicyPatch {
        strategy: dice
            .one_in(2)
            .then_some(StrategyPatch { settings, if_other }),
        progress_deadline: dice.one_in(2).then(|| dice.wait(5, 200)),
        drain_grace: dice.one_in(3).then(|| dice.setting(8)),
    }
}

fn blue_green(dice: &mut Dice) -> BlueGreen {
    BlueGreen {
        auto_promote: dice.one_in(2),
        promote_delay: dice.setting(30),
        min_ready: dice.setting(15),
        max_replacements: small(dice, 0, 3),
        scale_down_delay: dice.setting(120),
        gate_timeout: dice.one_in(2).then(|| GateTimeout {
            duration: dice.wait(5, 60),
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
        IntOrPercent::Count(small(dice, 0, 3))
    } else {
        IntOrPercent::Percent(small(dice, 0, 100))
    }
}

pub(super) fn small(dice: &mut Dice, first: u64, last: u64) -> u32 {
    u32::try_from(dice.between(first, last)).expect("small")
}
