//! The rules that differ between strategies, and the one place that dispatches.
//!
//! A new strategy is a variant of [`Strategy`], its settings with an `impl` of
//! [`StrategyRules`], and an arm of [`Strategy::rules`].

use std::time::Duration;

use crate::{
    Evaluation, Observed, ObservedRoute, PolicyError, RollingUpdate, Rollout, RouteActions,
    RouteId, Strategy, Transition,
    replenish::Replenish,
    verbs::{AdvanceRejection, PromoteRejection},
};

/// The rules of one strategy, implemented by its settings.
pub(crate) trait StrategyRules {
    /// The name: of the field of a policy that holds the settings.
    fn name(&self) -> &'static str;

    /// Adds every rule that the settings break.
    fn check(&self, errors: &mut Vec<PolicyError>);

    /// Decides what a rollout does next.
    fn evaluate(&self, observed: &Observed<'_>, rollout: Rollout) -> Evaluation;

    /// Switches all traffic to green at a caller's request.
    fn promote(
        &self,
        observed: &Observed<'_>,
        rollout: Rollout,
    ) -> Result<Transition, PromoteRejection>;

    /// Ends the hold of a canary's step, or goes on to the last one.
    fn advance(
        &self,
        _observed: &Observed<'_>,
        _rollout: Rollout,
        _to_last: bool,
    ) -> Result<Transition, AdvanceRejection> {
        Err(AdvanceRejection::NotCanary)
    }

    /// Gives a rollout up.
    fn abort(&self, observed: &Observed<'_>, rollout: Rollout) -> Transition;

    /// Keeps what serves at the target while a pause holds the rollout.
    fn hold(&self, observed: &Observed<'_>, rollout: &Rollout) -> Replenish {
        Replenish::to_target(observed, rollout.current)
    }

    /// Whether an activation that supersedes a rollout drains this route.
    fn drains_superseded(&self, rollout: &Rollout, route: &ObservedRoute) -> bool;

    /// Makes ready routes of the revision to go back to, which an earlier promotion
    /// retained, the first of its new ones.
    fn reuse(&self, kept: Vec<RouteId>, actions: &mut RouteActions);

    /// How many routes above the target may be live during a restart, and how many
    /// below it ready.
    fn restart_bounds(&self, target: u32) -> (u32, u32) {
        RollingUpdate::default().resolve(target)
    }

    /// How long blue is retained after the switch.
    fn scale_down_delay(&self) -> Duration {
        Duration::ZERO
    }
}

impl Strategy {
    /// The rules of the strategy.
    pub(crate) fn rules(&self) -> &dyn StrategyRules {
        match self {
            Self::BlueGreen(settings) => settings,
            Self::Rolling(settings) => settings,
            Self::Canary(settings) => settings,
        }
    }

    /// The name: `blue_green`, `rolling_update` or `canary`, as in a policy on the wire.
    pub fn name(&self) -> &'static str {
        self.rules().name()
    }

    /// Whether both are the same strategy, whatever their settings.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}
