//! Policies.

use std::time::Duration;

use viridian_proto::v1::{self, deployment_policy::Strategy as Wire};
use viridian_strategy::{
    BlueGreen, BlueGreenPatch, GateAction, GateTimeout, GateTimeoutPatch, IfOther, IntOrPercent,
    MAX_REPLICAS, Policy, PolicyError, PolicyPatch, RollingUpdate, RollingUpdatePatch, Strategy,
    StrategyPatch, StrategySettings,
};

use super::{
    Violations,
    time::{duration, parse_duration},
    update::Mask,
};

/// A policy from the wire, with the defaults for what is not set.
pub(crate) fn parse_policy(
    wire: Option<&v1::DeploymentPolicy>,
    violations: &mut Violations,
) -> Policy {
    let patch = parse_patch(wire, &Mask::All, violations);
    patch.apply(&Policy::default()).unwrap_or_default()
}

/// Changes to a policy from the wire: of the fields that the mask covers.
pub(crate) fn parse_patch(
    wire: Option<&v1::DeploymentPolicy>,
    mask: &Mask,
    violations: &mut Violations,
) -> PolicyPatch {
    let default = Policy::default();
    let mut field = |path: &str, value: Option<&prost_types::Duration>, default| {
        mask.covers(path)
            .then(|| parse_duration(path, value, default, violations))
    };
    let deadline = wire.and_then(|wire| wire.progress_deadline.as_ref());
    let grace = wire.and_then(|wire| wire.drain_grace.as_ref());
    PolicyPatch {
        progress_deadline: field(
            "policy.progress_deadline",
            deadline,
            default.progress_deadline,
        ),
        drain_grace: field("policy.drain_grace", grace, default.drain_grace),
        strategy: parse_strategy(
            wire.and_then(|wire| wire.strategy.as_ref()),
            mask,
            violations,
        ),
    }
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

/// The strategy is the one that is set, or that the mask names; blue-green when
/// neither says. Settings alone do not bring in another strategy.
fn parse_strategy(
    wire: Option<&Wire>,
    mask: &Mask,
    violations: &mut Violations,
) -> Option<StrategyPatch> {
    let [whole_blue_green, whole_rolling] = STRATEGIES.map(|path| mask.covers(path));
    let [in_blue_green, in_rolling] = STRATEGIES.map(|path| mask.reaches_into(path));
    if !(whole_blue_green || whole_rolling || in_blue_green || in_rolling) {
        return None;
    }
    let settings = match wire {
        Some(Wire::BlueGreen(spec)) => {
            StrategySettings::BlueGreen(parse_blue_green(spec, mask, violations))
        }
        Some(Wire::RollingUpdate(spec)) => {
            StrategySettings::Rolling(parse_rolling(spec, mask, violations))
        }
        None if whole_blue_green || in_blue_green => {
            let unset = v1::BlueGreenSpec::default();
            StrategySettings::BlueGreen(parse_blue_green(&unset, mask, violations))
        }
        None => {
            let unset = v1::RollingUpdateSpec::default();
            StrategySettings::Rolling(parse_rolling(&unset, mask, violations))
        }
    };
    let if_other = if whole_blue_green || whole_rolling {
        IfOther::Replace
    } else {
        IfOther::Refuse
    };
    Some(StrategyPatch { settings, if_other })
}

fn parse_blue_green(
    wire: &v1::BlueGreenSpec,
    mask: &Mask,
    violations: &mut Violations,
) -> BlueGreenPatch {
    let replacements = "policy.blue_green.max_replacements";
    let max_replacements = mask
        .covers(replacements)
        .then(|| violations.within(replacements, wire.max_replacements, 0, MAX_REPLICAS));
    let mut field = |path: &str, value: Option<&prost_types::Duration>| {
        mask.covers(path)
            .then(|| parse_duration(path, value, Duration::ZERO, violations))
    };
    BlueGreenPatch {
        auto_promote: mask
            .covers("policy.blue_green.auto_promote")
            .then_some(wire.auto_promote),
        promote_delay: field(
            "policy.blue_green.promote_delay",
            wire.promote_delay.as_ref(),
        ),
        min_ready: field("policy.blue_green.min_ready", wire.min_ready.as_ref()),
        scale_down_delay: field(
            "policy.blue_green.scale_down_delay",
            wire.scale_down_delay.as_ref(),
        ),
        max_replacements,
        gate_timeout: parse_gate(wire.gate_timeout.as_ref(), mask, violations),
    }
}

fn parse_gate(
    wire: Option<&v1::GateTimeout>,
    mask: &Mask,
    violations: &mut Violations,
) -> Option<GateTimeoutPatch> {
    let whole = mask.covers("policy.blue_green.gate_timeout");
    if whole && wire.is_none() {
        return Some(GateTimeoutPatch::Whole(None));
    }
    let unset = v1::GateTimeout::default();
    let wire = wire.unwrap_or(&unset);
    let path = "policy.blue_green.gate_timeout.duration";
    let duration = mask.covers(path).then(|| {
        let duration = parse_duration(path, wire.duration.as_ref(), Duration::ZERO, violations);
        violations.check(!duration.is_zero(), path, "must be greater than 0 s");
        duration
    });
    let path = "policy.blue_green.gate_timeout.action";
    let action = mask.covers(path).then(|| match wire.action() {
        v1::GateTimeoutAction::Hold => GateAction::Hold,
        v1::GateTimeoutAction::Rollback => GateAction::Rollback,
        v1::GateTimeoutAction::Promote => GateAction::Promote,
        v1::GateTimeoutAction::Unspecified => {
            violations.add(path, "must be HOLD, ROLLBACK or PROMOTE");
            GateAction::Hold
        }
    });
    match (duration, action) {
        (Some(duration), Some(action)) => Some(GateTimeoutPatch::Whole(Some(GateTimeout {
            duration,
            action,
        }))),
        (Some(duration), None) => Some(GateTimeoutPatch::Duration(duration)),
        (None, Some(action)) => Some(GateTimeoutPatch::Action(action)),
        (None, None) => None,
    }
}

fn parse_rolling(
    wire: &v1::RollingUpdateSpec,
    mask: &Mask,
    violations: &mut Violations,
) -> RollingUpdatePatch {
    let default = RollingUpdate::default();
    let mut field = |path: &str, value: Option<&v1::IntOrPercent>, default| {
        parse_int_or_percent(path, value, default, mask, violations)
    };
    let max_surge = field(
        "policy.rolling_update.max_surge",
        wire.max_surge.as_ref(),
        default.max_surge,
    );
    let max_unavailable = field(
        "policy.rolling_update.max_unavailable",
        wire.max_unavailable.as_ref(),
        default.max_unavailable,
    );
    if let (Some(max_surge), Some(max_unavailable)) = (max_surge, max_unavailable) {
        let policy = Policy {
            strategy: Strategy::Rolling(RollingUpdate {
                max_surge,
                max_unavailable,
            }),
            ..Policy::default()
        };
        violations.check(
            !policy.errors().contains(&PolicyError::NoRoomToRoll),
            "policy.rolling_update",
            NO_ROOM_TO_ROLL,
        );
    }
    RollingUpdatePatch {
        max_surge,
        max_unavailable,
    }
}

fn parse_int_or_percent(
    path: &str,
    wire: Option<&v1::IntOrPercent>,
    default: IntOrPercent,
    mask: &Mask,
    violations: &mut Violations,
) -> Option<IntOrPercent> {
    use v1::int_or_percent::Value;
    let [count_path, percent_path] = ["count", "percent"].map(|name| format!("{path}.{name}"));
    if mask.covers(path) && wire.is_none() {
        return Some(default);
    }
    let named = [&count_path, &percent_path].map(|path| mask.covers(path));
    match (wire.and_then(|wire| wire.value), named) {
        (_, [false, false]) => None,
        (Some(Value::Count(count)), [true, _]) => {
            let count = violations.within(&count_path, count, 0, MAX_REPLICAS);
            Some(IntOrPercent::Count(count))
        }
        (Some(Value::Percent(percent)), [_, true]) => {
            let percent = violations.within(&percent_path, percent, 0, 100);
            Some(IntOrPercent::Percent(percent))
        }
        (_, [true, true]) => {
            violations.add(path, "must have a count or a percent");
            Some(IntOrPercent::Count(1))
        }
        (_, [true, false]) => {
            violations.add(count_path, "must be set, since the mask names it");
            Some(IntOrPercent::Count(1))
        }
        (_, [false, true]) => {
            violations.add(percent_path, "must be set, since the mask names it");
            Some(IntOrPercent::Count(1))
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

/// What a mask can name of a policy.
pub(crate) const PATHS: [&str; 19] = [
    "policy",
    "policy.progress_deadline",
    "policy.drain_grace",
    "policy.blue_green",
    "policy.blue_green.auto_promote",
    "policy.blue_green.promote_delay",
    "policy.blue_green.min_ready",
    "policy.blue_green.max_replacements",
    "policy.blue_green.scale_down_delay",
    "policy.blue_green.gate_timeout",
    "policy.blue_green.gate_timeout.duration",
    "policy.blue_green.gate_timeout.action",
    "policy.rolling_update",
    "policy.rolling_update.max_surge",
    "policy.rolling_update.max_surge.count",
    "policy.rolling_update.max_surge.percent",
    "policy.rolling_update.max_unavailable",
    "policy.rolling_update.max_unavailable.count",
    "policy.rolling_update.max_unavailable.percent",
];
/// The two strategies, as a mask names them.
pub(crate) const STRATEGIES: [&str; 2] = [BLUE_GREEN, ROLLING_UPDATE];
pub(crate) const BLUE_GREEN: &str = "policy.blue_green";
pub(crate) const ROLLING_UPDATE: &str = "policy.rolling_update";
const NO_ROOM_TO_ROLL: &str =
    "max_surge and max_unavailable cannot both be zero: nothing could move";

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn a_mask_can_name_all_of_a_policy() {
        let descriptors = FileDescriptorSet::decode(viridian_proto::FILE_DESCRIPTOR_SET);
        let descriptors = descriptors.expect("descriptors");
        let mut expected = vec!["policy".to_owned()];
        fields(&descriptors, "DeploymentPolicy", "policy", &mut expected);
        let mut paths = PATHS.map(str::to_owned);
        paths.sort();
        expected.sort();
        assert_eq!(paths.as_slice(), expected);
    }

    /// The paths of all fields below one. Durations are values, not messages.
    fn fields(files: &FileDescriptorSet, message: &str, path: &str, found: &mut Vec<String>) {
        let mut messages = files.file.iter().flat_map(|file| &file.message_type);
        let descriptor = messages.find(|it| it.name() == message);
        for field in &descriptor.expect(message).field {
            let path = format!("{path}.{}", field.name());
            if let Some(("viridian.deployment.v1", name)) = field
                .type_name()
                .trim_start_matches('.')
                .rsplit_once('.')
                .filter(|(_, name)| !name.ends_with("Action"))
            {
                fields(files, name, &path, found);
            }
            found.push(path);
        }
    }
}
