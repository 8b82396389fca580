//! What is to change, as a value: decided here, done by the store.

use arrayvec::ArrayVec;

use crate::{RevisionId, RouteId, State, Traffic};

/// A change of a deployment and of its routes, to be applied as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// What it amounts to.
    pub kind: TransitionKind,
    /// The state after it.
    pub state: State,
    /// The changes of routes.
    pub changes: Changes,
}

/// What a transition amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransitionKind {
    /// The lifecycle and the sub-step may move, no more.
    Step,
    /// The deploying revision became current.
    Promotion,
    /// The rollout was given up, by way of ROLLING_BACK when it was not there
    /// yet.
    RollBack,
}

/// What is to change on routes. Promotions come before drains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New routes, at most one entry a revision.
    pub rollout: ArrayVec<NewRoutes, 2>,
    /// To be ACTIVE from now on.
    pub promote: Vec<RouteId>,
    /// To lose their traffic, but to go on running.
    pub retain: Vec<RouteId>,
    /// To be taken out of traffic and ended.
    pub drain: Vec<RouteId>,
}

/// Routes to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRoutes {
    /// Of what.
    pub revision: RevisionId,
    /// How many; at least one.
    pub count: u32,
    /// With what traffic.
    pub traffic: Traffic,
}

impl Changes {
    /// Whether nothing is to change.
    pub fn is_empty(&self) -> bool {
        self.rollout.is_empty()
            && self.promote.is_empty()
            && self.retain.is_empty()
            && self.drain.is_empty()
    }

    pub(crate) fn create(&mut self, revision: RevisionId, count: u32, traffic: Traffic) {
        if count > 0 {
            self.rollout.push(NewRoutes {
                revision,
                count,
                traffic,
            });
        }
    }
}

impl Transition {
    pub(crate) fn stay(state: State) -> Self {
        Self {
            kind: TransitionKind::Step,
            state,
            changes: Changes::default(),
        }
    }
}
