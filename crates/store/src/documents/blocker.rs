//! One thing that a deployment waits for.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use viridian_strategy::{Blocker, StepPlace, Timestamp, UnreadyRoutes};

use super::{Micros, policy::GateActionDocument};

#[derive(Serialize, Deserialize)]
pub(super) enum BlockerDocument {
    GreenMissing {
        missing: u32,
        target: u32,
    },
    GreenProvisioning {
        provisioning: u32,
        ready: u32,
        target: u32,
    },
    GreenUnhealthy {
        ready: u32,
        target: u32,
        unready: UnreadyDocument,
    },
    GreenFailed {
        failed: u32,
        ready: u32,
        target: u32,
    },
    ReplacementsExhausted {
        budget: u32,
    },
    MinReady {
        until: Micros,
    },
    ManualGate {
        ready: u32,
        timeout: Option<(Micros, GateActionDocument)>,
    },
    PromoteDelay {
        until: Micros,
    },
    Paused,
    NoRevision,
    RoutesNotReady {
        ready: u32,
        target: u32,
        provisioning: u32,
        unready: UnreadyDocument,
    },
    BackOff {
        failures: u32,
        until: Micros,
    },
    Evicted {
        evicted: u32,
    },
    Terminating {
        left: u32,
    },
    NoReplicas,
    NoAddress {
        count: u32,
        since: Micros,
    },
    HealthStale {
        count: u32,
        oldest: Micros,
        ttl: Duration,
    },
    Restarting {
        left: u32,
        target: u32,
    },
    StepHold {
        place: StepPlaceDocument,
        until: Micros,
    },
    ManualStep {
        place: StepPlaceDocument,
        timeout: Option<(Micros, GateActionDocument)>,
    },
}

/// A step of a canary.
#[derive(Serialize, Deserialize)]
pub(super) struct StepPlaceDocument {
    step: u32,
    of: u32,
    weight_permille: u16,
}

/// How many, and since when the first of them.
#[derive(Serialize, Deserialize)]
pub(super) struct UnreadyDocument {
    unhealthy: Option<(u32, Micros)>,
    degraded: Option<(u32, Micros)>,
    not_checked: Option<(u32, Micros)>,
}

impl From<Blocker> for BlockerDocument {
    fn from(blocker: Blocker) -> Self {
        match blocker {
            Blocker::GreenMissing { missing, target } => Self::GreenMissing { missing, target },
            Blocker::GreenProvisioning {
                provisioning,
                ready,
                target,
            } => Self::GreenProvisioning {
                provisioning,
                ready,
                target,
            },
            Blocker::GreenUnhealthy {
                ready,
                target,
                unready,
            } => Self::GreenUnhealthy {
                ready,
                target,
                unready: unready.into(),
            },
            Blocker::GreenFailed {
                failed,
                ready,
                target,
            } => Self::GreenFailed {
                failed,
                ready,
                target,
            },
            Blocker::ReplacementsExhausted { budget } => Self::ReplacementsExhausted { budget },
            Blocker::MinReady { until } => Self::MinReady {
                until: until.into(),
            },
            Blocker::ManualGate { ready, timeout } => Self::ManualGate {
                ready,
                timeout: timeout.map(|(at, action)| (at.into(), action.into())),
            },
            Blocker::PromoteDelay { until } => Self::PromoteDelay {
                until: until.into(),
            },
            Blocker::Paused => Self::Paused,
            Blocker::NoRevision => Self::NoRevision,
            Blocker::NoReplicas => Self::NoReplicas,
            Blocker::RoutesNotReady {
                ready,
                target,
                provisioning,
                unready,
            } => Self::RoutesNotReady {
                ready,
                target,
                provisioning,
                unready: unready.into(),
            },
            Blocker::BackOff { failures, until } => Self::BackOff {
                failures,
                until: until.into(),
            },
            Blocker::Evicted { evicted } => Self::Evicted { evicted },
            Blocker::Terminating { left } => Self::Terminating { left },
            Blocker::NoAddress { count, since } => Self::NoAddress {
                count,
                since: since.into(),
            },
            Blocker::HealthStale { count, oldest, ttl } => Self::HealthStale {
                count,
                oldest: oldest.into(),
                ttl,
            },
            Blocker::Restarting { left, target } => Self::Restarting { left, target },
            Blocker::StepHold { place, until } => Self::StepHold {
                place: place.into(),
                until: until.into(),
            },
            Blocker::ManualStep { place, timeout } => Self::ManualStep {
                place: place.into(),
                timeout: timeout.map(|(at, action)| (at.into(), action.into())),
            },
        }
    }
}

