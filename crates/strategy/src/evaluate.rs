//! Decides what a deployment does next.

use crate::{
    Blocker, DeploymentState, Evaluation, Observed, Reason, RevisionId, RolloutEnd, RolloutKind,
    pause,
    replenish::{Replenish, drain_obsolete},
};

/// Decides what a deployment does next.
///
/// Idempotent: a second evaluation without an event in between changes nothing.
pub fn evaluate(observed: &Observed<'_>) -> Evaluation {
    let deployment = observed.deployment;
    match deployment.state {
        // A pause does not delay the end: a deployment that is going cannot be resumed.
        DeploymentState::Destroying { current } => destroy(observed, current),
        DeploymentState::Destroyed { .. } => Evaluation::waiting(observed, deployment.state),
        _ if deployment.paused => pause::hold(observed),
        DeploymentState::Pending { current: None } => {
            Evaluation::blocked(observed, deployment.state, Blocker::NoRevision)
        }
        DeploymentState::Pending {
            current: Some(current),
        }
        | DeploymentState::Ready { current } => keep_current(observed, current),
        DeploymentState::Deploying(rollout) => {
            observed.policy.strategy.rules().evaluate(observed, rollout)
        }
    }
}

/// PENDING and READY: keeps the current revision at the target. A PENDING
/// deployment with all routes ready becomes READY, and stays READY. One that was
/// created without replicas has all that was asked for. One that lost them before it
/// came up stays PENDING: nothing shows that its revision works.
fn keep_current(observed: &Observed<'_>, current: RevisionId) -> Evaluation {
    let deployment = observed.deployment;
    let target = deployment.target_replicas;
    let replenish = Replenish::to_target(observed, current);
    // Once READY it is no decision any more: a route keeps its health until that has ended.
    let stale = match deployment.state {
        DeploymentState::Pending { .. } => observed.stale_health(current, &replenish.surplus),
        _ => None,
    };
    let ready = replenish.counts.ready;
    let state = match deployment.state {
        DeploymentState::Pending { .. }
            if ready >= target && stale.is_none() && (target > 0 || deployment.is_as_created()) =>
        {
            DeploymentState::Ready { current }
        }
        state => state,
    };
    let mut evaluation = Evaluation::waiting(observed, state);
    evaluation.wait_for_health(stale, observed.now);
    if target == 0 && state.was_never_ready() {
        evaluation.wait_for(Blocker::NoReplicas);
    }
    if state.lifecycle() != deployment.state.lifecycle() {
        // The first revision has no rollout. That it came up is what a rollout would say.
        evaluation.transition.reason = Some(Reason::CameUp { ready });
        evaluation.transition.ended = Some(RolloutEnd::promoted(current, RolloutKind::Forward));
    }
    for blocker in replenish.blockers(target) {
        evaluation.wait_for(blocker);
    }
    time_first_revision(observed, current, replenish.counts.ready, &mut evaluation);
    evaluation.wake_by(replenish.look_again_at);
    let actions = &mut evaluation.transition.actions;
    replenish.apply(current, actions);
    let retained_end = drain_obsolete(observed, [current; 2], actions);
    evaluation.wake_by(retained_end);
    evaluation
}

/// Records a first revision as failed that does not come up in time. Nothing else happens:
/// there is nothing to go back to, so it is tried on.
fn time_first_revision(
    observed: &Observed<'_>,
    current: RevisionId,
    ready: u32,
    evaluation: &mut Evaluation,
) {
    let Observed { policy, now, .. } = *observed;
    let target = observed.deployment.target_replicas;
    // None if it is READY by now.
    let Some(watch) = evaluation.transition.deployment.coming_up else {
        return;
    };
    let watch = if target == 0 {
        watch.stopped(now)
    } else {
        watch.running(now)
    };
    let deadline = policy.first_deadline();
    let end = watch.reaches(deadline);
    let is_over = end.is_some_and(|end| end <= now);
    // Without a clock it is recorded once, and not at each look from here on.
    evaluation.transition.deployment.coming_up = Some(watch).filter(|_| !is_over);
    if is_over {
        evaluation.transition.reason = Some(Reason::NeverCameUp {
            deadline,
            ready,
            target,
        });
        evaluation.transition.ended = Some(RolloutEnd::failed(observed, current));
    } else {
        evaluation.deadline = end;
        evaluation.wake_by(end);
    }
}

fn destroy(observed: &Observed<'_>, current: Option<RevisionId>) -> Evaluation {
    let left = observed
        .routes
        .iter()
        // TERMINATING ones count too: their processes may still run.
        .filter(|route| !route.status.is_over());
    let left = u32::try_from(left.count()).unwrap_or(u32::MAX);
    if left == 0 {
        return Evaluation::waiting(observed, DeploymentState::Destroyed { current });
    }
    let mut evaluation = Evaluation::waiting(observed, DeploymentState::Destroying { current });
    evaluation.wait_for(Blocker::Terminating { left });
    evaluation
        .transition
        .actions
        .drain_active(observed, |_| true);
    evaluation
}
