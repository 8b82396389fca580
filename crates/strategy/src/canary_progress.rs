//! How far a canary has come, and where among its steps it is.

use std::fmt;

use crate::{Stopwatch, Timestamp};

/// How far a canary has come. In the other strategies it stays as at the begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanaryProgress {
    /// The step whose share green has, from 1; 0 before the first.
    pub step: u32,
    /// The step that green is brought up for: the present one while it is held, or a later one.
    /// More than there are is the promotion.
    pub towards: u32,
    /// The share of green that was asked for, in per mille; None before the first step. What
    /// proxies see is less while green is not ready.
    pub weight: Option<u16>,
    /// How many ready green have that share. With fewer it is smaller.
    pub scaled_for: u32,
    /// When green took its share, or the number of green that the step needs last changed. The
    /// hold counts from then on at the earliest.
    pub shared_at: Option<Timestamp>,
    /// Runs while the present step is held with all of its green ready.
    pub hold: Option<Stopwatch>,
    /// Whether a caller has ended the hold of the present step.
    pub advanced: bool,
}

/// A step among those of a canary. Displays as `step 2 of 3: 25 % to green`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepPlace {
    /// The number of the step, from 1.
    pub step: u32,
    /// How many there are.
    pub of: u32,
    /// The share of green that it asks for, in per mille.
    pub weight_permille: u16,
}

impl Default for CanaryProgress {
    fn default() -> Self {
        Self {
            step: 0,
            towards: 1,
            weight: None,
            scaled_for: 0,
            shared_at: None,
            hold: None,
            advanced: false,
        }
    }
}

impl fmt::Display for StepPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = f64::from(self.weight_permille) / 10.0;
        write!(f, "step {} of {}: {percent} % to green", self.step, self.of)
    }
}
