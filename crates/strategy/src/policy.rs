//! How a new revision replaces the current one.

use std::time::Duration;

/// The maximum of each duration in a policy.
pub const MAX_DURATION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The maximum target of a deployment.
pub const MAX_REPLICAS: u32 = 1_000;

/// How a new revision replaces the current one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The strategy with its settings.
    pub strategy: Strategy,
    /// How long a rollout may go without one more ready route.
    pub progress_deadline: Duration,
    /// How long a route that had traffic goes on running once it is drained.
    pub drain_grace: Duration,
    /// How long a first revision may take to come up before it is recorded as failed; the
    /// progress deadline if None.
    pub first_deadline: Option<Duration>,
    /// How long a route that serves may be UNHEALTHY before it is replaced; never if
    /// zero.
    pub replace_unhealthy_after: Duration,
}

/// The strategies, each with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// All new routes come up without traffic; then all traffic is switched.
    BlueGreen(BlueGreen),
    /// Routes are replaced step by step.
    Rolling(RollingUpdate),
    /// New routes come up beside the old ones and take a share of the traffic, by steps; then
    /// all of it is switched.
    Canary(Canary),
}

/// The settings of blue-green. As a default every wait is zero: what a caller gets who does
/// not set one is the wire's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlueGreen {
    /// Promote without a call.
    pub auto_promote: bool,
    /// How long all green must have been ready before an automatic promotion.
    pub promote_delay: Duration,
    /// How long all green must have been ready before any promotion.
    pub min_ready: Duration,
    /// How many failed green are replaced in one rollout; as many as the target if None.
    pub max_replacements: Option<u32>,
    /// How many green must be ready to take the traffic; all if None.
    pub ready_threshold: Option<IntOrPercent>,
    /// How long blue is retained after the switch.
    pub scale_down_delay: Duration,
    /// What happens without a promotion.
    pub gate_timeout: Option<GateTimeout>,
}

/// The settings of a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// The steps, 1 to 10, with rising weights.
    pub steps: Vec<CanaryStep>,
    /// How all of the traffic is switched after the last step: as in blue-green, without a
    /// delay. Its gate timeout and its replacements count in every step, and `min_ready`
    /// before each rise.
    pub switch: BlueGreen,
}

/// A step of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanaryStep {
    /// The share of green, 0 to 999 per mille. 0 only first: green comes up without traffic.
    pub weight_permille: u16,
    /// How long the share is held with all of the step's green ready.
    pub hold: Duration,
    /// Whether someone has to advance after that.
    pub manual: bool,
    /// How many green there are to be; the weight's part of the target if None.
    pub replicas: Option<IntOrPercent>,
}

/// What happens without a promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateTimeout {
    /// How long to wait.
    pub duration: Duration,
    /// What to do then.
    pub action: GateAction,
}

/// What to do when the gate times out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateAction {
    /// Keep waiting.
    Hold,
    /// Roll back.
    Rollback,
    /// Promote.
    Promote,
}

/// The settings of a rolling update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollingUpdate {
    /// How many routes above the target may be live; a percentage rounds up.
    pub max_surge: IntOrPercent,
    /// How many routes below the target may be ready; a percentage rounds down.
    pub max_unavailable: IntOrPercent,
}

/// A number of routes, or a percentage of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntOrPercent {
    /// A number of routes.
    Count(u32),
    /// 0 to 100 of the target.
    Percent(u32),
}

/// A rule that a policy breaks. The names are paths of fields: `canary.steps[2].hold`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// The named duration is longer than [`MAX_DURATION`].
    TooLong(String),
    /// The named duration, after which a gate times out, is zero: the wait would end before it
    /// begins.
    GateTimeoutZero(String),
    /// The named count is above [`MAX_REPLICAS`].
    CountTooLarge(String),
    /// The named percentage is above 100.
    PercentTooLarge(String),
    /// The named amount of routes is zero, and there would be nothing to switch to.
    ReplicasZero(String),
    /// A canary has no step, or more than 10.
    StepCount,
    /// The named weight is above 999: all of the traffic is a promotion's.
    WeightTooLarge(String),
    /// The named weight is not above the one before.
    WeightNotRising(String),
    /// `max_surge` and `max_unavailable` are both zero: nothing could move.
    NoRoomToRoll,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            strategy: Strategy::BlueGreen(BlueGreen::default()),
            progress_deadline: Duration::from_secs(600),
            drain_grace: Duration::from_secs(5),
            first_deadline: None,
            replace_unhealthy_after: Duration::ZERO,
        }
    }
}

impl Default for RollingUpdate {
    fn default() -> Self {
        Self {
            max_surge: IntOrPercent::Percent(25),
            max_unavailable: IntOrPercent::Count(0),
        }
    }
}

