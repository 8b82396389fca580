//! Policies.

use std::time::Duration;

use viridian_proto::v1;
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
    let default = Policy::default();
    let Some(wire) = wire else { return default };
    let mut field = |name: &str, value: Option<&prost_types::Duration>, default| {
        parse_duration(&format!("policy.{name}"), value, default, violations)
    };
    let progress_deadline = field(
        "progress_deadline",
        wire.progress_deadline.as_ref(),
        default.progress_deadline,
    );
    let drain_grace = field(
        "drain_grace",
        wire.drain_grace.as_ref(),
        default.drain_grace,
    );
    let strategy = match &wire.strategy {
        None => default.strategy,
        Some(v1::deployment_policy::Strategy::BlueGreen(spec)) => {
            Strategy::BlueGreen(parse_blue_green(spec, violations))
        }
        Some(v1::deployment_policy::Strategy::RollingUpdate(spec)) => {
            Strategy::Rolling(parse_rolling(spec, violations))
        }
    };
    let policy = Policy {
        strategy,
        progress_deadline,
        drain_grace,
    };
    if policy.errors().contains(&PolicyError::NoRoomToRoll) {
        violations.add(
            "policy.rolling_update",
            "max_surge and max_unavailable cannot both be zero: nothing could move",
        );
    }
    policy
}

/// A policy, to the wire.
pub(crate) fn policy(policy: &Policy) -> v1::DeploymentPolicy {
    use v1::deployment_policy::Strategy as Wire;
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
    let max_replacements = violations.within(
        "policy.blue_green.max_replacements",
        wire.max_replacements,
        0,
        MAX_REPLICAS,
    );
    let mut field = |name: &str, value: Option<&prost_types::Duration>| {
        parse_duration(
            &format!("policy.blue_green.{name}"),
            value,
            Duration::ZERO,
            violations,
        )
    };
    let promote_delay = field("promote_delay", wire.promote_delay.as_ref());
    let min_ready = field("min_ready", wire.min_ready.as_ref());
    let scale_down_delay = field("scale_down_delay", wire.scale_down_delay.as_ref());
    BlueGreen {
        auto_promote: wire.auto_promote,
        promote_delay,
        min_ready,
        max_replacements,
        scale_down_delay,
        gate_timeout: wire
            .gate_timeout
            .as_ref()
            .and_then(|gate| parse_gate(gate, violations)),
    }
}

fn parse_gate(wire: &v1::GateTimeout, violations: &mut Violations) -> Option<GateTimeout> {
    let field = "policy.blue_green.gate_timeout";
    let path = format!("{field}.duration");
    let duration = parse_duration(&path, wire.duration.as_ref(), Duration::ZERO, violations);
    violations.check(!duration.is_zero(), &path, "must be greater than 0 s");
    let action = match wire.action() {
        v1::GateTimeoutAction::Hold => GateAction::Hold,
        v1::GateTimeoutAction::Rollback => GateAction::Rollback,
        v1::GateTimeoutAction::Promote => GateAction::Promote,
        v1::GateTimeoutAction::Unspecified => {
            violations.add(
                format!("{field}.action"),
                "must be HOLD, ROLLBACK or PROMOTE",
            );
            return None;
        }
    };
    Some(GateTimeout { duration, action })
}

fn parse_rolling(wire: &v1::RollingUpdateSpec, violations: &mut Violations) -> RollingUpdate {
    let default = RollingUpdate::default();
    let mut field = |name: &str, value: Option<&v1::IntOrPercent>, default| {
        let path = format!("policy.rolling_update.{name}");
        value.map_or(default, |value| {
            parse_int_or_percent(&path, value, violations)
        })
    };
    RollingUpdate {
        max_surge: field("max_surge", wire.max_surge.as_ref(), default.max_surge),
        max_unavailable: field(
            "max_unavailable",
            wire.max_unavailable.as_ref(),
            default.max_unavailable,
        ),
    }
}

fn parse_int_or_percent(
    field: &str,
    wire: &v1::IntOrPercent,
    violations: &mut Violations,
) -> IntOrPercent {
    use v1::int_or_percent::Value;
    match wire.value {
        Some(Value::Count(count)) => {
            let path = format!("{field}.count");
            IntOrPercent::Count(violations.within(&path, count, 0, MAX_REPLICAS))
        }
        Some(Value::Percent(percent)) => {
            let path = format!("{field}.percent");
            IntOrPercent::Percent(violations.within(&path, percent, 0, 100))
        }
        None => {
            violations.add(field, "must have a count or a percent");
            IntOrPercent::Count(1)
        }
    }
}

fn blue_green(spec: &BlueGreen) -> v1::BlueGreenSpec {
    v1::BlueGreenSpec {
        auto_promote: spec.auto_promote,
        promote_delay: Some(duration(spec.promote_delay)),
        min_ready: Some(duration(spec.min_ready)),
        max_replacements: spec.max_replacements.cast_signed(),
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
