//! The settings of a canary, from and to the wire.

use std::time::Duration;

use viridian_proto::v1;
use viridian_strategy::{Canary, CanaryStep, MAX_CANARY_STEPS};

use super::{
    super::{
        Violations,
        time::{duration, parse_duration},
    },
    blue_green, int_or_percent, parse_int_or_percent, parse_switch,
};

/// A canary from the wire. Without steps it has the one that does no harm: 5 % of the traffic
/// for ten minutes.
pub(super) fn parse_canary(wire: &v1::CanarySpec, violations: &mut Violations) -> Canary {
    let steps = wire.steps.iter().enumerate();
    let steps = steps.map(|(index, step)| parse_step(index, step, violations));
    let mut steps: Vec<CanaryStep> = steps.collect();
    if steps.is_empty() {
        steps.push(DEFAULT_STEP);
    }
    let switch = v1::BlueGreenSpec {
        auto_promote: wire.auto_promote,
        promote_delay: None,
        min_ready: wire.min_ready,
        max_replacements: wire.max_replacements,
        scale_down_delay: wire.scale_down_delay,
        gate_timeout: wire.gate_timeout,
        ready_threshold: wire.ready_threshold,
    };
    Canary {
        steps,
        switch: parse_switch("canary", &switch, violations),
    }
}

fn parse_step(index: usize, wire: &v1::CanaryStep, violations: &mut Violations) -> CanaryStep {
    let path = |field: &str| format!("policy.canary.steps[{index}].{field}");
    let weight = u16::try_from(wire.weight_permille).ok();
    let weight_permille = weight.filter(|&weight| weight < 1_000).unwrap_or_else(|| {
        violations.add(path("weight_permille"), WEIGHT_RANGE);
        // A stand-in that breaks no other rule of the caller's: it rises with the place.
        u16::try_from(index).unwrap_or(u16::MAX)
    });
    CanaryStep {
        weight_permille,
        hold: parse_duration(
            &path("hold"),
            wire.hold.as_ref(),
            Duration::ZERO,
            violations,
        ),
        manual: wire.manual,
        replicas: wire
            .replicas
            .as_ref()
            .map(|replicas| parse_int_or_percent(&path("replicas"), replicas, violations)),
    }
}

/// A canary, to the wire.
pub(super) fn canary(spec: &Canary) -> v1::CanarySpec {
    let v1::BlueGreenSpec {
        auto_promote,
        promote_delay: _,
        min_ready,
        max_replacements,
        scale_down_delay,
        gate_timeout,
        ready_threshold,
    } = blue_green(&spec.switch);
    let steps = spec.steps.iter().map(|step| v1::CanaryStep {
        weight_permille: i32::from(step.weight_permille),
        hold: Some(duration(step.hold)),
        manual: step.manual,
        replicas: step.replicas.map(int_or_percent),
    });
    v1::CanarySpec {
        steps: steps.collect(),
        auto_promote,
        min_ready,
        max_replacements,
        scale_down_delay,
        gate_timeout,
        ready_threshold,
    }
}

pub(super) const WEIGHT_RANGE: &str = "must be 0 to 999";

/// As Argo's users do it, and no more than one in twenty at first.
const DEFAULT_STEP: CanaryStep = CanaryStep {
    weight_permille: 50,
    hold: Duration::from_secs(600),
    manual: false,
    replicas: None,
};

/// The step that a caller has seen, if it says one. 0 is before the first.
pub(crate) fn parse_expected_step(step: Option<i32>, violations: &mut Violations) -> Option<u32> {
    let most = u32::try_from(MAX_CANARY_STEPS).unwrap_or(u32::MAX);
    step.map(|step| violations.within("expected_step", step, 0, most))
}
