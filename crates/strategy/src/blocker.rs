//! Why a deployment does not go on.

use std::fmt;

use arrayvec::ArrayVec;

use crate::{GateAction, Timestamp};

/// All that a deployment waits for at one time.
pub type Blockers = ArrayVec<Blocker, 8>;

/// One thing that a deployment waits for. Displays as a sentence for an
/// operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// Green has yet to be created.
    GreenMissing {
        /// How many are missing.
        missing: u32,
        /// How many are wanted.
        target: u32,
    },
    /// Green is starting.
    GreenProvisioning {
        /// How many are starting.
        provisioning: u32,
        /// How many are ready.
        ready: u32,
        /// How many are wanted.
        target: u32,
    },
    /// Green runs, but is not healthy.
    GreenUnhealthy {
        /// How many are ready.
        ready: u32,
        /// How many are wanted.
        target: u32,
        /// Those that are not.
        unready: UnreadyRoutes,
    },
    /// Green failed.
    GreenFailed {
        /// How many failed.
        failed: u32,
        /// How many are ready.
        ready: u32,
        /// How many are wanted.
        target: u32,
    },
    /// Failed green is not replaced any more.
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
    /// Nothing may move.
    Paused,
    /// There is nothing to run.
    NoRevision,
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
        /// How many failed one after the other.
        failures: u32,
        /// When the next ones are created.
        until: Timestamp,
    },
}

/// Routes that run without being healthy: how many, and since when the first of
/// them.
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
    reason = "each is the variant of Blocker with the same name"
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
        }
    }

    /// When the wait ends by itself.
    pub fn until(&self) -> Option<Timestamp> {
        match *self {
            Self::MinReady { until }
            | Self::PromoteDelay { until }
            | Self::BackOff { until, .. } => Some(until),
            Self::ManualGate { timeout, .. } => match timeout {
                Some((until, GateAction::Promote | GateAction::Rollback)) => Some(until),
                Some((_, GateAction::Hold)) | None => None,
            },
            _ => None,
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::GreenMissing { missing, target } => {
                write!(
                    f,
                    "{missing} of {target} green routes {} yet to be created",
                    has(missing)
                )
            }
            Self::GreenProvisioning {
                provisioning,
                ready,
                target,
            } => {
                write!(
                    f,
                    "{}; {provisioning} {} starting",
                    Ready("green", ready, target),
                    is(provisioning)
                )
            }
            Self::GreenUnhealthy {
                ready,
                target,
                unready,
            } => {
                write!(f, "{}{unready}", Ready("green", ready, target))
            }
            Self::GreenFailed {
                failed,
                ready,
                target,
            } => {
                write!(f, "{}; {failed} failed", Ready("green", ready, target))
            }
            Self::ReplacementsExhausted { budget: 0 } => {
                f.write_str("failed green routes are not replaced (max_replacements is 0)")
            }
            Self::ReplacementsExhausted { budget: 1 } => {
                f.write_str("the replacement of failed green routes is used up")
            }
            Self::ReplacementsExhausted { budget } => {
                write!(
                    f,
                    "all {budget} replacements of failed green routes are used up"
                )
            }
            Self::MinReady { until } => {
                write!(f, "green must stay ready until {}", until.time_of_day())
            }
            Self::ManualGate { ready, timeout } => {
                write!(
                    f,
                    "green is ready ({ready} {}); waiting for someone to promote",
                    if ready == 1 { "route" } else { "routes" }
                )?;
                match timeout {
                    Some((at, GateAction::Promote)) => {
                        write!(
                            f,
                            ", or for {}, when it promotes by itself",
                            at.time_of_day()
                        )
                    }
                    Some((at, GateAction::Rollback)) => {
                        write!(f, "; rolls back at {}", at.time_of_day())
                    }
                    Some((_, GateAction::Hold)) | None => Ok(()),
                }
            }
            Self::PromoteDelay { until } => {
                write!(f, "green is ready; promotes at {}", until.time_of_day())
            }
            Self::Paused => f.write_str("the deployment is paused"),
            Self::NoRevision => f.write_str("there is no revision to run"),
            Self::RoutesNotReady {
                ready,
                target,
                provisioning,
                unready,
            } => {
                write!(f, "{}", Ready("current", ready, target))?;
                if provisioning > 0 {
                    write!(f, "; {provisioning} {} starting", is(provisioning))?;
                }
                write!(f, "{unready}")
            }
            Self::BackOff { failures, until } => write!(
                f,
                "routes failed {failures} times in a row; the next attempt is at {}",
                until.time_of_day()
            ),
        }
    }
}

impl fmt::Display for UnreadyRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("UNHEALTHY", self.unhealthy),
            ("DEGRADED", self.degraded),
            ("NOT_CHECKED", self.not_checked),
        ];
        for (name, part) in parts {
            if let Some((count, since)) = part {
                write!(
                    f,
                    "; {count} {} {name} since {}",
                    is(count),
                    since.time_of_day()
                )?;
            }
        }
        Ok(())
    }
}

struct Ready(&'static str, u32, u32);

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(colour, ready, target) = *self;
        write!(f, "{ready} of {target} {colour} routes {} ready", is(ready))
    }
}

fn is(count: u32) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

fn has(count: u32) -> &'static str {
    if count == 1 { "has" } else { "have" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocker_is_a_sentence() {
        let since = Timestamp::from_micros((14 * 3_600 + 2 * 60 + 11) * 1_000_000);
        let blocker = Blocker::GreenUnhealthy {
            ready: 2,
            target: 3,
            unready: UnreadyRoutes {
                unhealthy: Some((1, since)),
                ..UnreadyRoutes::default()
            },
        };
        assert_eq!(
            blocker.to_string(),
            "2 of 3 green routes are ready; 1 is UNHEALTHY since 14:02:11"
        );
    }
}
