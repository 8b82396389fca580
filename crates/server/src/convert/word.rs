//! The words of the domain, as the contract spells them.

use viridian_store::Phase;
use viridian_strategy::{BlockerCode, Lifecycle};

/// A value as the contract spells it, without its enum's name.
pub(crate) fn words(value: impl Word) -> &'static str {
    value.word()
}

pub(crate) trait Word {
    fn word(self) -> &'static str;
}

impl Word for Lifecycle {
    fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Ready => "READY",
            Self::Deploying => "DEPLOYING",
            Self::Destroying => "DESTROYING",
            Self::Destroyed => "DESTROYED",
        }
    }
}

impl Word for BlockerCode {
    fn word(self) -> &'static str {
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
        }
    }
}

impl Word for Phase {
    fn word(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Activate => "ACTIVATE",
            Self::Evaluate => "EVALUATE",
            Self::Promote => "PROMOTE",
            Self::RollBack => "ROLL_BACK",
            Self::Update => "UPDATE",
            Self::Abort => "ABORT",
            Self::Pause => "PAUSE",
            Self::Resume => "RESUME",
            Self::Delete => "DELETE",
        }
    }
}
