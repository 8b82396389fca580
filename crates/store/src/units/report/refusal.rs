//! Why a report is not applied.

use std::{fmt, time::Duration};

use viridian_strategy::{DeploymentId, RouteHealth, RouteId, RouteStatus, Timestamp};

use crate::record::AddressError;

/// Why one report was not applied. Displays as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportError {
    /// There is no such route.
    UnknownRoute(RouteId),
    /// It belongs to a resource group whose routes are not the caller's.
    OtherGroup(RouteId),
    /// The route cannot move like that.
    IllegalMove {
        /// What it is.
        from: RouteStatus,
        /// What was reported.
        to: RouteStatus,
    },
    /// The route has ended; it has no health any more.
    Over(RouteStatus),
    /// It names an address that is none.
    InvalidAddress(AddressError),
    /// Another RUNNING route of the deployment has the address.
    AddressTaken(RouteId),
    /// It is about another session than the route's.
    OtherSession {
        /// Whether the route's session is known.
        known: bool,
    },
    /// What it saw has been outdated by a later observation.
    Outdated {
        /// When that was.
        latest: Timestamp,
        /// What it was.
        health: RouteHealth,
    },
    /// It says HEALTHY, and was observed too long ago to count.
    TooOld {
        /// When it was observed.
        at: Timestamp,
        /// How long a reported health counts.
        ttl: Duration,
    },
    /// The route's deployment cannot be read.
    Unreadable(DeploymentId),
    /// Another transaction held the route's deployment for too long.
    Held(DeploymentId),
    /// The route's deployment cannot be written.
    Unwritable(DeploymentId),
}

impl ReportError {
    /// Whether the same report may be applied later: nothing is wrong with it.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreadable(_) | Self::Held(_) | Self::Unwritable(_) => true,
            // The other route's end may not have been reported yet.
            Self::AddressTaken(_) => true,
            // Nor may the RUNNING that names the session.
            Self::OtherSession { known } => !known,
            Self::UnknownRoute(_)
            | Self::OtherGroup(_)
            | Self::IllegalMove { .. }
            | Self::Over(_)
            | Self::InvalidAddress(_)
            | Self::Outdated { .. }
            | Self::TooOld { .. } => false,
        }
    }
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRoute(id) => write!(f, "there is no route {id}"),
            Self::OtherGroup(id) => {
                write!(
                    f,
                    "route {id} is in a resource group that is not the caller's"
                )
            }
            Self::IllegalMove { from, to } => {
                let (from, to) = (from.as_str(), to.as_str());
                write!(f, "a route cannot move from {from} to {to}")
            }
            Self::Over(status) => write!(f, "the route is {}", status.as_str()),
            Self::InvalidAddress(error) => {
                write!(f, "the address is not HOST:PORT: {error}")
            }
            Self::AddressTaken(id) => {
                write!(f, "route {id} of the deployment runs at this address")
            }
            Self::OtherSession { known: true } => {
                f.write_str("the route runs in another session than the report names")
            }
            Self::OtherSession { known: false } => {
                f.write_str("the report names a session, and the route's is not known")
            }
            Self::Outdated { latest, health } => write!(
                f,
                "a later observation, at {latest}, says {}",
                health.as_str()
            ),
            Self::TooOld { at, ttl } => write!(
                f,
                "it was observed at {at}, longer ago than the health TTL of {} s",
                ttl.as_secs_f64()
            ),
            Self::Unreadable(id) => write!(f, "deployment {id} cannot be read"),
            Self::Held(id) => {
                write!(f, "another transaction holds deployment {id}; report again")
            }
            Self::Unwritable(id) => write!(f, "deployment {id} cannot be written"),
        }
    }
}
