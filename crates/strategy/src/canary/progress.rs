//! How a canary comes on.

use crate::{CanaryProgress, Rollout, RolloutStep, SteadyPeriod, Stopwatch, Timestamp};

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
