//! Changes to a policy, to be applied to the one that there is.

use std::time::Duration;

use crate::{BlueGreen, GateAction, GateTimeout, IntOrPercent, Policy, RollingUpdate, Strategy};

/// Changes to a policy. What is None stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyPatch {
    /// Of its strategy.
    pub strategy: Option<StrategyPatch>,
    /// How long a rollout may go without one more ready route.
    pub progress_deadline: Option<Duration>,
    /// How long a route that had traffic goes on running once it is drained.
    pub drain_grace: Option<Duration>,
}

/// Changes to a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrategyPatch {
    /// The settings that change.
    pub settings: StrategySettings,
    /// What happens when the policy has the other strategy.
    pub if_other: IfOther,
}

/// What happens when the policy has another strategy than its changes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfOther {
    /// Nothing changes.
    Refuse,
    /// The strategy is replaced; what is not given has its default.
    Replace,
}

/// Changes to the settings of one of the strategies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrategySettings {
    /// Of blue-green.
    BlueGreen(BlueGreenPatch),
    /// Of a rolling update.
    Rolling(RollingUpdatePatch),
}

/// Changes to [`BlueGreen`]. What is None stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlueGreenPatch {
    /// Promote without being asked to.
    pub auto_promote: Option<bool>,
    /// How long all green must have been ready before an automatic promotion.
    pub promote_delay: Option<Duration>,
    /// How long all green must have been ready before any promotion.
    pub min_ready: Option<Duration>,
    /// How many failed green are replaced in one rollout.
    pub max_replacements: Option<u32>,
    /// How long blue is retained after the switch.
    pub scale_down_delay: Option<Duration>,
    /// What happens when nobody promotes.
    pub gate_timeout: Option<GateTimeoutPatch>,
}

/// Changes to the timeout of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateTimeoutPatch {
    /// Another one, or none.
    Whole(Option<GateTimeout>),
    /// Another time to wait.
    Duration(Duration),
    /// Another thing to do then.
    Action(GateAction),
}

/// Changes to [`RollingUpdate`]. What is None stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollingUpdatePatch {
    /// How many routes above the target may be live.
    pub max_surge: Option<IntOrPercent>,
    /// How many routes below the target may be ready.
    pub max_unavailable: Option<IntOrPercent>,
}

/// Why changes do not fit the policy that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchError {
    /// They are for the settings of another strategy.
    OtherStrategy,
    /// They are for a part of a gate timeout, and there is none.
    NoGateTimeout,
}

impl PolicyPatch {
    /// The policy with the changes.
    ///
    /// # Errors
    ///
    /// A [`PatchError`] when they do not fit it.
    pub fn apply(&self, policy: &Policy) -> Result<Policy, PatchError> {
        let strategy = match &self.strategy {
            Some(patch) => patch.apply(&policy.strategy)?,
            None => policy.strategy.clone(),
        };
        Ok(Policy {
            strategy,
            progress_deadline: self.progress_deadline.unwrap_or(policy.progress_deadline),
            drain_grace: self.drain_grace.unwrap_or(policy.drain_grace),
        })
    }
}

impl StrategyPatch {
    fn apply(&self, strategy: &Strategy) -> Result<Strategy, PatchError> {
        use StrategySettings::{BlueGreen as OfBlueGreen, Rolling as OfRolling};
        match (&self.settings, strategy) {
            (OfBlueGreen(patch), Strategy::BlueGreen(old)) => {
                patch.apply(*old).map(Strategy::BlueGreen)
            }
            (OfRolling(patch), Strategy::Rolling(old)) => Ok(Strategy::Rolling(patch.apply(*old))),
            _ if self.if_other == IfOther::Refuse => Err(PatchError::OtherStrategy),
            (OfBlueGreen(patch), Strategy::Rolling(_)) => {
                let default = BlueGreen::default();
                patch.apply(default).map(Strategy::BlueGreen)
            }
            (OfRolling(patch), Strategy::BlueGreen(_)) => {
                let default = RollingUpdate::default();
                Ok(Strategy::Rolling(patch.apply(default)))
            }
        }
    }
}

impl BlueGreenPatch {
    fn apply(&self, old: BlueGreen) -> Result<BlueGreen, PatchError> {
        let gate_timeout = match self.gate_timeout {
            Some(patch) => patch.apply(old.gate_timeout)?,
            None => old.gate_timeout,
        };
        Ok(BlueGreen {
            auto_promote: self.auto_promote.unwrap_or(old.auto_promote),
            promote_delay: self.promote_delay.unwrap_or(old.promote_delay),
            min_ready: self.min_ready.unwrap_or(old.min_ready),
            max_replacements: self.max_replacements.unwrap_or(old.max_replacements),
            scale_down_delay: self.scale_down_delay.unwrap_or(old.scale_down_delay),
            gate_timeout,
        })
    }
}

impl GateTimeoutPatch {
    fn apply(self, old: Option<GateTimeout>) -> Result<Option<GateTimeout>, PatchError> {
        let part = |change: &dyn Fn(GateTimeout) -> GateTimeout| {
            old.map(change).map(Some).ok_or(PatchError::NoGateTimeout)
        };
        match self {
            Self::Whole(gate) => Ok(gate),
            Self::Duration(duration) => part(&|old| GateTimeout { duration, ..old }),
            Self::Action(action) => part(&|old| GateTimeout { action, ..old }),
        }
    }
}