impl From<BlockerDocument> for Blocker {
    fn from(document: BlockerDocument) -> Self {
        use BlockerDocument as D;
        match document {
            D::GreenMissing { missing, target } => Self::GreenMissing { missing, target },
            D::GreenProvisioning {
                provisioning,
                ready,
                target,
            } => Self::GreenProvisioning {
                provisioning,
                ready,
                target,
            },
            D::GreenUnhealthy {
                ready,
                target,
                unready,
            } => Self::GreenUnhealthy {
                ready,
                target,
                unready: unready.into(),
            },
            D::GreenFailed {
                failed,
                ready,
                target,
            } => Self::GreenFailed {
                failed,
                ready,
                target,
            },
            D::ReplacementsExhausted { budget } => Self::ReplacementsExhausted { budget },
            D::MinReady { until } => Self::MinReady {
                until: until.into(),
            },
            D::ManualGate { ready, timeout } => Self::ManualGate {
                ready,
                timeout: timeout.map(|(at, action)| (at.into(), action.into())),
            },
            D::PromoteDelay { until } => Self::PromoteDelay {
                until: until.into(),
            },
            D::Paused => Self::Paused,
            D::NoRevision => Self::NoRevision,
            D::NoReplicas => Self::NoReplicas,
            D::RoutesNotReady {
                ready,
                target,
                provisioning,
                unready,
            } => Self::RoutesNotReady {
                ready,
                target,
                provisioning,
                unready: unready.into(),
            },
            D::BackOff { failures, until } => Self::BackOff {
                failures,
                until: until.into(),
            },
            D::Evicted { evicted } => Self::Evicted { evicted },
            D::Terminating { left } => Self::Terminating { left },
            D::NoAddress { count, since } => Self::NoAddress {
                count,
                since: since.into(),
            },
            D::HealthStale { count, oldest, ttl } => Self::HealthStale {
                count,
                oldest: oldest.into(),
                ttl,
            },
            D::Restarting { left, target } => Self::Restarting { left, target },
            D::StepHold { place, until } => Self::StepHold {
                place: place.into(),
                until: until.into(),
            },
            D::ManualStep { place, timeout } => Self::ManualStep {
                place: place.into(),
                timeout: timeout.map(|(at, action)| (at.into(), action.into())),
            },
        }
    }
}

impl From<StepPlace> for StepPlaceDocument {
    fn from(place: StepPlace) -> Self {
        let StepPlace {
            step,
            of,
            weight_permille,
        } = place;
        Self {
            step,
            of,
            weight_permille,
        }
    }
}

impl From<StepPlaceDocument> for StepPlace {
    fn from(document: StepPlaceDocument) -> Self {
        Self {
            step: document.step,
            of: document.of,
            weight_permille: document.weight_permille,
        }
    }
}

impl From<UnreadyRoutes> for UnreadyDocument {
    fn from(unready: UnreadyRoutes) -> Self {
        let UnreadyRoutes {
            unhealthy,
            degraded,
            not_checked,
        } = unready;
        let part =
            |part: Option<(u32, Timestamp)>| part.map(|(count, since)| (count, since.into()));
        Self {
            unhealthy: part(unhealthy),
            degraded: part(degraded),
            not_checked: part(not_checked),
        }
    }
}

impl From<UnreadyDocument> for UnreadyRoutes {
    fn from(document: UnreadyDocument) -> Self {
        let part = |part: Option<(u32, Micros)>| part.map(|(count, since)| (count, since.into()));
        Self {
            unhealthy: part(document.unhealthy),
            degraded: part(document.degraded),
            not_checked: part(document.not_checked),
        }
    }
}
