//! Policies.

use std::time::Duration;

use viridian_proto::v1::{self, deployment_policy::Strategy as Wire};
use viridian_strategy::{
    BlueGreen, GateAction, GateTimeout, IntOrPercent, MAX_REPLICAS, Policy, PolicyError,
    RollingUpdate, Strategy,
};

mod canary;

pub(crate) use self::canary::parse_expected_step;
use self::canary::{WEIGHT_RANGE, canary, parse_canary};
use super::{
    Violations,
    time::{duration, parse_duration},
};

/// A policy from the wire, with the defaults for what is not set.
pub(crate) fn parse_policy(
    wire: Option<&v1::DeploymentPolicy>,
    violations: &mut Violations,
) -> Policy {
    let unset = v1::DeploymentPolicy::default();
    let wire = wire.unwrap_or(&unset);
    let default = Policy::default();
    let mut field = |path: &str, value: Option<&prost_types::Duration>, default| {
        parse_duration(path, value, default, violations)
    };
    let policy = Policy {
        progress_deadline: field(
            "policy.progress_deadline",
            wire.progress_deadline.as_ref(),
            default.progress_deadline,
        ),
        drain_grace: field(
            "policy.drain_grace",
            wire.drain_grace.as_ref(),
            default.drain_grace,
        ),
        first_deadline: wire.first_deadline.as_ref().map(|value| {
            // It has a value, so that the default is not looked at.
            field("policy.first_deadline", Some(value), Duration::ZERO)
        }),
        replace_unhealthy_after: field(
            "policy.replace_unhealthy_after",
            wire.replace_unhealthy_after.as_ref(),
            default.replace_unhealthy_after,
        ),
        strategy: match &wire.strategy {
            Some(Wire::BlueGreen(spec)) => {
                Strategy::BlueGreen(parse_switch("blue_green", spec, violations))
            }
            Some(Wire::RollingUpdate(spec)) => Strategy::Rolling(parse_rolling(spec, violations)),
            Some(Wire::Canary(spec)) => Strategy::Canary(parse_canary(spec, violations)),
            None => {
                let unset = v1::BlueGreenSpec::default();
                Strategy::BlueGreen(parse_switch("blue_green", &unset, violations))
            }
        },
    };
    // What is out of bounds was moved into them: these are rules of settings together.
    for error in policy.errors() {
        let (field, description) = violation(&error);
        violations.add(field, description);
    }
    policy
}

/// The policy of a deployment that is created without one. Other than [`Policy::default`],
/// it has the defaults of the wire.
pub(crate) fn default_policy() -> Policy {
    let mut violations = Violations::default();
    parse_policy(None, &mut violations)
}

/// A policy, to the wire.
pub(crate) fn policy(policy: &Policy) -> v1::DeploymentPolicy {
    v1::DeploymentPolicy {
        strategy: Some(match &policy.strategy {
            Strategy::BlueGreen(spec) => Wire::BlueGreen(blue_green(spec)),
            Strategy::Rolling(spec) => Wire::RollingUpdate(v1::RollingUpdateSpec {
                max_surge: Some(int_or_percent(spec.max_surge)),
                max_unavailable: Some(int_or_percent(spec.max_unavailable)),
            }),
            Strategy::Canary(spec) => Wire::Canary(canary(spec)),
        }),
        progress_deadline: Some(duration(policy.progress_deadline)),
        drain_grace: Some(duration(policy.drain_grace)),
        first_deadline: policy.first_deadline.map(duration),
        replace_unhealthy_after: Some(duration(policy.replace_unhealthy_after)),
    }
}

