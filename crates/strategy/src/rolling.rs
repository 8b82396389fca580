//! Rolling: routes are replaced step by step, within a surge and an
//! unavailability.

use crate::{
    Blocker, Deployment, Evaluation, Policy, RevisionId, RollingUpdate, Rollout, Route, RouteId,
    State, Step, Stopwatch, Timestamp, Traffic, TransitionKind,
    counts::Tally,
    keep::{BackOff, surplus},
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
    let rollout = roll.measure(rollout, now);
    if roll.is_complete() {
        return completed(&roll, new, back).soon(now);
    }
    let deadline = if back {
        None
    } else {
        rollout.progress.reaches(policy.progress_deadline)
    };
    let failed = !back && roll.new.live() == 0 && roll.new.failed > 0;
    if failed || deadline.is_some_and(|deadline| deadline <= now) {
        let rollout = Rollout {
            step: Step::RollingBack,
            ..rollout
        };
        return evaluate(deployment, rollout, routes, policy, spec, now);
    }
    let step = if back {
        Step::RollingBack
    } else {
        Step::Provisioning
    };
    let mut evaluation = Evaluation::waiting(State::Deploying(Rollout { step, ..rollout }));
    evaluation.deadline = deadline;
    evaluation.wake_by(deadline);
    evaluation.wake_by(roll.back_off.map(|back_off| back_off.until));
    evaluation.blockers.extend(roll.blockers(back));
    let changes = &mut evaluation.transition.changes;
    changes.create(new, roll.create, Traffic::Active);
    changes.drain.extend(roll.drain);
    evaluation
}

/// One step of the replacement.
struct Roll {
    target: u32,
    new: Tally,
    /// Old routes that stay for now.
    old: u32,
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
        let mut drain = surplus(routes, revision, target);
        let kept = routes
            .iter()
            .filter(|route| route.revision == revision && !drain.contains(&route.id));
        let new = Tally::of(kept, since);
        let mut old: Vec<&Route> = routes
            .iter()
            .filter(|route| route.revision != revision && route.status.is_active())
            .collect();
        if new.provisioning == 0 {
            old.sort_unstable_by_key(|route| route.termination_key());
            let unready = old.iter().filter(|route| !route.is_ready()).count();
            let ready = new.ready as usize + old.len() - unready;
            let spare = ready.saturating_sub(target.saturating_sub(unavailable) as usize);
            let going = (unready + spare).min(old.len());
            drain.extend(old.drain(..going).map(|route| route.id));
        }
        let old = u32::try_from(old.len()).unwrap_or(u32::MAX);
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
            old,
            create,
            drain,
            back_off,
        }
    }

    fn is_complete(&self) -> bool {
        self.new.provisioning == 0 && self.old == 0 && self.new.ready >= self.target
    }

    fn measure(&self, rollout: Rollout, now: Timestamp) -> Rollout {
        let best = rollout.best_ready.min(self.target);
        let progress = if self.new.ready > best {
            Stopwatch::started(now)
        } else {
            rollout.progress.running(now)
        };
        Rollout {
            progress,
            best_ready: best.max(self.new.ready),
            ..rollout
        }
    }

    /// Why it goes no further. On the way back the new routes are those of the
    /// current revision, not green.
    fn blockers(&self, back: bool) -> impl Iterator<Item = Blocker> + use<> {
        let Self { target, new, .. } = *self;
        let Tally { ready, unready, .. } = new;
        let provisioning = new.provisioning + self.create;
        let current = (back && ready < target).then_some(Blocker::RoutesNotReady {
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

fn completed(roll: &Roll, new: RevisionId, back: bool) -> Evaluation {
    let mut evaluation = Evaluation::waiting(State::Ready { current: new });
    let transition = &mut evaluation.transition;
    transition.kind = if back {
        TransitionKind::RollBack
    } else {
        TransitionKind::Promotion
    };
    transition.changes.drain.extend_from_slice(&roll.drain);
    evaluation
}
