//! A rollout and its clocks.

use std::time::Duration;

use crate::{CanaryProgress, Policy, RevisionId, Stopwatch, Timestamp};

/// The deployment of one revision over another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// The revision that serves: blue.
    pub current: RevisionId,
    /// The revision that is being deployed: green.
    pub deploying: RevisionId,
    /// Whether it leads forward or back.
    pub kind: RolloutKind,
    /// The present step.
    pub step: RolloutStep,
    /// Whether the deployment has never been READY: then a roll-back ends PENDING again.
    pub from_pending: bool,
    /// The number of its activation. Only failures of routes that were created in it
    /// count.
    pub activation: i64,
    /// When it began.
    pub since: Timestamp,
    /// Runs while fewer than all green are ready, against the progress deadline.
    pub progress: Stopwatch,
    /// The most green that were ready at once. One more is progress.
    pub best_ready: u32,
    /// How long all green have been ready; None unless all are.
    pub steady: Option<SteadyPeriod>,
    /// When it began or was last resumed. Routes that became ready during a pause
    /// count from here.
    pub resumed_at: Timestamp,
    /// How far a canary has come.
    pub canary: CanaryProgress,
}

/// Whether a rollout leads forward or back. It is a fact of the rollout, and not of the
/// policy: a server that starts again has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutKind {
    /// An activation.
    Forward,
    /// A roll-back whose routes were not kept, or too few of them.
    Back {
        /// Whether the gates of the policy count all the same.
        gated: bool,
    },
}

/// How long all green have been ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SteadyPeriod {
    /// The latest change of status or health among them, where the time starts.
    pub settled_at: Timestamp,
    /// Runs since then, against `min_ready` and `promote_delay`.
    pub watch: Stopwatch,
}

/// A step of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutStep {
    /// Green is being created and checked.
    Provisioning,
    /// Green is ready; a gate is closed.
    AwaitingPromotion {
        /// Runs at the gate, against its timeout.
        gate: Stopwatch,
    },
    /// A canary: green has its share, and the step is held.
    Shifting {
        /// Runs while the step waits for someone, against the gate's timeout.
        gate: Option<Stopwatch>,
    },
    /// Going back to the current revision.
    RollingBack,
}

impl RolloutStep {
    /// The clock of the gate that waits for someone.
    pub fn gate(&self) -> Option<Stopwatch> {
        match *self {
            Self::AwaitingPromotion { gate } => Some(gate),
            Self::Shifting { gate } => gate,
            Self::Provisioning | Self::RollingBack => None,
        }
    }
}

impl RolloutKind {
    pub(crate) fn is_back(self) -> bool {
        matches!(self, Self::Back { .. })
    }
}

impl Rollout {
    /// Begins the rollout of an activation now.
    pub fn new(
        current: RevisionId,
        deploying: RevisionId,
        activation: i64,
        now: Timestamp,
    ) -> Self {
        Self {
            current,
            deploying,
            kind: RolloutKind::Forward,
            step: RolloutStep::Provisioning,
            from_pending: false,
            activation,
            since: now,
            progress: Stopwatch::started(now),
            best_ready: 0,
            steady: None,
            resumed_at: now,
            canary: CanaryProgress::default(),
        }
    }

    /// Whether no gate delays it once green is ready for long enough.
    pub(crate) fn is_ungated(&self) -> bool {
        self.kind == RolloutKind::Back { gated: false }
    }

    /// Both revisions: blue and green.
    pub(crate) fn revisions(&self) -> [RevisionId; 2] {
        [self.current, self.deploying]
    }

    /// The same with its clocks stopped.
    pub(crate) fn standing_still(self, now: Timestamp) -> Self {
        Self {
            progress: self.progress.stopped(now),
            ..self.with_waits(|watch| watch.stopped(now))
        }
    }

    /// The same with the clocks running that [`Self::standing_still`] stopped.
    pub(crate) fn going_on(self, now: Timestamp) -> Self {
        Self {
            progress: match self.steady {
                // All green are ready: the deadline stands still anyway.
                Some(_) => self.progress,
                None => self.progress.running(now),
            },
            resumed_at: now,
            ..self.with_waits(|watch| watch.running(now))
        }
    }

    /// The same, going back to the current revision.
    pub(crate) fn turned_back(self) -> Self {
        Self {
            step: RolloutStep::RollingBack,
            ..self
        }
    }

