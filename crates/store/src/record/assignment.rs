//! An assignment: what a scheduler is to do with a route.

use std::sync::Arc;

use viridian_strategy::{RouteId, Timestamp};

use super::{DeploymentSummary, Route};

/// Something that a scheduler is to do. What the route runs is the revision of
/// `route.view.revision`: it may be large and is the same for many routes, so it is read once,
/// when the assignment is handed out.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// What.
    pub action: Action,
    /// To which route.
    pub route: Route,
    /// Whose route it is. All assignments that were read together share it.
    pub deployment: Arc<DeploymentSummary>,
    /// Since when it may be handed out.
    pub available_at: Timestamp,
}

/// Where an assignment is in the order in which they are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssignmentPosition {
    /// Since when it may be handed out.
    pub available_at: Timestamp,
    /// Its route. A route has one assignment at most.
    pub route: RouteId,
}

impl Assignment {
    /// Its position. Assignments after it are handed out later.
    pub fn position(&self) -> AssignmentPosition {
        AssignmentPosition {
            available_at: self.available_at,
            route: self.route.view.id,
        }
    }
}

/// What a scheduler is to do with a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
}
