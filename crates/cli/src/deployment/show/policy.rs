//! A policy, on one line.

use prost_types::Duration;
use viridian_proto::v1::{
    BlueGreenSpec, CanarySpec, CanaryStep, DeploymentPolicy, GateTimeout, GateTimeoutAction,
    IntOrPercent, deployment_policy::Strategy, int_or_percent::Value,
};

use crate::{duration, permille};

/// The settings of a policy that have an effect.
pub(super) fn policy(policy: Option<&DeploymentPolicy>) -> String {
    let Some(policy) = policy else {
        return "default".to_owned();
    };
    let mut words = match &policy.strategy {
        Some(Strategy::BlueGreen(spec)) => blue_green(spec),
        Some(Strategy::Canary(spec)) => canary(spec),
        Some(Strategy::RollingUpdate(spec)) => vec![
            "rolling".to_owned(),
            format!("max surge {}", amount(spec.max_surge.as_ref())),
            format!("max unavailable {}", amount(spec.max_unavailable.as_ref())),
        ],
        None => vec!["default".to_owned()],
    };
    words.extend(time("progress deadline", policy.progress_deadline.as_ref()));
    words.extend(time("drain grace", policy.drain_grace.as_ref()));
    words.extend(time("first deadline", policy.first_deadline.as_ref()));
    words.extend(time(
        "replace unhealthy after",
        policy.replace_unhealthy_after.as_ref(),
    ));
    words.join(", ")
}

fn blue_green(spec: &BlueGreenSpec) -> Vec<String> {
    let mut words = vec!["blue-green".to_owned(), promotion(spec.auto_promote)];
    words.extend(time("promote delay", spec.promote_delay.as_ref()));
    words.extend(switch(&SwitchSettings {
        min_ready: spec.min_ready.as_ref(),
        max_replacements: spec.max_replacements,
        ready_threshold: spec.ready_threshold.as_ref(),
        scale_down_delay: spec.scale_down_delay.as_ref(),
        gate_timeout: spec.gate_timeout.as_ref(),
    }));
    words
}

fn canary(spec: &CanarySpec) -> Vec<String> {
    let steps: Vec<_> = spec.steps.iter().map(step).collect();
    let mut words = vec![
        format!("canary {}", steps.join(" → ")),
        promotion(spec.auto_promote),
    ];
    words.extend(switch(&SwitchSettings {
        min_ready: spec.min_ready.as_ref(),
        max_replacements: spec.max_replacements,
        ready_threshold: spec.ready_threshold.as_ref(),
        scale_down_delay: spec.scale_down_delay.as_ref(),
        gate_timeout: spec.gate_timeout.as_ref(),
    }));
    words
}

fn promotion(is_automatic: bool) -> String {
    match is_automatic {
        true => "automatic promotion".to_owned(),
        false => "manual promotion".to_owned(),
    }
}

/// What the two strategies share that switch at a gate.
struct SwitchSettings<'a> {
    min_ready: Option<&'a Duration>,
    max_replacements: Option<i32>,
    ready_threshold: Option<&'a IntOrPercent>,
    scale_down_delay: Option<&'a Duration>,
    gate_timeout: Option<&'a GateTimeout>,
}

fn switch(settings: &SwitchSettings<'_>) -> Vec<String> {
    let replacements = settings.max_replacements;
    let threshold = settings.ready_threshold;
    let words = [
        time("min ready", settings.min_ready),
        replacements.map(|count| format!("max replacements {count}")),
        threshold.map(|it| format!("ready threshold {}", amount(Some(it)))),
        time("scale-down delay", settings.scale_down_delay),
        settings.gate_timeout.map(gate_timeout),
    ];
    words.into_iter().flatten().collect()
}

/// A step, like `25 % for 10m until advanced`.
pub(super) fn step(step: &CanaryStep) -> String {
    let mut words = permille::to_words(step.weight_permille);
    if let Some(hold) = step
        .hold
        .as_ref()
        .filter(|it| it.seconds != 0 || it.nanos != 0)
    {
        words.push_str(&format!(" for {}", duration::from_wire(hold)));
    }
    if let Some(replicas) = &step.replicas {
        words.push_str(&format!(" on {} replicas", amount(Some(replicas))));
    }
    if step.manual {
        words.push_str(" until advanced");
    }
    words
}

fn gate_timeout(timeout: &GateTimeout) -> String {
    let action = match timeout.action() {
        GateTimeoutAction::Rollback => "roll back",
        GateTimeoutAction::Promote => "promote",
        GateTimeoutAction::Hold | GateTimeoutAction::Unspecified => "hold",
    };
    let after = timeout.duration.as_ref().map(duration::from_wire);
    format!("{action} after {} at the gate", after.unwrap_or_default())
}

/// A duration with its name, unless it is zero.
fn time(name: &str, duration: Option<&Duration>) -> Option<String> {
    let some = duration.filter(|it| it.seconds != 0 || it.nanos != 0)?;
    Some(format!("{name} {}", duration::from_wire(some)))
}

fn amount(amount: Option<&IntOrPercent>) -> String {
    match amount.and_then(|it| it.value) {
        Some(Value::Count(count)) => count.to_string(),
        Some(Value::Percent(percent)) => format!("{percent}%"),
        None => "default".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{GateTimeout, RollingUpdateSpec};

    use super::*;

    fn seconds(seconds: i64) -> Option<Duration> {
        Some(Duration { seconds, nanos: 0 })
    }

    #[test]
    fn settings_without_effect_are_left_out() {
        let mut timeout = GateTimeout {
            duration: seconds(3_600),
            ..GateTimeout::default()
        };
        timeout.set_action(GateTimeoutAction::Rollback);
        let spec = BlueGreenSpec {
            auto_promote: true,
            promote_delay: seconds(30),
            min_ready: seconds(10),
            max_replacements: Some(2),
            ready_threshold: Some(IntOrPercent {
                value: Some(Value::Percent(80)),
            }),
            scale_down_delay: seconds(300),
            gate_timeout: Some(timeout),
        };
        let full = DeploymentPolicy {
            strategy: Some(Strategy::BlueGreen(spec)),
            progress_deadline: seconds(600),
            drain_grace: seconds(0),
            first_deadline: seconds(900),
            replace_unhealthy_after: seconds(120),
        };
        assert_eq!(
            policy(Some(&full)),
            "blue-green, automatic promotion, promote delay 30s, min ready 10s, \
             max replacements 2, ready threshold 80%, scale-down delay 5m, roll back after 1h at the gate, \
             progress deadline 10m, first deadline 15m, replace unhealthy after 2m"
        );
        let rolling = RollingUpdateSpec {
            max_surge: Some(IntOrPercent {
                value: Some(Value::Percent(25)),
            }),
            max_unavailable: None,
        };
        let rolling = DeploymentPolicy {
            strategy: Some(Strategy::RollingUpdate(rolling)),
            ..DeploymentPolicy::default()
        };
        assert_eq!(
            policy(Some(&rolling)),
            "rolling, max surge 25%, max unavailable default"
        );
    }
}