/// How all of the traffic is switched, from the wire: the settings of the strategy `of`.
fn parse_switch(of: &str, wire: &v1::BlueGreenSpec, violations: &mut Violations) -> BlueGreen {
    let path = |field: &str| format!("policy.{of}.{field}");
    let mut field = |name: &str, value: Option<&prost_types::Duration>, default| {
        parse_duration(&path(name), value, default, violations)
    };
    BlueGreen {
        auto_promote: wire.auto_promote,
        promote_delay: field("promote_delay", wire.promote_delay.as_ref(), Duration::ZERO),
        min_ready: field("min_ready", wire.min_ready.as_ref(), Duration::ZERO),
        scale_down_delay: field(
            "scale_down_delay",
            wire.scale_down_delay.as_ref(),
            DEFAULT_SCALE_DOWN_DELAY,
        ),
        max_replacements: wire
            .max_replacements
            .map(|count| violations.within(&path("max_replacements"), count, 0, MAX_REPLICAS)),
        ready_threshold: wire
            .ready_threshold
            .as_ref()
            .map(|threshold| parse_int_or_percent(&path("ready_threshold"), threshold, violations)),
        gate_timeout: wire
            .gate_timeout
            .as_ref()
            .map(|gate| parse_gate_timeout(&path("gate_timeout"), gate, violations)),
    }
}

/// A gate timeout from the wire. A duration of zero breaks a rule of the policy.
fn parse_gate_timeout(
    path: &str,
    wire: &v1::GateTimeout,
    violations: &mut Violations,
) -> GateTimeout {
    GateTimeout {
        duration: parse_duration(
            &format!("{path}.duration"),
            wire.duration.as_ref(),
            Duration::ZERO,
            violations,
        ),
        // An action that this release does not know reads as UNSPECIFIED.
        action: match wire.action() {
            v1::GateTimeoutAction::Hold => GateAction::Hold,
            v1::GateTimeoutAction::Rollback => GateAction::Rollback,
            v1::GateTimeoutAction::Promote => GateAction::Promote,
            v1::GateTimeoutAction::Unspecified => {
                let path = format!("{path}.action");
                violations.add(path, "must be HOLD, ROLLBACK or PROMOTE");
                GateAction::Hold
            }
        },
    }
}

fn parse_rolling(wire: &v1::RollingUpdateSpec, violations: &mut Violations) -> RollingUpdate {
    let default = RollingUpdate::default();
    let mut field = |path: &str, value: Option<&v1::IntOrPercent>, default| match value {
        Some(value) => parse_int_or_percent(path, value, violations),
        None => default,
    };
    RollingUpdate {
        max_surge: field(
            "policy.rolling_update.max_surge",
            wire.max_surge.as_ref(),
            default.max_surge,
        ),
        max_unavailable: field(
            "policy.rolling_update.max_unavailable",
            wire.max_unavailable.as_ref(),
            default.max_unavailable,
        ),
    }
}

fn parse_int_or_percent(
    path: &str,
    wire: &v1::IntOrPercent,
    violations: &mut Violations,
) -> IntOrPercent {
    use v1::int_or_percent::Value;
    match wire.value {
        Some(Value::Count(count)) => {
            let count = violations.within(&format!("{path}.count"), count, 0, MAX_REPLICAS);
            IntOrPercent::Count(count)
        }
        Some(Value::Percent(percent)) => {
            let percent = violations.within(&format!("{path}.percent"), percent, 0, 100);
            IntOrPercent::Percent(percent)
        }
        None => {
            violations.add(path, "must have a count or a percent");
            // A stand-in. Not 0: two zeros would add a violation of
            // the pair that the caller did not cause.
            IntOrPercent::Count(1)
        }
    }
}

/// Which field of a request breaks a rule of policies, and how.
pub(crate) fn violation(error: &PolicyError) -> (String, &'static str) {
    let (path, description) = match error {
        PolicyError::TooLong(path) => (path.as_str(), "must be 0 s to 30 days"),
        PolicyError::GateTimeoutZero(path) => (path.as_str(), "must be greater than 0 s"),
        PolicyError::CountTooLarge(path) => (path.as_str(), "must be 0 to 1000"),
        PolicyError::PercentTooLarge(path) => (path.as_str(), "must be 0 to 100"),
        PolicyError::ReplicasZero(path) => (path.as_str(), "must be at least 1, or 1 percent"),
        PolicyError::StepCount => ("canary.steps", "must be 1 to 10"),
        PolicyError::WeightTooLarge(path) => (path.as_str(), WEIGHT_RANGE),
        PolicyError::WeightNotRising(path) => (
            path.as_str(),
            "must be greater than that of the step before",
        ),
        PolicyError::NoRoomToRoll => ("rolling_update", NO_ROOM_TO_ROLL),
    };
    (format!("policy.{path}"), description)
}

