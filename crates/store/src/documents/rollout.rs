//! What a rollout has besides its revisions, its sub-step, the number of its activation and
//! the step and weight of a canary, which are columns.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use viridian_strategy::{
    CanaryProgress, RevisionId, Rollout, RolloutKind, RolloutStep, SteadyPeriod, Stopwatch, SubStep,
};

use super::{Micros, Persisted};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct RolloutDocument {
    since: Micros,
    progress: StopwatchDocument,
    best_ready: u32,
    // Earlier programs wrote neither this nor `resumed_at`: a rollout of theirs goes on without.
    #[serde(default)]
    steady: Option<SteadyDocument>,
    #[serde(default)]
    resumed_at: Micros,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    from_pending: bool,
    gate: Option<StopwatchDocument>,
    // Of a roll-back only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    way_back: Option<WayBackDocument>,
    // Of a canary only, from its first look on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canary: Option<CanaryProgressDocument>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct CanaryProgressDocument {
    towards: u32,
    scaled_for: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shared_at: Option<Micros>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold: Option<StopwatchDocument>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    advanced: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct WayBackDocument {
    gated: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct SteadyDocument {
    settled_at: Micros,
    watch: StopwatchDocument,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct StopwatchDocument {
    spent: Duration,
    since: Option<Micros>,
}

impl RolloutDocument {
    /// The rollout, with what its columns say.
    pub(crate) fn rollout(
        self,
        current: RevisionId,
        deploying: RevisionId,
        sub_step: SubStep,
        activation: i64,
        (step, weight): (u32, Option<u16>),
    ) -> Rollout {
        Rollout {
            current,
            deploying,
            kind: WayBackDocument::kind(self.way_back),
            step: match sub_step {
                SubStep::Provisioning => RolloutStep::Provisioning,
                SubStep::AwaitingPromotion => RolloutStep::AwaitingPromotion {
                    gate: self.gate.map(Into::into).unwrap_or_default(),
                },
                SubStep::Shifting => RolloutStep::Shifting {
                    gate: self.gate.map(Into::into),
                },
                SubStep::RollingBack => RolloutStep::RollingBack,
            },
            from_pending: self.from_pending,
            activation,
            since: self.since.into(),
            progress: self.progress.into(),
            best_ready: self.best_ready,
            steady: self.steady.map(Into::into),
            resumed_at: self.resumed_at.into(),
            canary: CanaryProgressDocument::progress(self.canary, step, weight),
        }
    }
}

impl From<&Rollout> for RolloutDocument {
    fn from(rollout: &Rollout) -> Self {
        let Rollout {
            current: _,
            deploying: _,
            kind,
            step,
            from_pending,
            activation: _,
            since,
            progress,
            best_ready,
            steady,
            resumed_at,
            canary,
        } = *rollout;
        Self {
            since: since.into(),
            progress: progress.into(),
            best_ready,
            steady: steady.map(Into::into),
            resumed_at: resumed_at.into(),
            from_pending,
            gate: step.gate().map(Into::into),
            way_back: WayBackDocument::of(kind),
            canary: CanaryProgressDocument::of(canary),
        }
    }
}

impl CanaryProgressDocument {
    pub(super) fn of(progress: CanaryProgress) -> Option<Self> {
        let CanaryProgress {
            step: _,
            towards,
            weight: _,
            scaled_for,
            shared_at,
            hold,
            advanced,
        } = progress;
        // In the other strategies nothing is written, and rows stay as they were.
        (progress != CanaryProgress::default()).then(|| Self {
            towards,
            scaled_for,
            shared_at: shared_at.map(Into::into),
            hold: hold.map(Into::into),
            advanced,
        })
    }

    pub(super) fn progress(
        document: Option<Self>,
        step: u32,
        weight: Option<u16>,
    ) -> CanaryProgress {
        document.map_or_else(CanaryProgress::default, |document| CanaryProgress {
            step,
            towards: document.towards,
            weight,
            scaled_for: document.scaled_for,
            shared_at: document.shared_at.map(Into::into),
            hold: document.hold.map(Into::into),
            advanced: document.advanced,
        })
    }
}

impl WayBackDocument {
    pub(super) fn of(kind: RolloutKind) -> Option<Self> {
        match kind {
            RolloutKind::Forward => None,
            RolloutKind::Back { gated } => Some(Self { gated }),
        }
    }

    pub(super) fn kind(document: Option<Self>) -> RolloutKind {
        match document {
            None => RolloutKind::Forward,
            Some(Self { gated }) => RolloutKind::Back { gated },
        }
    }
}

impl Persisted for RolloutDocument {
    type Written<'a> = &'a Self;
    type Read = Self;
}

impl Persisted for StopwatchDocument {
    type Written<'a> = &'a Self;
    type Read = Self;
}

impl From<SteadyPeriod> for SteadyDocument {
    fn from(SteadyPeriod { settled_at, watch }: SteadyPeriod) -> Self {
        Self {
            settled_at: settled_at.into(),
            watch: watch.into(),
        }
    }
}

impl From<SteadyDocument> for SteadyPeriod {
    fn from(document: SteadyDocument) -> Self {
        Self {
            settled_at: document.settled_at.into(),
            watch: document.watch.into(),
        }
    }
}

impl From<Stopwatch> for StopwatchDocument {
    fn from(Stopwatch { spent, since }: Stopwatch) -> Self {
        Self {
            spent,
            since: since.map(Into::into),
        }
    }
}

impl From<StopwatchDocument> for Stopwatch {
    fn from(document: StopwatchDocument) -> Self {
        Self {
            spent: document.spent,
            since: document.since.map(Into::into),
        }
    }
}
