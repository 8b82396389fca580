//! The reports of reports: what each makes of a route.

use std::fmt;

use viridian_strategy::{DeploymentId, RouteHealth, RouteId, RouteStatus, Timestamp};

use crate::record::Route;

/// What became of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// Which route.
    pub route: RouteId,
    /// Its new status.
    pub status: RouteStatus,
    /// The session that it runs in; kept when empty.
    pub session_id: String,
    /// Where it listens; kept when empty.
    pub address: String,
    /// Why it failed.
    pub failure: String,
}

/// What the health checker saw of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// Which route.
    pub route: RouteId,
    /// What it saw.
    pub health: RouteHealth,
}

/// Why one report was not applied. Displays as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportError {
    /// There is no such route.
    UnknownRoute(RouteId),
    /// The route cannot move like that.
    IllegalMove {
        /// What it is.
        from: RouteStatus,
        /// What was reported.
        to: RouteStatus,
    },
    /// The route has ended; it has no health any more.
    Over(RouteStatus),
    /// The route's deployment cannot be read.
    Unreadable(DeploymentId),
    /// Another transaction held the route's deployment for too long.
    Held(DeploymentId),
    /// The route's deployment cannot be written.
    Unwritable(DeploymentId),
}

/// A report of either kind: what it would make of a route.
pub(super) trait Report {
    fn route(&self) -> RouteId;
    /// Whether nothing would change.
    fn is_noop(&self, route: &Route) -> bool;
    fn check(&self, route: &Route) -> Result<(), ReportError>;
    fn apply(&self, route: &mut Route, now: Timestamp);
}

impl Report for StatusReport {
    fn route(&self) -> RouteId {
        self.route
    }

    fn is_noop(&self, route: &Route) -> bool {
        let same = |new: &str, old: &str| new.is_empty() || new == old;
        route.view.status == self.status
            && (self.status.is_over()
                || same(&self.session_id, &route.session_id) && same(&self.address, &route.address))
    }

    fn check(&self, route: &Route) -> Result<(), ReportError> {
        let (from, to) = (route.view.status, self.status);
        // The same status once more may bring an address or a session that was not known.
        if from == to || from.may_become(to) {
            Ok(())
        } else {
            Err(ReportError::IllegalMove { from, to })
        }
    }

    fn apply(&self, route: &mut Route, now: Timestamp) {
        route.view.move_to(self.status, now);
        for (new, old) in [
            (&self.session_id, &mut route.session_id),
            (&self.address, &mut route.address),
            (&self.failure, &mut route.failure),
        ] {
            if !new.is_empty() {
                old.clone_from(new);
            }
        }
        // Or nothing would show why a healthy route was replaced.
        if route.view.is_evicted() && route.failure.is_empty() {
            EVICTED.clone_into(&mut route.failure);
        }
    }
}

/// What is shown of a route that its scheduler took away without a word.
const EVICTED: &str = "taken away by its scheduler";

impl Report for HealthReport {
    fn route(&self) -> RouteId {
        self.route
    }

    fn is_noop(&self, route: &Route) -> bool {
        // A route that is over refuses every health, also the one that it had last.
        route.view.health == self.health && !route.view.status.is_over()
    }

    fn check(&self, route: &Route) -> Result<(), ReportError> {
        if route.view.status.is_over() {
            Err(ReportError::Over(route.view.status))
        } else {
            Ok(())
        }
    }

    fn apply(&self, route: &mut Route, now: Timestamp) {
        route.view.observe(self.health, now);
    }
}

impl ReportError {
    /// Whether the same report may be applied later: nothing is wrong with it.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreadable(_) | Self::Held(_) | Self::Unwritable(_) => true,
            Self::UnknownRoute(_) | Self::IllegalMove { .. } | Self::Over(_) => false,
        }
    }
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRoute(id) => write!(f, "there is no route {id}"),
            Self::IllegalMove { from, to } => {
                write!(
                    f,
                    "a route cannot move from {} to {}",
                    from.as_str(),
                    to.as_str()
                )
            }
            Self::Over(status) => write!(f, "the route is {}", status.as_str()),
            Self::Unreadable(id) => write!(f, "deployment {id} cannot be read"),
            Self::Held(id) => {
                write!(f, "another transaction holds deployment {id}; report again")
            }
            Self::Unwritable(id) => write!(f, "deployment {id} cannot be written"),
        }
    }
}