fn blue_green(spec: &BlueGreen) -> v1::BlueGreenSpec {
    v1::BlueGreenSpec {
        auto_promote: spec.auto_promote,
        promote_delay: Some(duration(spec.promote_delay)),
        min_ready: Some(duration(spec.min_ready)),
        max_replacements: spec.max_replacements.map(u32::cast_signed),
        ready_threshold: spec.ready_threshold.map(int_or_percent),
        scale_down_delay: Some(duration(spec.scale_down_delay)),
        gate_timeout: spec.gate_timeout.map(|gate| v1::GateTimeout {
            duration: Some(duration(gate.duration)),
            action: match gate.action {
                GateAction::Hold => v1::GateTimeoutAction::Hold,
                GateAction::Rollback => v1::GateTimeoutAction::Rollback,
                GateAction::Promote => v1::GateTimeoutAction::Promote,
            }
            .into(),
        }),
    }
}

fn int_or_percent(value: IntOrPercent) -> v1::IntOrPercent {
    use v1::int_or_percent::Value;
    v1::IntOrPercent {
        value: Some(match value {
            IntOrPercent::Count(count) => Value::Count(count.cast_signed()),
            IntOrPercent::Percent(percent) => Value::Percent(percent.cast_signed()),
        }),
    }
}

/// How long blue is kept for an instant roll-back, where a policy does not say it. Only here:
/// a stored policy that leaves the delay out says 0.
const DEFAULT_SCALE_DOWN_DELAY: Duration = Duration::from_secs(30);
const NO_ROOM_TO_ROLL: &str =
    "max_surge and max_unavailable cannot both be zero: nothing could move";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(wire: Option<&v1::DeploymentPolicy>) -> Policy {
        let mut violations = Violations::default();
        let policy = parse_policy(wire, &mut violations);
        assert!(violations.is_empty(), "{violations:?}");
        policy
    }

    #[test]
    fn what_is_not_set_gets_its_default() {
        let blue_green = Policy {
            strategy: Strategy::BlueGreen(BlueGreen {
                auto_promote: false,
                promote_delay: Duration::ZERO,
                min_ready: Duration::ZERO,
                max_replacements: None,
                ready_threshold: None,
                scale_down_delay: Duration::from_secs(30),
                gate_timeout: None,
            }),
            progress_deadline: Duration::from_secs(600),
            drain_grace: Duration::from_secs(5),
            first_deadline: None,
            replace_unhealthy_after: Duration::ZERO,
        };
        assert_eq!(parsed(None), blue_green);
        let chosen = |strategy| v1::DeploymentPolicy {
            strategy: Some(strategy),
            ..v1::DeploymentPolicy::default()
        };
        let wire = chosen(Wire::BlueGreen(v1::BlueGreenSpec::default()));
        assert_eq!(parsed(Some(&wire)), blue_green);
        let wire = chosen(Wire::RollingUpdate(v1::RollingUpdateSpec::default()));
        let rolling = Policy {
            strategy: Strategy::Rolling(RollingUpdate {
                max_surge: IntOrPercent::Percent(25),
                max_unavailable: IntOrPercent::Count(0),
            }),
            ..blue_green
        };
        assert_eq!(parsed(Some(&wire)), rolling);
    }

    /// What is read can be written back, and is the same: a zero is no default.
    #[test]
    fn a_policy_says_the_same_on_the_wire() {
        for (max_replacements, delay) in [(None, 0), (Some(0), 30), (Some(7), 1)] {
            let said = Policy {
                strategy: Strategy::BlueGreen(BlueGreen {
                    max_replacements,
                    ready_threshold: max_replacements.map(|count| IntOrPercent::Percent(count + 1)),
                    scale_down_delay: Duration::from_secs(delay),
                    ..BlueGreen::default()
                }),
                first_deadline: max_replacements.map(|_| Duration::from_secs(delay)),
                ..Policy::default()
            };
            assert_eq!(parsed(Some(&policy(&said))), said);
        }
    }
}
