//! Blockers as sentences for operators.

use std::fmt;

use super::{Blocker, UnreadyRoutes};
use crate::{GateAction, RouteHealth, StepPlace, Timestamp};

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ready) = ReadyOfTarget::of(self) {
            ready.fmt(f)?;
        }
        match *self {
            Self::GreenMissing { missing, target } => write!(
                f,
                "{missing} of {target} green routes {} yet to be created",
                has(missing)
            ),
            Self::GreenProvisioning { provisioning, .. } => starting(f, provisioning),
            Self::GreenUnhealthy { unready, .. } => unready.fmt(f),
            Self::GreenFailed { failed, .. } => write!(f, "; {failed} failed"),
            Self::ReplacementsExhausted { budget } => exhausted(f, budget),
            Self::MinReady { until } => {
                write!(f, "green must stay ready until {}", until.date_and_time())
            }
            Self::ManualGate { ready, timeout } => manual_gate(f, ready, timeout),
            Self::PromoteDelay { until } => {
                write!(f, "green is ready; promotes at {}", until.date_and_time())
            }
            Self::StepHold { place, until } => {
                write!(f, "{place}, until {}", until.date_and_time())
            }
            Self::ManualStep { place, timeout } => manual_step(f, place, timeout),
            Self::Paused => f.write_str("the deployment is paused"),
            Self::NoRevision => f.write_str("there is no revision to run"),
            Self::NoReplicas => {
                f.write_str("the target is 0 replicas; it goes on when the target is raised")
            }
            Self::RoutesNotReady {
                provisioning,
                unready,
                ..
            } => {
                if provisioning > 0 {
                    starting(f, provisioning)?;
                }
                unready.fmt(f)
            }
            Self::BackOff { failures, until } => write!(
                f,
                "routes failed {failures} times in a row; the next attempt is at {}",
                until.date_and_time()
            ),
            Self::Evicted { evicted: 1 } => {
                f.write_str("1 route is being taken away by its scheduler")
            }
            Self::Restarting { left, target } => write!(
                f,
                "{left} of {} routes {} yet to be replaced by {}",
                target.max(left),
                has(left),
                if left == 1 { "a new one" } else { "new ones" }
            ),
            Self::Evicted { evicted } => {
                write!(
                    f,
                    "{evicted} routes are being taken away by their scheduler"
                )
            }
            Self::Terminating { left } => {
                write!(f, "{} {} still ending", routes(left), is(left))
            }
            Self::NoAddress { count, since } => write!(
                f,
                "{count} {} without an address since {}: HOST:PORT was not reported",
                if count == 1 {
                    "route runs"
                } else {
                    "routes run"
                },
                since.date_and_time()
            ),
            Self::HealthStale { count, oldest, ttl } => write!(
                f,
                "the health of {count} {} was not reported within {} s, last at {}",
                if count == 1 { "route" } else { "routes" },
                ttl.as_secs_f64(),
                oldest.date_and_time()
            ),
        }
    }
}

fn routes(count: u32) -> String {
    let noun = if count == 1 { "route" } else { "routes" };
    format!("{count} {noun}")
}

fn starting(f: &mut fmt::Formatter<'_>, count: u32) -> fmt::Result {
    write!(f, "; {count} {} starting", is(count))
}

fn exhausted(f: &mut fmt::Formatter<'_>, budget: u32) -> fmt::Result {
    match budget {
        0 => f.write_str("failed green routes are not replaced (max_replacements is 0)"),
        1 => f.write_str("the replacement of failed green routes is used up"),
        _ => write!(
            f,
            "all {budget} replacements of failed green routes are used up"
        ),
    }
}

fn manual_gate(
    f: &mut fmt::Formatter<'_>,
    ready: u32,
    timeout: Option<(Timestamp, GateAction)>,
) -> fmt::Result {
    write!(
        f,
        "green is ready ({}); waiting for someone to promote",
        routes(ready)
    )?;
    at_timeout(f, timeout, "promotes")
}

fn manual_step(
    f: &mut fmt::Formatter<'_>,
    place: StepPlace,
    timeout: Option<(Timestamp, GateAction)>,
) -> fmt::Result {
    write!(f, "{place}; waiting for someone to advance")?;
    at_timeout(f, timeout, "advances")
}

fn at_timeout(
    f: &mut fmt::Formatter<'_>,
    timeout: Option<(Timestamp, GateAction)>,
    goes_on: &str,
) -> fmt::Result {
    match timeout {
        Some((at, GateAction::Promote)) => write!(f, "; {goes_on} at {}", at.date_and_time()),
        Some((at, GateAction::Rollback)) => write!(f, "; rolls back at {}", at.date_and_time()),
        Some((_, GateAction::Hold)) | None => Ok(()),
    }
}

impl fmt::Display for UnreadyRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (RouteHealth::Unhealthy, self.unhealthy),
            (RouteHealth::Degraded, self.degraded),
            (RouteHealth::NotChecked, self.not_checked),
        ];
        for (health, part) in parts {
            if let Some((count, since)) = part {
                let (health, since) = (health.as_str(), since.date_and_time());
                write!(f, "; {count} {} {health} since {since}", is(count))?;
            }
        }
        Ok(())
    }
}

/// The beginning of sentences about routes that are not ready.
struct ReadyOfTarget {
    which: &'static str,
    ready: u32,
    target: u32,
}

impl ReadyOfTarget {
    fn of(blocker: &Blocker) -> Option<Self> {
        let (which, ready, target) = match *blocker {
            Blocker::GreenProvisioning { ready, target, .. }
            | Blocker::GreenUnhealthy { ready, target, .. }
            | Blocker::GreenFailed { ready, target, .. } => ("green", ready, target),
            Blocker::RoutesNotReady { ready, target, .. } => ("current", ready, target),
            _ => return None,
        };
        Some(Self {
            which,
            ready,
            target,
        })
    }
}

impl fmt::Display for ReadyOfTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            which,
            ready,
            target,
        } = *self;
        write!(f, "{ready} of {target} {which} routes {} ready", is(ready))
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
            "2 of 3 green routes are ready; 1 is UNHEALTHY since 1970-01-01 14:02:11 UTC"
        );
    }
}
