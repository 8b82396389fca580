//! How far a canary has come.

use std::fmt;

use crate::{Rollout, RolloutStep, SteadyPeriod, Stopwatch, Timestamp};

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

impl CanaryProgress {
    /// The same, brought up for the promotion at once.
    pub(super) fn towards_the_end(self, end: u32) -> Self {
        Self {
            towards: self.towards.max(end),
            ..self
        }
    }

    /// The same, with the clock of the hold as of now. `needed` are the green of the present
    /// step, `before` is how long they were ready at the look before.
    pub(super) fn timed(
        self,
        needed: u32,
        before: Option<SteadyPeriod>,
        rollout: &Rollout,
        now: Timestamp,
    ) -> Self {
        let ready = rollout.steady;
        let scaled_for = match self.weight {
            None => 0,
            // More share it only once all of them are ready, or the share would fall.
            Some(_) if needed > self.scaled_for && ready.is_none() => self.scaled_for,
            Some(_) => needed,
        };
        let is_same = scaled_for == self.scaled_for;
        let shared_at = match self.shared_at {
            Some(_) if !is_same => Some(now),
            at => at,
        };
        let hold = ready.filter(|_| self.step == self.towards).map(|steady| {
            let same = before.is_some_and(|it| it.settled_at == steady.settled_at);
            match self.hold.filter(|_| same && is_same) {
                Some(hold) => hold.running(now),
                // One of them was not ready for a while.
                None => {
                    let since = steady.settled_at.max(rollout.resumed_at);
                    Stopwatch::started(since.max(shared_at.unwrap_or(now)))
                }
            }
        });
        Self {
            scaled_for,
            shared_at,
            hold,
            ..self
        }
    }

    /// The same with the share of the step that green was brought up for.
    pub(super) fn risen(self, weight: u16, scaled_for: u32, now: Timestamp) -> Self {
        Self {
            step: self.towards,
            // A policy that was changed may ask for less: within a rollout it only rises.
            weight: self.weight.max(Some(weight)),
            scaled_for,
            shared_at: Some(now),
            hold: Some(Stopwatch::started(now)),
            advanced: false,
            ..self
        }
    }
}

impl Rollout {
    /// The same, bringing green up for a later step with the whole deadline.
    pub(super) fn towards(self, step: u32, now: Timestamp) -> Self {
        Self {
            step: RolloutStep::Shifting { gate: None },
            progress: Stopwatch::started(now),
            // Or a long hold would look like a recovery, and start the deadline once more.
            steady: None,
            canary: CanaryProgress {
                towards: step,
                hold: None,
                advanced: false,
                ..self.canary
            },
            ..self
        }
    }
}

impl fmt::Display for StepPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = f64::from(self.weight_permille) / 10.0;
        write!(f, "step {} of {}: {percent} % to green", self.step, self.of)
    }
}
