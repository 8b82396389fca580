//! How the last rollout came out.

use viridian_strategy::{
    DeploymentState, RevisionId, RolloutEnd, RolloutOutcome, RolloutStep, RouteHealth, RouteStatus,
    Timestamp,
};

use super::Route;

/// How the last rollout came out. It stays until the next one ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRollout {
    /// The revision that was being deployed. It may have been pruned since.
    pub revision: RevisionId,
    /// Its number.
    pub number: Option<i64>,
    /// How it came out.
    pub outcome: RolloutOutcome,
    /// Whether it was a roll-back, and not a way forward.
    pub is_way_back: bool,
    /// Why, as a sentence for an operator.
    pub reason: String,
    /// What its first route that failed said; empty if it was promoted.
    pub failure: String,
    /// When it ended. None while a rolling update is still on its way back.
    pub ended_at: Option<Timestamp>,
}

impl LastRollout {
    /// The record of an end that was decided. `state` is what it leads to.
    pub(crate) fn of(
        end: RolloutEnd,
        number: Option<i64>,
        (reason, failure): (String, String),
        state: &DeploymentState,
        now: Timestamp,
    ) -> Self {
        Self {
            revision: end.revision,
            number,
            outcome: end.outcome,
            is_way_back: end.is_way_back,
            reason,
            failure,
            ended_at: (!is_on_its_way_back(state)).then_some(now),
        }
    }

    /// The same once the way back is over. What turned it back stays what is said.
    pub(crate) fn closed(self, state: &DeploymentState, now: Timestamp) -> Self {
        Self {
            ended_at: match self.ended_at {
                None if !is_on_its_way_back(state) => Some(now),
                ended_at => ended_at,
            },
            ..self
        }
    }

    /// The part that a decision reads.
    pub(crate) fn end(&self) -> RolloutEnd {
        RolloutEnd {
            revision: self.revision,
            outcome: self.outcome,
            is_way_back: self.is_way_back,
            failure: None,
        }
    }

    /// Whether it is the record of this end already: its rollout turned back before.
    pub(crate) fn is_of(&self, end: &RolloutEnd) -> bool {
        self.ended_at.is_none() && self.revision == end.revision
    }
}

impl Route {
    /// What is wrong with it, as it was reported.
    pub(crate) fn trouble(&self) -> String {
        if !self.failure.is_empty() {
            return self.failure.clone();
        }
        match (self.view.status, self.view.health) {
            (RouteStatus::FailedToStart, _) => {
                "a route failed to start; no reason was given".into()
            }
            (RouteStatus::Running, RouteHealth::NotChecked) => {
                "a route runs, and its health was never reported".into()
            }
            (RouteStatus::Running, health) => format!("a route is {}", health.as_str()),
            _ => "a route ended; no reason was given".into(),
        }
    }
}

fn is_on_its_way_back(state: &DeploymentState) -> bool {
    let step = state.rollout().map(|rollout| rollout.step);
    step == Some(RolloutStep::RollingBack)
}
