//! Policies at random, with times that are short but for some.

use std::time::Duration;

use viridian_strategy::{BlueGreen, Canary, IntOrPercent, Policy, RollingUpdate, Strategy};

use super::generators::{
    policies::{PolicyRanges, StrategyKind, random_policy},
    rng::Rng,
};
use crate::DeploymentSpec;

/// Returns a policy that breaks no rule.
pub(super) fn policy(rng: &mut Rng) -> Policy {
    random_policy(rng, &RANGES, |rng| match rng.between_u32(0, 3) {
        0 => StrategyKind::Rolling,
        1 => StrategyKind::Canary,
        _ => StrategyKind::BlueGreen,
    })
}

fn canary(rng: &mut Rng) -> Canary {
    loop {
        let policy = random_policy(rng, &RANGES, |_| StrategyKind::Canary);
        if let Strategy::Canary(canary) = policy.strategy {
            return canary;
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
    /// All of its settings, the steps among them.
    Canary(Canary),
}

/// It changes settings of a strategy that the deployment does not have.
#[derive(Debug)]
pub(super) struct OtherStrategy;

impl PolicyChange {
    pub(super) fn at_random(rng: &mut Rng) -> Self {
        let strategy = match rng.between_u32(0, 3) {
            0 => StrategyChange::MaxSurge(rng.between_u32(1, 3)),
            1 => StrategyChange::Canary(canary(rng)),
            _ => StrategyChange::AutoPromote(rng.one_in(2), rng.setting(30)),
        };
        Self {
            replaces: rng.one_in(4),
            strategy: rng.one_in(2).then_some(strategy),
            progress_deadline: rng.one_in(2).then(|| rng.wait(5, 200)),
            drain_grace: rng.one_in(3).then(|| rng.setting(8)),
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
                first_deadline: old.first_deadline,
                replace_unhealthy_after: old.replace_unhealthy_after,
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
            (Self::AutoPromote(auto_promote, _), Strategy::Canary(old)) => {
                let mut canary = old.clone();
                canary.switch.auto_promote = *auto_promote;
                Ok(Strategy::Canary(canary))
            }
            (Self::Canary(canary), Strategy::Canary(_)) => Ok(Strategy::Canary(canary.clone())),
            _ if !replaces => Err(OtherStrategy),
            (Self::Canary(canary), _) => Ok(Strategy::Canary(canary.clone())),
            (Self::AutoPromote(..), _) => {
                self.apply(&Strategy::BlueGreen(BlueGreen::default()), replaces)
            }
            (Self::MaxSurge(_), _) => {
                self.apply(&Strategy::Rolling(RollingUpdate::default()), replaces)
            }
        }
    }
}

const RANGES: PolicyRanges = PolicyRanges {
    progress_deadline: |rng| {
        if rng.one_in(4) {
            rng.seconds(5, 30)
        } else {
            rng.seconds(40, 300)
        }
    },
    max_drain_grace: 8,
    max_unhealthy: 40,
    max_promote_delay: 30,
    max_min_ready: 15,
    max_scale_down_delay: 120,
    max_hold: 40,
    gate_timeout: (5, 60),
};