    /// Restarts the deadline if more are ready than ever before.
    pub(crate) fn progressed(self, ready: u32, target: u32, now: Timestamp) -> Self {
        // After scaling down and up again the new routes are progress too.
        let best = self.best_ready.min(target);
        Self {
            progress: if ready > best {
                Stopwatch::started(now)
            } else {
                self.progress
            },
            best_ready: best.max(ready),
            ..self
        }
    }

    /// All green are ready: stops the deadline, and times the waits of ready green
    /// from their latest change.
    pub(crate) fn steady(self, settled_at: Timestamp, now: Timestamp) -> (Self, Stopwatch) {
        let watch = match self.steady {
            Some(steady) if steady.settled_at == settled_at => steady.watch.running(now),
            // A route changed in between, so that the waits start over.
            _ => Stopwatch::started(settled_at.max(self.resumed_at)),
        };
        let rollout = Self {
            progress: self.progress.stopped(now),
            steady: Some(SteadyPeriod { settled_at, watch }),
            ..self
        };
        (rollout, watch)
    }

    /// The target is 0: nothing is awaited, and no clock runs until it is raised.
    pub(crate) fn without_replicas(self, now: Timestamp) -> Self {
        Self {
            progress: self.progress.stopped(now),
            steady: None,
            ..self
        }
    }

    /// The same with the deadline running, which [`Self::without_replicas`] may have stopped.
    pub(crate) fn with_replicas(self, now: Timestamp) -> Self {
        Self {
            progress: self.progress.running(now),
            ..self
        }
    }

    /// Some green are not ready: runs the deadline. It starts from zero if all had
    /// been ready for as long as the deadline is.
    pub(crate) fn unsteady(self, policy: &Policy, now: Timestamp) -> Self {
        // Without this, short failures days apart would add up to the deadline.
        let recovered = self
            .steady
            .and_then(|steady| steady.watch.reaches(policy.progress_deadline))
            .is_some_and(|at| at <= now);
        Self {
            progress: if recovered {
                Stopwatch::started(now)
            } else {
                self.progress.running(now)
            },
            steady: None,
            ..self
        }
    }

    /// The clock of the promotion's gate; a new one if the gate has only now been reached.
    pub(crate) fn gate_clock(&self, now: Timestamp) -> Stopwatch {
        match self.step {
            RolloutStep::AwaitingPromotion { gate } => gate.running(now),
            _ => Stopwatch::started(now),
        }
    }

    /// The clock of a canary's step that waits for someone; a new one if it waits only now.
    pub(crate) fn step_clock(&self, now: Timestamp) -> Stopwatch {
        match self.step {
            RolloutStep::Shifting { gate: Some(gate) } => gate.running(now),
            _ => Stopwatch::started(now),
        }
    }

    /// The latest of its times.
    pub(crate) fn latest_time(&self) -> Timestamp {
        let gate = self.step.gate().and_then(|gate| gate.since);
        let hold = self.canary.hold.and_then(|hold| hold.since);
        let steady = self.steady.map(|steady| steady.settled_at);
        let steady_watch = self.steady.and_then(|steady| steady.watch.since);
        let shared = self.canary.shared_at;
        let perhaps = [
            gate,
            hold,
            shared,
            steady,
            steady_watch,
            self.progress.since,
        ];
        let always = self.since.max(self.resumed_at);
        perhaps.into_iter().flatten().fold(always, Timestamp::max)
    }

    /// Moves all of its times back.
    pub(crate) fn move_times_back(&mut self, by: Duration) {
        self.since = self.since - by;
        self.resumed_at = self.resumed_at - by;
        self.progress = self.progress.moved_back(by);
        if let Some(SteadyPeriod { settled_at, .. }) = &mut self.steady {
            *settled_at = *settled_at - by;
        }
        if let Some(shared_at) = &mut self.canary.shared_at {
            *shared_at = *shared_at - by;
        }
        *self = self.with_waits(|watch| watch.moved_back(by));
    }

    /// The same with the watches of ready green changed.
    fn with_waits(self, change: impl Fn(Stopwatch) -> Stopwatch) -> Self {
        Self {
            step: match self.step {
                RolloutStep::AwaitingPromotion { gate } => {
                    RolloutStep::AwaitingPromotion { gate: change(gate) }
                }
                RolloutStep::Shifting { gate } => RolloutStep::Shifting {
                    gate: gate.map(&change),
                },
                step @ (RolloutStep::Provisioning | RolloutStep::RollingBack) => step,
            },
            canary: CanaryProgress {
                hold: self.canary.hold.map(&change),
                ..self.canary
            },
            steady: self.steady.map(|steady| SteadyPeriod {
                watch: change(steady.watch),
                ..steady
            }),
            ..self
        }
    }
}
