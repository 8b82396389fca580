//! The deployment of one name, as the calls about it see it.
//!
//! What a server does by itself is in the model as moves without a call, which may happen at any
//! time: a first revision becomes READY, and a roll-back without a gate is promoted. How ready the
//! routes of a rollout are is not in it: a promotion may be blocked at any time. The runs exclude
//! all else that happens without a call: gates are manual, no route fails, and no deadline or
//! retention ends within a run.

use std::{collections::BTreeMap, rc::Rc};

use super::{
    call::{Answer, DeploymentCall, Shown},
    checker::Model,
    deployment::{LiveDeployment, Outcome, outcomes, refuses, with_own_moves},
};

pub(super) struct DeploymentModel;

/// What a name stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct NameState {
    /// None before it is created, and once it is deleted: the name is free then.
    live: Option<LiveDeployment>,
    /// The requests that took effect. A repeat does nothing, and gets the first answer.
    replies: Rc<BTreeMap<u32, Reply>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reply {
    outcome: Outcome,
    /// None as long as the answers were lost.
    shown: Option<Shown>,
}

impl Model for DeploymentModel {
    type Call = DeploymentCall;
    type State = NameState;

    fn after(&self, state: &NameState, call: &DeploymentCall) -> Vec<NameState> {
        if let Some(reply) = state.replies.get(&call.request) {
            return repeated(state, call, reply).into_iter().collect();
        }
        let possible = with_own_moves(state.live.as_ref());
        if let Answer::Refused(reason) = &call.answer {
            let refused = possible
                .into_iter()
                .filter(|live| refuses(live.as_ref(), call, reason));
            let unchanged = |live| NameState {
                live,
                replies: Rc::clone(&state.replies),
            };
            return refused.map(unchanged).collect();
        }
        let outcomes = possible
            .iter()
            .flat_map(|live| outcomes(live.as_ref(), call));
        let after = outcomes.filter_map(|outcome| answered(state, call, outcome));
        after.collect()
    }

    fn are_one_request(&self, one: &DeploymentCall, other: &DeploymentCall) -> bool {
        one.request != 0 && one.request == other.request
    }

    fn is_too_late(&self, state: &NameState, call: &DeploymentCall) -> bool {
        let (Some(live), Some(shown)) = (&state.live, call.answer.shown()) else {
            return false;
        };
        // A repeat shows what was so when its request took effect.
        call.request == 0
            && live.id.as_ref() == Some(&shown.id)
            && shown.generation < live.generation
    }
}

/// A call that takes effect now. None if its answer shows another outcome.
fn answered(state: &NameState, call: &DeploymentCall, outcome: Outcome) -> Option<NameState> {
    let mut outcome = outcome;
    let shown = call.answer.shown().cloned();
    if let Some(shown) = &shown {
        if !outcome.is_answered_by(&call.answer) {
            return None;
        }
        // From here on no answer shows an earlier state.
        outcome.deployment.id = Some(shown.id.clone());
        outcome.deployment.sequence = shown.sequence;
    }
    let live = (!outcome.is_deleted).then(|| outcome.deployment.clone());
    let mut replies = Rc::clone(&state.replies);
    if call.request != 0 {
        Rc::make_mut(&mut replies).insert(call.request, Reply { outcome, shown });
    }
    Some(NameState { live, replies })
}

/// A repeat of a request that took effect.
fn repeated(state: &NameState, call: &DeploymentCall, reply: &Reply) -> Option<NameState> {
    match (&call.answer, &reply.shown) {
        (Answer::Unknown, _) => Some(state.clone()),
        // Also when the deployment is gone: the reply is found by the id of the request.
        (Answer::Refused(_), _) => None,
        (answer, Some(first)) => {
            let is_same = answer.shown() == Some(first) && reply.outcome.is_answered_by(answer);
            is_same.then(|| state.clone())
        }
        (answer, None) => {
            if !reply.outcome.is_answered_by(answer) {
                return None;
            }
            let mut state = state.clone();
            let reply = Reply {
                outcome: reply.outcome.clone(),
                shown: answer.shown().cloned(),
            };
            Rc::make_mut(&mut state.replies).insert(call.request, reply);
            Some(state)
        }
    }
}
