//! Policies at random, with times that are short but for some.

use std::time::Duration;

use viridian_strategy::{
    BlueGreen, GateAction, GateTimeout, IntOrPercent, Policy, RollingUpdate, Strategy,
};

use super::dice::Dice;
use crate::DeploymentSpec;

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

/// A change of some settings. What is None stays as it is.
#[derive(Clone, Debug)]
pub(super) struct PolicyChange {
    strategy: Option<StrategyChange>,
    /// Whether the strategy may be replaced.
    replaces: bool,
    progress_deadline: Option<Duration>,
    drain_grace: Option<Duration>,
}

#[derive(Clone, Debug)]
enum StrategyChange {
    AutoPromote(bool, Duration),
    MaxSurge(u32),
}

/// It changes settings of a strategy that the deployment does not have.
#[derive(Debug)]
pub(super) struct OtherStrategy;

impl PolicyChange {
    pub(super) fn at_random(dice: &mut Dice) -> Self {
        let strategy = if dice.one_in(4) {
            StrategyChange::MaxSurge(small(dice, 1, 3))
        } else {
            StrategyChange::AutoPromote(dice.one_in(2), dice.setting(30))
        };
        Self {
            replaces: dice.one_in(4),
            strategy: dice.one_in(2).then_some(strategy),
            progress_deadline: dice.one_in(2).then(|| dice.wait(5, 200)),
            drain_grace: dice.one_in(3).then(|| dice.setting(8)),
        }
    }

    pub(super) fn apply(&self, present: &DeploymentSpec) -> Result<DeploymentSpec, OtherStrategy> {
        let old = &present.policy;
        let strategy = match &self.strategy {
            Some(change) => change.apply(&old.strategy, self.replaces)?,
            None => old.strategy.clone(),
        };
        Ok(DeploymentSpec {
            policy: Policy {
                strategy,
                progress_deadline: self.progress_deadline.unwrap_or(old.progress_deadline),
                drain_grace: self.drain_grace.unwrap_or(old.drain_grace),
            },
            ..present.clone()
        })
    }
}

impl StrategyChange {
    fn apply(&self, old: &Strategy, replaces: bool) -> Result<Strategy, OtherStrategy> {
        match (self, old) {
            (Self::AutoPromote(auto_promote, promote_delay), Strategy::BlueGreen(old)) => {
                Ok(Strategy::BlueGreen(BlueGreen {
                    auto_promote: *auto_promote,
                    promote_delay: *promote_delay,
                    ..*old
                }))
            }
            (Self::MaxSurge(count), Strategy::Rolling(old)) => {
                Ok(Strategy::Rolling(RollingUpdate {
                    max_surge: IntOrPercent::Count(*count),
                    ..*old
                }))
            }
            _ if !replaces => Err(OtherStrategy),
            (Self::AutoPromote(..), Strategy::Rolling(_)) => {
                self.apply(&Strategy::BlueGreen(BlueGreen::default()), replaces)
            }
            (Self::MaxSurge(_), Strategy::BlueGreen(_)) => {
                self.apply(&Strategy::Rolling(RollingUpdate::default()), replaces)
            }
        }
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