impl Policy {
    /// Every rule that the policy breaks.
    pub fn errors(&self) -> Vec<PolicyError> {
        let mut errors = Vec::new();
        check_duration("progress_deadline", self.progress_deadline, &mut errors);
        check_duration("drain_grace", self.drain_grace, &mut errors);
        if let Some(deadline) = self.first_deadline {
            check_duration("first_deadline", deadline, &mut errors);
        }
        check_duration(
            "replace_unhealthy_after",
            self.replace_unhealthy_after,
            &mut errors,
        );
        self.strategy.rules().check(&mut errors);
        errors
    }

    /// How long a first revision may take to come up before it is recorded as failed.
    pub fn first_deadline(&self) -> Duration {
        self.first_deadline.unwrap_or(self.progress_deadline)
    }

    /// How long blue is retained after the switch. Zero with rolling.
    pub fn scale_down_delay(&self) -> Duration {
        self.strategy.rules().scale_down_delay()
    }
}

pub(crate) fn check_duration(name: &str, value: Duration, errors: &mut Vec<PolicyError>) {
    if value > MAX_DURATION {
        errors.push(PolicyError::TooLong(name.to_owned()));
    }
}

impl BlueGreen {
    /// How many failed green are replaced in one rollout to `target` routes.
    pub fn replacement_budget(&self, target: u32) -> u32 {
        self.max_replacements.unwrap_or(target)
    }

    /// How many of `target` green must be ready to take the traffic: at least 1, and a
    /// percentage rounds up.
    pub fn least_ready(&self, target: u32) -> u32 {
        let least = match self.ready_threshold {
            None => target,
            Some(IntOrPercent::Count(count)) => count,
            // At most 1,000 times 100.
            Some(IntOrPercent::Percent(percent)) => (target * percent.min(100)).div_ceil(100),
        };
        least.max(1).min(target)
    }
}

impl IntOrPercent {
    /// Adds the rule that the named amount breaks.
    pub(crate) fn check(self, name: &str, errors: &mut Vec<PolicyError>) {
        match self {
            Self::Count(count) if count > MAX_REPLICAS => {
                errors.push(PolicyError::CountTooLarge(name.to_owned()));
            }
            Self::Percent(percent) if percent > 100 => {
                errors.push(PolicyError::PercentTooLarge(name.to_owned()));
            }
            Self::Count(_) | Self::Percent(_) => {}
        }
    }

    pub(crate) fn is_zero(self) -> bool {
        matches!(self, Self::Count(0) | Self::Percent(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surge_rounds_up_and_an_unavailability_rounds_down() {
        let spec = RollingUpdate {
            max_surge: IntOrPercent::Percent(25),
            max_unavailable: IntOrPercent::Percent(25),
        };
        assert_eq!(spec.resolve(10), (3, 2));
        assert_eq!(spec.resolve(3), (1, 0));
        assert_eq!(spec.resolve(0), (0, 1));
    }

    #[test]
    fn a_pair_that_comes_to_nothing_leaves_room_for_one() {
        let spec = RollingUpdate {
            max_surge: IntOrPercent::Count(0),
            max_unavailable: IntOrPercent::Percent(10),
        };
        assert_eq!(spec.resolve(3), (0, 1));
    }

    #[test]
    fn a_threshold_rounds_up_and_is_between_one_and_all() {
        let least = |ready_threshold, target| {
            let spec = BlueGreen {
                ready_threshold,
                ..BlueGreen::default()
            };
            spec.least_ready(target)
        };
        let (count, percent) = (IntOrPercent::Count, IntOrPercent::Percent);
        assert_eq!(least(None, 3), 3);
        assert_eq!([1, 3, 4].map(|it| least(Some(count(2)), it)), [1, 2, 2]);
        assert_eq!([1, 3, 10].map(|it| least(Some(percent(50)), it)), [1, 2, 5]);
        assert_eq!(least(Some(percent(1)), 10), 1);
        assert_eq!(least(Some(percent(100)), 1_000), 1_000);
        assert_eq!(least(Some(count(1)), 0), 0);
    }

    #[test]
    fn names_every_rule_that_is_broken() {
        let policy = Policy {
            strategy: Strategy::Rolling(RollingUpdate {
                max_surge: IntOrPercent::Count(0),
                max_unavailable: IntOrPercent::Percent(0),
            }),
            progress_deadline: MAX_DURATION + Duration::from_micros(1),
            drain_grace: MAX_DURATION,
            first_deadline: Some(MAX_DURATION + Duration::from_micros(1)),
            ..Policy::default()
        };
        assert_eq!(
            policy.errors(),
            [
                PolicyError::TooLong("progress_deadline".to_owned()),
                PolicyError::TooLong("first_deadline".to_owned()),
                PolicyError::NoRoomToRoll
            ]
        );
    }
}
