//! An assignment: what a scheduler is to do with a route.

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
}

/// What a scheduler is to do with a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
}
