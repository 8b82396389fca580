//! Why a deployment waits.

mod sentence;

use std::time::Duration;

use arrayvec::ArrayVec;

use crate::{GateAction, StepPlace, Timestamp};

/// Everything that a deployment waits for at one time.
pub type Blockers = ArrayVec<Blocker, 12>;

/// One thing that a deployment waits for. Displays as a sentence for an
/// operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// Some green have yet to be created.
    GreenMissing {
        /// How many are missing.
        missing: u32,
        /// How many are wanted.
        target: u32,
    },
    /// Some green are starting.
    GreenProvisioning {
        /// How many are starting.
        provisioning: u32,
        /// How many are ready.
        ready: u32,
        /// How many are wanted.
        target: u32,
    },
    /// Some green run, but are not healthy.
    GreenUnhealthy {
        /// How many are ready.
        ready: u32,
        /// How many are wanted.
        target: u32,
        /// Those that are not.
        unready: UnreadyRoutes,
    },
    /// Some green failed.
    GreenFailed {
        /// How many failed.
        failed: u32,
        /// How many are ready.
        ready: u32,
        /// How many are wanted.
        target: u32,
    },
    /// Failed green are no longer replaced.
    ReplacementsExhausted {
        /// How many were allowed.
        budget: u32,
    },
    /// All green are ready, but not for long enough.
    MinReady {
        /// When it will be long enough.
        until: Timestamp,
    },
    /// Someone must promote.
    ManualGate {
        /// How many green are ready.
        ready: u32,
        /// When the gate times out, and what happens then.
        timeout: Option<(Timestamp, GateAction)>,
    },
    /// The promotion's delay is not over.
    PromoteDelay {
        /// When it is.
        until: Timestamp,
    },
    /// A step of a canary is held.
    StepHold {
        /// Which.
        place: StepPlace,
        /// When the hold is over.
        until: Timestamp,
    },
    /// A step of a canary waits for someone to advance it.
    ManualStep {
        /// Which.
        place: StepPlace,
        /// When the gate times out, and what happens then.
        timeout: Option<(Timestamp, GateAction)>,
    },
    /// The deployment is paused.
    Paused,
    /// There is no revision to run.
    NoRevision,
    /// The target is 0: no route can show that the revision works.
    NoReplicas,
    /// Routes of the current revision are not ready.
    RoutesNotReady {
        /// How many are ready.
        ready: u32,
        /// How many are wanted.
        target: u32,
        /// How many are starting.
        provisioning: u32,
        /// Those that run and are not healthy.
        unready: UnreadyRoutes,
    },
    /// Routes keep failing; the next ones are created later.
    BackOff {
        /// How many failed in a row.
        failures: u32,
        /// When the next ones are created.
        until: Timestamp,
    },
    /// Routes are being taken away by their scheduler, and replaced.
    Evicted {
        /// How many.
        evicted: u32,
    },
    /// The deployment is being destroyed, and some of its routes have yet to end.
    Terminating {
        /// How many.
        left: u32,
    },
    /// Routes run, and their addresses were not reported.
    NoAddress {
        /// How many.
        count: u32,
        /// Since when the first of them runs.
        since: Timestamp,
    },
    /// Routes are HEALTHY by a report that is too old to decide on.
    HealthStale {
        /// How many.
        count: u32,
        /// The time of the oldest report.
        oldest: Timestamp,
        /// How long a reported health counts.
        ttl: Duration,
    },
    /// Routes of the current revision have yet to be replaced by new ones of it.
    Restarting {
        /// How many.
        left: u32,
        /// How many are wanted.
        target: u32,
    },
}

/// Routes that run without being healthy, by health: how many, and since when the
/// first of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnreadyRoutes {
    /// UNHEALTHY.
    pub unhealthy: Option<(u32, Timestamp)>,
    /// DEGRADED.
    pub degraded: Option<(u32, Timestamp)>,
    /// NOT_CHECKED.
    pub not_checked: Option<(u32, Timestamp)>,
}

