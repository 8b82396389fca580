//! An assignment: what a scheduler is to do with a route.

use viridian_strategy::{RouteId, Timestamp};

use super::{Revision, Route};

/// Something that a scheduler is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// What.
    pub action: Action,
    /// To which route.
    pub route: Route,
    /// What the route runs.
    pub revision: Revision,
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
