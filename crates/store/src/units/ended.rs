//! How a rollout came out, in words: those of the rule, of the caller, and of the route that
//! failed.

use viridian_strategy::{RolloutEnd, RolloutOutcome, Timestamp, Transition};

use crate::{
    record::{Deployment, LastRollout, NumberedRevision, Operation, Route},
    units::RequestContext,
};

/// A decision that may end a rollout, and what it is called.
pub(crate) struct DecidedEnd<'a> {
    pub(crate) transition: &'a Transition,
    pub(crate) phase: Operation,
    pub(crate) named: Option<NumberedRevision>,
    pub(crate) call: &'a RequestContext,
}

impl DecidedEnd<'_> {
    /// How the last rollout came out, once the decision is carried out. `routes` are as they
    /// were before it.
    pub(crate) fn last_rollout(
        &self,
        old: &Deployment,
        routes: &[Route],
        now: Timestamp,
    ) -> Option<LastRollout> {
        let state = &self.transition.deployment.state;
        let last = old.last_rollout.clone();
        let Some(end) = self.transition.ended else {
            return last.map(|last| last.closed(state, now));
        };
        match last {
            // It turned back in an earlier step, and that step knew why.
            Some(last) if last.is_of(&end) => Some(last.closed(state, now)),
            _ => {
                let number = old.number_of(end.revision, self.named);
                let words = (self.reason(&end), failure(&end, routes));
                Some(LastRollout::of(end, number, words, state, now))
            }
        }
    }

    fn reason(&self, end: &RolloutEnd) -> String {
        let RequestContext { actor, reason, .. } = self.call;
        let given = (self.transition.by_request && !reason.is_empty()).then_some(reason);
        let named = self.named.map(|named| named.number);
        let decided = match (end.outcome, self.transition.reason) {
            (RolloutOutcome::Superseded, _) => match named {
                Some(number) => format!("superseded by revision {number}"),
                None => format!("superseded by {actor}"),
            },
            (_, Some(reason)) => reason.to_string(),
            (RolloutOutcome::Promoted, None) => format!("promoted by {actor}"),
            (_, None) if self.phase == Operation::Delete => {
                format!("the deployment was deleted by {actor}")
            }
            (_, None) => format!("aborted by {actor}"),
        };
        match given {
            Some(given) => format!("{decided}: {given}"),
            None => decided,
        }
    }
}

/// What the route says that failed first.
fn failure(end: &RolloutEnd, routes: &[Route]) -> String {
    let route = routes
        .iter()
        .find(|route| Some(route.view.id) == end.failure);
    route.map(Route::trouble).unwrap_or_default()
}
