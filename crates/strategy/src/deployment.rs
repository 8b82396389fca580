//! A deployment as the decision sees it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{RevisionId, Timestamp};

/// What is asked of a deployment, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Where it is.
    pub state: State,
    /// How many routes ought to serve.
    pub target_replicas: u32,
    /// Whether nothing may move.
    pub paused: bool,
    /// When the current revision was activated: its older failures count no
    /// more.
    pub current_since: Timestamp,
}

/// Where a deployment is. Each state owns only what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Has never served; idle without a revision.
    Pending {
        /// What is to serve.
        current: Option<RevisionId>,
    },
    /// The current revision serves.
    Ready {
        /// What serves.
        current: RevisionId,
    },
    /// A revision is brought up beside the current one.
    Deploying(Rollout),
    /// Its routes are drained.
    Destroying {
        /// What served last.
        current: Option<RevisionId>,
    },
    /// A tombstone.
    Destroyed {
        /// What served last.
        current: Option<RevisionId>,
    },
}

/// One revision on its way to replace another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// What serves: blue.
    pub current: RevisionId,
    /// What is to serve: green.
    pub deploying: RevisionId,
    /// How far it is.
    pub step: Step,
    /// When it began: older failures of the revision do not count.
    pub since: Timestamp,
    /// Runs while fewer than all green are ready, against the progress deadline.
    pub progress: Stopwatch,
    /// The most green that were ready at once; one more is progress.
    pub best_ready: u32,
}

/// How far a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Green is created and checked.
    Provisioning,
    /// Green is ready; a gate is closed.
    AwaitingPromotion {
        /// Runs at the gate, against its timeout.
        gate: Stopwatch,
    },
    /// Going back to the current revision.
    RollingBack,
}

/// Measures the time that counts: it can be stopped and goes on later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopwatch {
    /// What it had measured when it was last stopped.
    pub spent: Duration,
    /// Since when it runs; stopped when there is none.
    pub since: Option<Timestamp>,
}

impl Stopwatch {
    /// One that starts at zero, now.
    pub fn started(now: Timestamp) -> Self {
        Self {
            spent: Duration::ZERO,
            since: Some(now),
        }
    }

    /// The same, running.
    pub fn running(self, now: Timestamp) -> Self {
        Self {
            since: Some(self.since.unwrap_or(now)),
            ..self
        }
    }

    /// The same, stopped.
    pub fn stopped(self, now: Timestamp) -> Self {
        let more = self.since.map_or(Duration::ZERO, |since| now.since(since));
        Self {
            spent: self.spent.saturating_add(more),
            since: None,
        }
    }

    /// When it will have measured `limit`; never while it is stopped.
    pub fn reaches(self, limit: Duration) -> Option<Timestamp> {
        Some(self.since? + limit.saturating_sub(self.spent))
    }
}

impl Rollout {
    /// One that begins now.
    pub fn new(current: RevisionId, deploying: RevisionId, now: Timestamp) -> Self {
        Self {
            current,
            deploying,
            step: Step::Provisioning,
            since: now,
            progress: Stopwatch::started(now),
            best_ready: 0,
        }
    }
}

/// The stage of a deployment's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Lifecycle {
    /// Has never served.
    Pending,
    /// Serves.
    Ready,
    /// A revision is on its way.
    Deploying,
    /// Its routes are drained.
    Destroying,
    /// A tombstone.
    Destroyed,
}

/// The step within DEPLOYING.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SubStep {
    /// Green is created and checked.
    Provisioning,
    /// Green is ready; a gate is closed.
    AwaitingPromotion,
    /// Going back to the current revision.
    RollingBack,
}

impl State {
    /// The stage.
    pub fn lifecycle(&self) -> Lifecycle {
        match self {
            Self::Pending { .. } => Lifecycle::Pending,
            Self::Ready { .. } => Lifecycle::Ready,
            Self::Deploying(_) => Lifecycle::Deploying,
            Self::Destroying { .. } => Lifecycle::Destroying,
            Self::Destroyed { .. } => Lifecycle::Destroyed,
        }
    }

    /// The step, exactly while DEPLOYING.
    pub fn sub_step(&self) -> Option<SubStep> {
        match self {
            Self::Deploying(rollout) => Some(match rollout.step {
                Step::Provisioning => SubStep::Provisioning,
                Step::AwaitingPromotion { .. } => SubStep::AwaitingPromotion,
                Step::RollingBack => SubStep::RollingBack,
            }),
            _ => None,
        }
    }

    /// The revision that serves, or is to serve.
    pub fn current(&self) -> Option<RevisionId> {
        match *self {
            Self::Pending { current }
            | Self::Destroying { current }
            | Self::Destroyed { current } => current,
            Self::Ready { current } => Some(current),
            Self::Deploying(rollout) => Some(rollout.current),
        }
    }

    /// The rollout, exactly while DEPLOYING.
    pub fn rollout(&self) -> Option<&Rollout> {
        match self {
            Self::Deploying(rollout) => Some(rollout),
            _ => None,
        }
    }

    /// The revision on its way, exactly while DEPLOYING.
    pub fn deploying(&self) -> Option<RevisionId> {
        self.rollout().map(|rollout| rollout.deploying)
    }

    /// The same with its clocks stopped. They go on at the next evaluation that
    /// needs them.
    pub(crate) fn standing_still(self, now: Timestamp) -> Self {
        let Self::Deploying(rollout) = self else {
            return self;
        };
        let step = match rollout.step {
            Step::AwaitingPromotion { gate } => Step::AwaitingPromotion {
                gate: gate.stopped(now),
            },
            step @ (Step::Provisioning | Step::RollingBack) => step,
        };
        Self::Deploying(Rollout {
            step,
            progress: rollout.progress.stopped(now),
            ..rollout
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopwatch_counts_only_while_it_runs() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let watch = Stopwatch::started(at(0)).stopped(at(10)).running(at(100));
        assert_eq!(watch.reaches(Duration::from_secs(15)), Some(at(105)));
        assert_eq!(
            watch.stopped(at(101)).reaches(Duration::from_secs(15)),
            None
        );
        assert_eq!(watch.stopped(at(101)).spent, Duration::from_secs(11));
    }
}
