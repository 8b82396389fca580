//! Policies.

use std::time::Duration;

use viridian_proto::v1::{self, deployment_policy::Strategy as Wire};
use viridian_strategy::{
    BlueGreen, GateAction, GateTimeout, IntOrPercent, MAX_REPLICAS, Policy, PolicyError,
    RollingUpdate, Strategy,
};

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
        strategy: match &wire.strategy {
            Some(Wire::BlueGreen(spec)) => Strategy::BlueGreen(parse_blue_green(spec, violations)),
            Some(Wire::RollingUpdate(spec)) => Strategy::Rolling(parse_rolling(spec, violations)),
            None => default.strategy,
        },
    };
    // What is out of bounds was moved into them: these are rules of settings together.
    for error in policy.errors() {
        let (field, description) = violation(&error);
        violations.add(field, description);
    }
    policy
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
        }),
        progress_deadline: Some(duration(policy.progress_deadline)),
        drain_grace: Some(duration(policy.drain_grace)),
    }
}

fn parse_blue_green(wire: &v1::BlueGreenSpec, violations: &mut Violations) -> BlueGreen {
    let mut field = |path: &str, value: Option<&prost_types::Duration>| {
        parse_duration(path, value, Duration::ZERO, violations)
    };
    BlueGreen {
        auto_promote: wire.auto_promote,
        promote_delay: field(
            "policy.blue_green.promote_delay",
            wire.promote_delay.as_ref(),
        ),
        min_ready: field("policy.blue_green.min_ready", wire.min_ready.as_ref()),
        scale_down_delay: field(
            "policy.blue_green.scale_down_delay",
            wire.scale_down_delay.as_ref(),
        ),
        max_replacements: wire.max_replacements.map(|count| {
            let path = "policy.blue_green.max_replacements";
            violations.within(path, count, 0, MAX_REPLICAS)
        }),
        gate_timeout: wire
            .gate_timeout
            .as_ref()
            .map(|gate| parse_gate_timeout(gate, violations)),
    }
}

/// A gate timeout from the wire. A duration of zero breaks a rule of the policy.
fn parse_gate_timeout(wire: &v1::GateTimeout, violations: &mut Violations) -> GateTimeout {
    GateTimeout {
        duration: parse_duration(
            "policy.blue_green.gate_timeout.duration",
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
                violations.add(
                    "policy.blue_green.gate_timeout.action",
                    "must be HOLD, ROLLBACK or PROMOTE",
                );
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
    match error {
        PolicyError::TooLong(name) => (format!("policy.{name}"), "must be 0 s to 30 days"),
        PolicyError::GateTimeoutZero => {
            let path = "policy.blue_green.gate_timeout.duration";
            (path.to_owned(), "must be greater than 0 s")
        }
        PolicyError::CountTooLarge(name) => (format!("policy.{name}"), "must be 0 to 1000"),
        PolicyError::PercentTooLarge(name) => (format!("policy.{name}"), "must be 0 to 100"),
        PolicyError::NoRoomToRoll => ("policy.rolling_update".to_owned(), NO_ROOM_TO_ROLL),
    }
}

fn blue_green(spec: &BlueGreen) -> v1::BlueGreenSpec {
    v1::BlueGreenSpec {
        auto_promote: spec.auto_promote,
        promote_delay: Some(duration(spec.promote_delay)),
        min_ready: Some(duration(spec.min_ready)),
        max_replacements: spec.max_replacements.map(u32::cast_signed),
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

const NO_ROOM_TO_ROLL: &str =
    "max_surge and max_unavailable cannot both be zero: nothing could move";
