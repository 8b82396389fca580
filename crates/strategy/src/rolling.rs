//! Rolling: routes are replaced step by step, within a surge and an
//! unavailability.

use crate::{
    Blocker, Cause, Changes, Deployment, Evaluation, Policy, RevisionId, RollingUpdate, Rollout,
    Route, RouteId, State, Step, Timestamp, Traffic, Transition, TransitionKind,
    counts::Tally,
    keep::{BackOff, trim},
};

/// The whole decision. Rolling back is the same with the two revisions in each
/// other's place.
pub(crate) fn evaluate(
    deployment: &Deployment,
    rollout: Rollout,
    routes: &[Route],
    policy: &Policy,
    spec: &RollingUpdate,
    now: Timestamp,
) -> Evaluation {
    let back = rollout.step == Step::RollingBack;
    let (new, since) = if back {
        (rollout.current, deployment.current_since)
    } else {
        (rollout.deploying, rollout.since)
    };
    let roll = Roll::plan(deployment, new, since, routes, spec, now);
    let rollout = rollout.progressed(roll.new.ready, roll.target, now);
    if roll.is_complete() {
        return completed(roll, new, back).soon(now);
    }
    let deadline = if back {
        None
    } else {
        rollout.progress.reaches(policy.progress_deadline)
    };
    let Tally { ready, failed, .. } = roll.new;
    let cause = if !back && roll.new.live() == 0 && failed > 0 {
        Some(Cause::AllFailed { failed })
    } else {
        let passed = deadline.filter(|&deadline| deadline <= now);
        passed.map(|_| Cause::DeadlinePassed {
            deadline: policy.progress_deadline,
            ready,
            target: roll.target,
        })
    };
    if cause.is_some() {
        let rollout = rollout.turned_back();
        let mut evaluation = evaluate(deployment, rollout, routes, policy, spec, now);
        evaluation.transition.cause = cause;
        return evaluation;
    }
    let mut evaluation = Evaluation::waiting(State::Deploying(rollout));
    evaluation.deadline = deadline;
    evaluation.wake_by(deadline);
    for blocker in roll.blockers(back) {
        evaluation.wait_for(blocker);
    }
    let changes = &mut evaluation.transition.changes;
    changes.create(new, roll.create, Traffic::Active);
    changes.drain.extend(roll.drain);
    evaluation
}

/// One step of the replacement.
struct Roll {
    target: u32,
    new: Tally,
    create: u32,
    drain: Vec<RouteId>,
    back_off: Option<BackOff>,
}

impl Roll {
    fn plan(
        deployment: &Deployment,
        revision: RevisionId,
        since: Timestamp,
        routes: &[Route],
        spec: &RollingUpdate,
        now: Timestamp,
    ) -> Self {
        let target = deployment.target_replicas;
        let (surge, unavailable) = spec.resolve(target);
        let ours = routes.iter().filter(|route| route.revision == revision);
        let (new, mut drain) = trim(ours, since, target);
        let others = routes
            .iter()
            .filter(|route| route.revision != revision && route.status.is_active());
        let mut old = others.clone().count();
        if new.provisioning == 0 {
            let unready = others.clone().filter(|route| !route.is_ready()).count();
            let ready = new.ready as usize + old - unready;
            let spare = ready.saturating_sub(target.saturating_sub(unavailable) as usize);
            let going = (unready + spare).min(old);
            if going > 0 {
                let mut others: Vec<&Route> = others.collect();
                others.sort_unstable_by_key(|route| route.termination_key());
                drain.extend(others.iter().take(going).map(|route| route.id));
                old -= going;
            }
        }
        let old = u32::try_from(old).unwrap_or(u32::MAX);
        let live = new.live();
        let room = (target + surge)
            .saturating_sub(old + live)
            .min(target.saturating_sub(live));
        let wanted = if new.provisioning == 0 { room } else { 0 };
        let back_off = (wanted > 0)
            .then(|| BackOff::of(routes, revision, now))
            .flatten();
        let create = if back_off.is_some() { 0 } else { wanted };
        Self {
            target,
            new,
            create,
            drain,
            back_off,
        }
    }

    /// All new routes are ready: then every old one can be spared, and goes.
    fn is_complete(&self) -> bool {
        self.new.ready >= self.target
    }

    /// Why it is not complete. On the way back the new routes are those of the
    /// current revision, not green.
    fn blockers(&self, back: bool) -> impl Iterator<Item = Blocker> + use<> {
        let Self { target, new, .. } = *self;
        let Tally { ready, unready, .. } = new;
        let provisioning = new.provisioning + self.create;
        let current = back.then_some(Blocker::RoutesNotReady {
            ready,
            target,
            provisioning,
            unready,
        });
        let starting = (!back && provisioning > 0).then_some(Blocker::GreenProvisioning {
            provisioning,
            ready,
            target,
        });
        let unhealthy = (!back && new.unready_count > 0).then_some(Blocker::GreenUnhealthy {
            ready,
            target,
            unready,
        });
        let failed = (!back && new.failed > 0).then_some(Blocker::GreenFailed {
            failed: new.failed,
            ready,
            target,
        });
        let back_off = self.back_off.map(BackOff::blocker);
        [current, starting, unhealthy, failed, back_off]
            .into_iter()
            .flatten()
    }
}

fn completed(roll: Roll, new: RevisionId, back: bool) -> Evaluation {
    let ready = roll.new.ready;
    let (kind, cause) = if back {
        (TransitionKind::RollBack, Cause::Returned { ready })
    } else {
        (TransitionKind::Promotion, Cause::Replaced { ready })
    };
    Evaluation::from(Transition {
        kind,
        state: State::Ready { current: new },
        changes: Changes {
            drain: roll.drain,
            ..Changes::default()
        },
        cause: Some(cause),
    })
}
