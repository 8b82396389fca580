//! Why a transition happens, where no blocker explains it.

use std::{fmt, time::Duration};

use crate::StepPlace;

/// Why a rollout ended or turned back. Displays as a sentence for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The first revision is ready.
    CameUp {
        /// How many routes are ready.
        ready: u32,
    },
    /// The first revision did not come up in time. It is tried on.
    NeverCameUp {
        /// The deadline.
        deadline: Duration,
        /// How many routes are ready.
        ready: u32,
        /// How many are wanted.
        target: u32,
    },
    /// Retained routes took the traffic back.
    TookBack {
        /// How many.
        kept: u32,
    },
    /// A roll-back that has no gate: the routes of the earlier revision are ready.
    CameBack {
        /// How many.
        ready: u32,
    },
    /// Green took the share of a canary's step.
    Shifted {
        /// Which.
        place: StepPlace,
    },
    /// All green are ready and every gate is open.
    GatesOpen {
        /// How many green there are.
        ready: u32,
    },
    /// The gate timed out before a promotion.
    GateTimedOut {
        /// The timeout.
        after: Duration,
    },
    /// No green is left, and some failed.
    AllFailed {
        /// How many failed.
        failed: u32,
    },
    /// The progress deadline passed.
    DeadlinePassed {
        /// The deadline, counted from the last progress.
        deadline: Duration,
        /// How many green were ready.
        ready: u32,
        /// How many were wanted.
        target: u32,
    },
    /// A rolling update has replaced the last old route.
    Replaced {
        /// How many new routes are ready.
        ready: u32,
    },
    /// A rolling update is back at the revision from which it began.
    Returned {
        /// How many routes of the current revision are ready.
        ready: u32,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::CameUp { ready: 1 } => f.write_str("1 route is ready"),
            Self::CameUp { ready } => write!(f, "{ready} routes are ready"),
            Self::NeverCameUp {
                deadline,
                ready,
                target,
            } => write!(
                f,
                "did not come up within {}: {ready} of {target} routes {} ready; it is tried on",
                Seconds(deadline),
                if ready == 1 { "is" } else { "are" }
            ),
            Self::TookBack { kept: 1 } => f.write_str("1 kept route took the traffic back"),
            Self::TookBack { kept } => write!(f, "{kept} kept routes took the traffic back"),
            Self::CameBack { ready: 1 } => f.write_str("1 route of the earlier revision is ready"),
            Self::CameBack { ready } => {
                write!(f, "{ready} routes of the earlier revision are ready")
            }
            Self::Shifted { place } => place.fmt(f),
            Self::GatesOpen { ready } => {
                write!(f, "{}; every gate is open", ready_routes("green", ready))
            }
            Self::GateTimedOut { after } => {
                write!(f, "not promoted within {}", Seconds(after))
            }
            Self::AllFailed { failed } => {
                write!(f, "no green route is left: {failed} failed")
            }
            Self::DeadlinePassed {
                deadline,
                ready,
                target,
            } => write!(
                f,
                "no progress within {}: {ready} of {target} green routes {} ready",
                Seconds(deadline),
                if ready == 1 { "is" } else { "are" }
            ),
            Self::Replaced { ready } => {
                write!(f, "{}; no old one is left", ready_routes("new", ready))
            }
            Self::Returned { ready } => {
                write!(f, "{}; no new one is left", ready_routes("old", ready))
            }
        }
    }
}

fn ready_routes(which: &str, count: u32) -> String {
    if count == 1 {
        format!("1 {which} route is ready")
    } else {
        format!("{count} {which} routes are ready")
    }
}

/// A duration in seconds, with as many decimals as it takes.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_sentence() {
        let after = Duration::from_millis(90_500);
        let reasons = [
            (Reason::CameUp { ready: 1 }, "1 route is ready"),
            (Reason::CameUp { ready: 3 }, "3 routes are ready"),
            (
                Reason::TookBack { kept: 1 },
                "1 kept route took the traffic back",
            ),
            (
                Reason::TookBack { kept: 2 },
                "2 kept routes took the traffic back",
            ),
            (
                Reason::CameBack { ready: 1 },
                "1 route of the earlier revision is ready",
            ),
            (
                Reason::CameBack { ready: 2 },
                "2 routes of the earlier revision are ready",
            ),
            (
                Reason::GatesOpen { ready: 3 },
                "3 green routes are ready; every gate is open",
            ),
            (Reason::GateTimedOut { after }, "not promoted within 90.5 s"),
            (
                Reason::AllFailed { failed: 2 },
                "no green route is left: 2 failed",
            ),
            (
                Reason::DeadlinePassed {
                    deadline: Duration::from_secs(600),
                    ready: 1,
                    target: 3,
                },
                "no progress within 600 s: 1 of 3 green routes is ready",
            ),
            (
                Reason::DeadlinePassed {
                    deadline: Duration::from_secs(600),
                    ready: 2,
                    target: 3,
                },
                "no progress within 600 s: 2 of 3 green routes are ready",
            ),
            (
                Reason::Replaced { ready: 1 },
                "1 new route is ready; no old one is left",
            ),
            (
                Reason::Returned { ready: 3 },
                "3 old routes are ready; no new one is left",
            ),
        ];
        for (reason, sentence) in reasons {
            assert_eq!(reason.to_string(), sentence);
        }
    }
}