/// A blocker's name for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each is the variant of Blocker with the same name; Terminating is what ends"
)]
pub enum BlockerCode {
    GreenMissing,
    GreenProvisioning,
    GreenUnhealthy,
    GreenFailed,
    MinReady,
    ManualGate,
    PromoteDelay,
    Paused,
    ReplacementsExhausted,
    NoRevision,
    RoutesNotReady,
    BackOff,
    Terminating,
    NoReplicas,
    NoAddress,
    HealthStale,
    Restarting,
    StepHold,
    ManualStep,
}

impl BlockerCode {
    /// The name for programs: `GREEN_MISSING`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GreenMissing => "GREEN_MISSING",
            Self::GreenProvisioning => "GREEN_PROVISIONING",
            Self::GreenUnhealthy => "GREEN_UNHEALTHY",
            Self::GreenFailed => "GREEN_FAILED",
            Self::MinReady => "MIN_READY",
            Self::ManualGate => "MANUAL_GATE",
            Self::PromoteDelay => "PROMOTE_DELAY",
            Self::Paused => "PAUSED",
            Self::ReplacementsExhausted => "REPLACEMENTS_EXHAUSTED",
            Self::NoRevision => "NO_REVISION",
            Self::RoutesNotReady => "ROUTES_NOT_READY",
            Self::BackOff => "BACK_OFF",
            Self::Terminating => "TERMINATING",
            Self::NoReplicas => "NO_REPLICAS",
            Self::NoAddress => "NO_ADDRESS",
            Self::HealthStale => "HEALTH_STALE",
            Self::Restarting => "RESTARTING",
            Self::StepHold => "STEP_HOLD",
            Self::ManualStep => "MANUAL_STEP",
        }
    }
}

impl Blocker {
    /// Its name for programs.
    pub fn code(&self) -> BlockerCode {
        match self {
            Self::GreenMissing { .. } => BlockerCode::GreenMissing,
            Self::GreenProvisioning { .. } => BlockerCode::GreenProvisioning,
            Self::GreenUnhealthy { .. } => BlockerCode::GreenUnhealthy,
            Self::GreenFailed { .. } => BlockerCode::GreenFailed,
            Self::MinReady { .. } => BlockerCode::MinReady,
            Self::ManualGate { .. } => BlockerCode::ManualGate,
            Self::PromoteDelay { .. } => BlockerCode::PromoteDelay,
            Self::Paused => BlockerCode::Paused,
            Self::ReplacementsExhausted { .. } => BlockerCode::ReplacementsExhausted,
            Self::NoRevision => BlockerCode::NoRevision,
            Self::RoutesNotReady { .. } => BlockerCode::RoutesNotReady,
            Self::BackOff { .. } => BlockerCode::BackOff,
            Self::Evicted { .. } => BlockerCode::Terminating,
            Self::Terminating { .. } => BlockerCode::Terminating,
            Self::NoReplicas => BlockerCode::NoReplicas,
            Self::NoAddress { .. } => BlockerCode::NoAddress,
            Self::HealthStale { .. } => BlockerCode::HealthStale,
            Self::Restarting { .. } => BlockerCode::Restarting,
            Self::StepHold { .. } => BlockerCode::StepHold,
            Self::ManualStep { .. } => BlockerCode::ManualStep,
        }
    }

    /// When the wait ends by itself.
    pub fn until(&self) -> Option<Timestamp> {
        match *self {
            Self::MinReady { until }
            | Self::PromoteDelay { until }
            | Self::StepHold { until, .. }
            | Self::BackOff { until, .. } => Some(until),
            Self::ManualGate { timeout, .. } | Self::ManualStep { timeout, .. } => match timeout {
                Some((until, GateAction::Promote | GateAction::Rollback)) => Some(until),
                // Nothing happens when such a gate times out: there is no time to wake.
                Some((_, GateAction::Hold)) | None => None,
            },
            _ => None,
        }
    }
}