impl RollingUpdatePatch {
    fn apply(&self, old: RollingUpdate) -> RollingUpdate {
        RollingUpdate {
            max_surge: self.max_surge.unwrap_or(old.max_surge),
            max_unavailable: self.max_unavailable.unwrap_or(old.max_unavailable),
        }
    }
}

impl From<Policy> for PolicyPatch {
    /// All of a policy, whatever there is.
    fn from(policy: Policy) -> Self {
        let settings = match policy.strategy {
            Strategy::BlueGreen(spec) => StrategySettings::BlueGreen(BlueGreenPatch {
                auto_promote: Some(spec.auto_promote),
                promote_delay: Some(spec.promote_delay),
                min_ready: Some(spec.min_ready),
                max_replacements: Some(spec.max_replacements),
                scale_down_delay: Some(spec.scale_down_delay),
                gate_timeout: Some(GateTimeoutPatch::Whole(spec.gate_timeout)),
            }),
            Strategy::Rolling(spec) => StrategySettings::Rolling(RollingUpdatePatch {
                max_surge: Some(spec.max_surge),
                max_unavailable: Some(spec.max_unavailable),
            }),
        };
        Self {
            strategy: Some(StrategyPatch {
                settings,
                if_other: IfOther::Replace,
            }),
            progress_deadline: Some(policy.progress_deadline),
            drain_grace: Some(policy.drain_grace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATE: GateTimeout = GateTimeout {
        duration: Duration::from_secs(60),
        action: GateAction::Rollback,
    };

    fn blue_green() -> Policy {
        Policy {
            strategy: Strategy::BlueGreen(BlueGreen {
                auto_promote: true,
                gate_timeout: Some(GATE),
                ..BlueGreen::default()
            }),
            ..Policy::default()
        }
    }

    fn rolling() -> Policy {
        Policy {
            strategy: Strategy::Rolling(RollingUpdate {
                max_surge: IntOrPercent::Count(3),
                max_unavailable: IntOrPercent::Percent(10),
            }),
            drain_grace: Duration::ZERO,
            ..Policy::default()
        }
    }

    fn of(settings: StrategySettings, if_other: IfOther) -> PolicyPatch {
        PolicyPatch {
            strategy: Some(StrategyPatch { settings, if_other }),
            ..PolicyPatch::default()
        }
    }

    fn gate(patch: GateTimeoutPatch) -> PolicyPatch {
        let patch = BlueGreenPatch {
            gate_timeout: Some(patch),
            ..BlueGreenPatch::default()
        };
        of(StrategySettings::BlueGreen(patch), IfOther::Refuse)
    }

    #[test]
    fn nothing_changes_nothing() {
        for policy in [Policy::default(), blue_green(), rolling()] {
            assert_eq!(PolicyPatch::default().apply(&policy), Ok(policy));
        }
    }

    #[test]
    fn all_of_a_policy_replaces_any_other() {
        for old in [Policy::default(), blue_green(), rolling()] {
            for new in [Policy::default(), blue_green(), rolling()] {
                assert_eq!(PolicyPatch::from(new.clone()).apply(&old), Ok(new));
            }
        }
    }

    #[test]
    fn a_setting_changes_alone() {
        let delay = Duration::from_secs(9);
        let patch = BlueGreenPatch {
            promote_delay: Some(delay),
            ..BlueGreenPatch::default()
        };
        let settings = StrategySettings::BlueGreen(patch);
        let expected = Strategy::BlueGreen(BlueGreen {
            auto_promote: true,
            promote_delay: delay,
            gate_timeout: Some(GATE),
            ..BlueGreen::default()
        });
        let patched = of(settings, IfOther::Refuse).apply(&blue_green());
        assert_eq!(patched.map(|policy| policy.strategy), Ok(expected));

        assert_eq!(
            of(settings, IfOther::Refuse).apply(&rolling()),
            Err(PatchError::OtherStrategy)
        );
        let expected = Policy {
            strategy: Strategy::BlueGreen(BlueGreen {
                promote_delay: delay,
                ..BlueGreen::default()
            }),
            ..rolling()
        };
        assert_eq!(
            of(settings, IfOther::Replace).apply(&rolling()),
            Ok(expected)
        );
    }

    #[test]
    fn a_part_of_a_gate_timeout_needs_the_rest_of_it() {
        let longer = gate(GateTimeoutPatch::Duration(Duration::from_secs(90)));
        let hold = gate(GateTimeoutPatch::Action(GateAction::Hold));
        let none = gate(GateTimeoutPatch::Whole(None));
        let timeout = |policy: Policy| match policy.strategy {
            Strategy::BlueGreen(spec) => spec.gate_timeout,
            Strategy::Rolling(_) => None,
        };
        let expected = GateTimeout {
            duration: Duration::from_secs(90),
            ..GATE
        };
        assert_eq!(longer.apply(&blue_green()).map(timeout), Ok(Some(expected)));
        let expected = GateTimeout {
            action: GateAction::Hold,
            ..GATE
        };
        assert_eq!(hold.apply(&blue_green()).map(timeout), Ok(Some(expected)));
        assert_eq!(none.apply(&blue_green()).map(timeout), Ok(None));
        for patch in [longer, hold] {
            assert_eq!(
                patch.apply(&Policy::default()),
                Err(PatchError::NoGateTimeout)
            );
        }
    }
}
