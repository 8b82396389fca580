//! When something was last reported of a route.

use viridian_strategy::{RouteId, Timestamp};

/// When something was last reported of a route, by the time that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastReport {
    /// Of which route.
    pub route: RouteId,
    /// Its status, if that was reported.
    pub status: Option<Timestamp>,
    /// Its health, if that was reported.
    pub health: Option<Timestamp>,
}
