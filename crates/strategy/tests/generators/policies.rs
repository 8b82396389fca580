//! Random policies, with every field set.

use std::time::Duration;

use viridian_strategy::{
    BlueGreen, Canary, CanaryStep, GateAction, GateTimeout, IntOrPercent, Policy, RollingUpdate,
    Strategy,
};

use super::rng::Rng;

/// The strategies, without their settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StrategyKind {
    BlueGreen,
    Rolling,
    Canary,
}

/// The ranges of a policy's durations, in seconds.
pub(crate) struct PolicyRanges {
    pub(crate) progress_deadline: fn(&mut Rng) -> Duration,
    pub(crate) max_drain_grace: u64,
    pub(crate) max_unhealthy: u64,
    pub(crate) max_promote_delay: u64,
    pub(crate) max_hold: u64,
    pub(crate) max_min_ready: u64,
    pub(crate) max_scale_down_delay: u64,
    /// The first and the last.
    pub(crate) gate_timeout: (u64, u64),
}

/// Returns a policy that breaks no rule.
pub(crate) fn random_policy(
    rng: &mut Rng,
    ranges: &PolicyRanges,
    kind: impl Fn(&mut Rng) -> StrategyKind,
) -> Policy {
    loop {
        let policy = Policy {
            strategy: match kind(rng) {
                StrategyKind::BlueGreen => Strategy::BlueGreen(blue_green(rng, ranges)),
                StrategyKind::Rolling => Strategy::Rolling(rolling(rng)),
                StrategyKind::Canary => Strategy::Canary(canary(rng, ranges)),
            },
            progress_deadline: (ranges.progress_deadline)(rng),
            drain_grace: rng.setting(ranges.max_drain_grace),
            first_deadline: rng.one_in(2).then(|| (ranges.progress_deadline)(rng)),
            replace_unhealthy_after: rng.setting(ranges.max_unhealthy),
        };
        if policy.errors().is_empty() {
            return policy;
        }
    }
}

fn blue_green(rng: &mut Rng, ranges: &PolicyRanges) -> BlueGreen {
    let (first, last) = ranges.gate_timeout;
    BlueGreen {
        auto_promote: rng.one_in(2),
        promote_delay: rng.setting(ranges.max_promote_delay),
        min_ready: rng.setting(ranges.max_min_ready),
        max_replacements: (!rng.one_in(4)).then(|| rng.between_u32(0, 3)),
        ready_threshold: rng.one_in(4).then(|| threshold(rng)),
        scale_down_delay: rng.setting(ranges.max_scale_down_delay),
        gate_timeout: rng.one_in(2).then(|| GateTimeout {
            duration: rng.seconds(first, last),
            action: rng.pick(&[GateAction::Hold, GateAction::Rollback, GateAction::Promote]),
        }),
    }
}

fn canary(rng: &mut Rng, ranges: &PolicyRanges) -> Canary {
    let mut weights: Vec<u16> = (0..rng.between(1, 3))
        .map(|_| rng.pick(&[0, 1, 50, 100, 250, 333, 500, 800, 999]))
        .collect();
    weights.sort_unstable();
    weights.dedup();
    let steps = weights.into_iter().map(|weight_permille| CanaryStep {
        weight_permille,
        hold: rng.setting(ranges.max_hold),
        manual: rng.one_in(4),
        replicas: rng.one_in(4).then(|| threshold(rng)),
    });
    Canary {
        steps: steps.collect(),
        switch: BlueGreen {
            promote_delay: Duration::ZERO,
            ..blue_green(rng, ranges)
        },
    }
}

fn rolling(rng: &mut Rng) -> RollingUpdate {
    RollingUpdate {
        max_surge: amount(rng),
        max_unavailable: amount(rng),
    }
}

fn threshold(rng: &mut Rng) -> IntOrPercent {
    if rng.one_in(2) {
        IntOrPercent::Count(rng.between_u32(1, 3))
    } else {
        IntOrPercent::Percent(rng.between_u32(1, 100))
    }
}

fn amount(rng: &mut Rng) -> IntOrPercent {
    if rng.one_in(2) {
        IntOrPercent::Count(rng.between_u32(0, 3))
    } else {
        IntOrPercent::Percent(rng.between_u32(0, 100))
    }
}
