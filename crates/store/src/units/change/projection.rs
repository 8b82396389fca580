//! What a deployment looks like after a planned change: its state, what is shown of it, and
//! when to evaluate it again.

use std::time::Duration;

use viridian_strategy::{
    Observed, ObservedRoute, Timestamp, Transition, TransitionKind, availability, counts, evaluate,
};

use super::PlannedChange;
use crate::record::{Deployment, RevisionNumbers, Status};

/// The deployment after a plan, but for its epoch and its sequence; and when to
/// evaluate it again if nothing else happens.
pub(super) fn project(
    old: &Deployment,
    plan: &PlannedChange,
    routes: &[ObservedRoute],
    now: Timestamp,
    health_ttl: Option<Duration>,
) -> (Deployment, Option<Timestamp>) {
    let amended = plan.amended.as_deref().unwrap_or(old);
    let mut new = amended.clone().decided(plan.transition.deployment);
    new.served.change(plan.transition.served);
    let number = |revision| old.number_of(revision, plan.named);
    new.numbers = RevisionNumbers {
        current: new.state.current().and_then(number),
        deploying: new.state.deploying().and_then(number),
    };
    let phase = new.state.phase();
    if phase != old.state.phase() {
        new.phase_started_at = now;
    }
    // The blockers are always on the deployment, also before the cycle that follows
    // a call or a report. Evaluating changes nothing by itself.
    let deployment = new.observed();
    let observed = Observed {
        deployment: &deployment,
        routes,
        policy: &new.policy,
        now,
        health_ttl,
    };
    let retained_until = observed.retained_until();
    let outlook = evaluate(&observed);
    let took = &plan.transition.actions.promote;
    // Of the ready ones: the others take traffic when they are.
    let stale = |route: &&ObservedRoute| {
        took.contains(&route.id) && route.is_ready() && !observed.is_fresh(route)
    };
    let stale_promoted = routes.iter().filter(stale).count();
    let Transition {
        kind,
        deployment: next,
        ref actions,
        ended,
        ..
    } = outlook.transition;
    // The end of a rollout is for the next cycle to record, also where nothing else changes.
    let stays = kind == TransitionKind::Step && next.state.phase() == phase && ended.is_none();
    // A cycle is due at once only if it would do something.
    let idle = stays && actions.is_empty();
    let look_at = if idle { outlook.wake_at } else { Some(now) };
    let (blue, green) = counts(&deployment, routes);
    new.availability = availability(&deployment, routes);
    if stays {
        // Its clocks as of now, so that the next cycle finds those that are shown.
        new.state = next.state;
        new.coming_up = next.coming_up;
    }
    new.deadline_at = outlook.deadline;
    new.status = Status {
        blue,
        green,
        blockers: outlook.blockers,
        retained_until,
        // From the new traffic table, which is made of this.
        effective_permille: 0,
        stale_promoted: stale_promoted as u32,
        health_detail: String::new(),
        failure_detail: String::new(),
    };
    (new, look_at)
}
