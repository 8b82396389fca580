//! The steps of a canary: what each needs, and their rules.

use crate::{
    Canary, CanaryProgress, CanaryStep, IntOrPercent, PolicyError, StepPlace,
    policy::check_duration,
};

/// The maximum number of steps of a canary.
pub const MAX_CANARY_STEPS: usize = 10;

/// The maximum share of a step, in per mille: all of the traffic is a promotion's.
const MAX_WEIGHT: u16 = 999;

impl Canary {
    /// What stands for the promotion among the steps: one more than the last.
    pub(super) fn end(&self) -> u32 {
        // At most 11.
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX - 1) + 1
    }

    /// A step, from 1. None for the promotion, and before the first.
    pub(super) fn step(&self, number: u32) -> Option<&CanaryStep> {
        self.steps.get(number.checked_sub(1)? as usize)
    }

    /// How many of `target` green a step needs, with the share in per mille that green has: never
    /// fewer than the steps before it.
    pub(super) fn needed(&self, number: u32, share: u16, target: u32) -> u32 {
        if number >= self.end() {
            return target;
        }
        let steps = self.steps.iter().take(number as usize);
        let needed = steps.map(|step| step.needed(target)).max();
        // The share stays when the policy asks for less, and so does what carries it.
        let carries = match self.step(number) {
            Some(CanaryStep { replicas: None, .. }) => part_of(target, share),
            _ => 0,
        };
        needed.unwrap_or(0).max(carries).min(target)
    }

    /// Where among the steps a canary is.
    pub(super) fn place(&self, canary: &CanaryProgress) -> StepPlace {
        let of = self.end() - 1;
        StepPlace {
            // The policy may have lost steps since.
            step: canary.step.min(of),
            of,
            weight_permille: canary.weight.unwrap_or(0),
        }
    }

    pub(super) fn check_steps(&self, errors: &mut Vec<PolicyError>) {
        if self.steps.is_empty() || self.steps.len() > MAX_CANARY_STEPS {
            errors.push(PolicyError::StepCount);
        }
        let mut before = None;
        for (index, step) in self.steps.iter().enumerate() {
            let path = |field| format!("canary.steps[{index}].{field}");
            if step.weight_permille > MAX_WEIGHT {
                errors.push(PolicyError::WeightTooLarge(path("weight_permille")));
            } else if before.is_some_and(|before| step.weight_permille <= before) {
                errors.push(PolicyError::WeightNotRising(path("weight_permille")));
            }
            before = before.max(Some(step.weight_permille));
            check_duration(&path("hold"), step.hold, errors);
            if let Some(replicas) = step.replicas {
                replicas.check(&path("replicas"), errors);
                if replicas.is_zero() {
                    errors.push(PolicyError::ReplicasZero(path("replicas")));
                }
            }
        }
    }
}

impl CanaryStep {
    /// How many of `target` green it asks for: at least one; a share and a percentage round up.
    fn needed(&self, target: u32) -> u32 {
        let asked = match self.replicas {
            None => part_of(target, self.weight_permille),
            Some(IntOrPercent::Count(count)) => count,
            Some(IntOrPercent::Percent(percent)) => (target * percent.min(100)).div_ceil(100),
        };
        asked.max(1)
    }
}

/// A share of `target`, rounded up.
fn part_of(target: u32, permille: u16) -> u32 {
    // At most 1,000 times 1,000.
    (target * u32::from(permille)).div_ceil(1_000)
}
