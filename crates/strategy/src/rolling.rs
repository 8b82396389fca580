//! Rolling: routes are replaced step by step, within a surge and an
//! unavailability.

use crate::{
    Blocker, DeploymentState, Evaluation, IntOrPercent, Observed, ObservedRoute, PolicyError,
    Reason, RevisionId, RollingUpdate, Rollout, RolloutOutcome, RolloutStep, RouteActions, RouteId,
    RouteTraffic, Timestamp, Transition,
    counts::RouteCounts,
    exchange::expendable,
    observed::StaleHealth,
    pause::hold_side_by_side,
    replenish::{BackOff, Replenish, create_after_back_off, trim},
    strategy::StrategyRules,
    verbs::PromoteRejection,
};

impl StrategyRules for RollingUpdate {
    fn name(&self) -> &'static str {
        "rolling_update"
    }

    fn check(&self, errors: &mut Vec<PolicyError>) {
        let fields = [
            ("rolling_update.max_surge", self.max_surge),
            ("rolling_update.max_unavailable", self.max_unavailable),
        ];
        for (name, value) in fields {
            value.check(name, errors);
        }
        if self.max_surge.is_zero() && self.max_unavailable.is_zero() {
            errors.push(PolicyError::NoRoomToRoll);
        }
    }

    /// Rolling back is the same with the two revisions exchanged.
    fn evaluate(&self, observed: &Observed<'_>, rollout: Rollout) -> Evaluation {
        let back = rollout.step == RolloutStep::RollingBack;
        let (new, activation) = if back {
            (rollout.current, observed.deployment.current_activation)
        } else {
            (rollout.deploying, rollout.activation)
        };
        let step = RollingStep::plan(self, observed, new, activation);
        let rollout = rollout.progressed(step.new.ready, step.target, observed.now);
        // Nothing shows that the new revision works. The way back needs no proof.
        if step.target == 0 && !back {
            let rollout = rollout.without_replicas(observed.now);
            return step.wait(observed, rollout, None, [Blocker::NoReplicas]);
        }
        if step.is_complete() {
            return step.complete(observed, &rollout).requeue_now(observed.now);
        }
        // The way back has no deadline: there is nothing left to turn back to.
        if back {
            let blockers = step.blockers(back);
            return step.wait(observed, rollout, None, blockers);
        }
        let rollout = rollout.with_replicas(observed.now);
        let deadline = step.deadline(observed, &rollout);
        if let Some(reason) = step.reason_to_turn_back(observed, deadline) {
            // The first step back belongs to the same transition: one that only moved
            // to ROLLING_BACK would leave that step to the next cycle.
            let mut evaluation = self.evaluate(observed, rollout.turned_back());
            evaluation.transition.reason = Some(reason);
            // Said now: on the way back the routes that failed are drained and replaced.
            evaluation.transition =
                evaluation
                    .transition
                    .ending(observed, &rollout, RolloutOutcome::RolledBack);
            return evaluation;
        }
        let blockers = step.blockers(back);
        step.wait(observed, rollout, deadline, blockers)
    }

    /// Only without replicas, where it does not go on by itself.
    fn promote(
        &self,
        observed: &Observed<'_>,
        rollout: Rollout,
    ) -> Result<Transition, PromoteRejection> {
        if observed.deployment.target_replicas > 0 {
            return Err(PromoteRejection::NotBlueGreen);
        }
        if rollout.step == RolloutStep::RollingBack {
            return Err(PromoteRejection::RollingBack);
        }
        if observed.deployment.paused {
            return Err(PromoteRejection::Blocked(vec![Blocker::Paused]));
        }
        let mut actions = RouteActions::default();
        actions.drain_active(observed, |_| true);
        Ok(Transition::promotion(observed, &rollout, actions))
    }

    fn abort(&self, observed: &Observed<'_>, rollout: Rollout) -> Transition {
        // No route moves yet: an abort is possible during a pause, in which nothing may move.
        let state = DeploymentState::Deploying(rollout.turned_back());
        Transition::step(observed.deployment, state)
    }

    fn hold(&self, observed: &Observed<'_>, rollout: &Rollout) -> Replenish {
        let (surge, _) = self.resolve(observed.deployment.target_replicas);
        hold_side_by_side(observed, rollout, surge)
    }

    fn restart_bounds(&self, target: u32) -> (u32, u32) {
        self.resolve(target)
    }

    /// None: the old green serves until it is replaced, as any other old route.
    fn drains_superseded(&self, _rollout: &Rollout, _route: &ObservedRoute) -> bool {
        false
    }

    /// With traffic: every new route has it, and these run already.
    fn reuse(&self, kept: Vec<RouteId>, actions: &mut RouteActions) {
        actions.promote.extend(kept);
    }
}

impl RollingUpdate {
    /// The surge and the unavailability that `target` allows. A pair that comes to
    /// zero and zero counts as zero and one, or nothing could move.
    pub(crate) fn resolve(&self, target: u32) -> (u32, u32) {
        let surge = match self.max_surge {
            IntOrPercent::Count(count) => count,
            IntOrPercent::Percent(percent) => (target * percent).div_ceil(100),
        };
        let unavailable = match self.max_unavailable {
            IntOrPercent::Count(count) => count,
            IntOrPercent::Percent(percent) => target * percent / 100,
        };
        if surge == 0 && unavailable == 0 {
            (0, 1)
        } else {
            (surge, unavailable)
        }
    }
}

/// One step of the replacement.
struct RollingStep {
    target: u32,
    /// The new revision, and the activation that its new routes belong to.
    revision: RevisionId,
    activation: i64,
    new: RouteCounts,
    create: u32,
    drain: Vec<RouteId>,
    back_off: Option<BackOff>,
    /// Ready new routes whose health is too old for a step forward.
    stale: Option<StaleHealth>,
}

impl RollingStep {
    fn plan(
        settings: &RollingUpdate,
        observed: &Observed<'_>,
        revision: RevisionId,
        activation: i64,
    ) -> Self {
        let target = observed.deployment.target_replicas;
        let (surge, unavailable) = settings.resolve(target);
        // One that a caller wants out is replaced like an old one.
        let is_new =
            move |route: &&ObservedRoute| route.revision == revision && !route.is_wanted_out();
        let ours = observed.routes.iter().filter(is_new);
        let (new, mut drain) = trim(ours, activation, target);
        let stale = observed.stale_health(revision, &drain);
        // No old route goes for a new one whose health no report confirms.
        let fresh = new.ready - StaleHealth::count(stale).min(new.ready);
        let others = observed.active_routes().filter(move |route| !is_new(route));
        // They have no traffic, so that no bound protects them.
        drain.extend(others.clone().filter(|it| !it.is_live()).map(|it| it.id));
        let others = others.filter(|route| route.is_live());
        let mut old = others.clone().count();
        // One step at a time: until the new routes of the last step have started, it
        // is open whether more old ones can be spared.
        if new.provisioning == 0 {
            let least = target.saturating_sub(unavailable);
            let going = expendable(observed, others, fresh, least);
            old -= going.len();
            drain.extend(going);
        }
        let old = u32::try_from(old).unwrap_or(u32::MAX);
        let live = new.live();
        // Never above the surge in all, and never above the target of the new ones.
        let room = (target + surge)
            .saturating_sub(old + live)
            .min(target.saturating_sub(live));
        // As above: none is created either while those of the last step are starting.
        let wanted = if new.provisioning == 0 { room } else { 0 };
        let (create, back_off) = create_after_back_off(observed, revision, activation, wanted);
        Self {
            target,
            revision,
            activation,
            new,
            create,
            drain,
            back_off,
            stale,
        }
    }

    /// All new routes are ready. Then every old one can be spared, and is drained.
    fn is_complete(&self) -> bool {
        self.new.ready >= self.target && self.stale.is_none()
    }

    /// When the rollout is given up, if nothing more becomes ready until then.
    fn deadline(&self, observed: &Observed<'_>, rollout: &Rollout) -> Option<Timestamp> {
        // Only reports are missing, as after a restart of the server: no reason to go back.
        // Nor one to look again: a deadline that has passed would be due at every look.
        if self.stale.is_some() && self.new.ready >= self.target {
            return None;
        }
        rollout.progress.reaches(observed.policy.progress_deadline)
    }

    /// Why the rollout is given up, if it is.
    fn reason_to_turn_back(
        &self,
        observed: &Observed<'_>,
        deadline: Option<Timestamp>,
    ) -> Option<Reason> {
        let RouteCounts { ready, failed, .. } = self.new;
        // While one new route lives, failed ones are replaced, with the back-off. One that a
        // caller wants out is not among the new ones, but until it is drained it lives.
        let mut live = observed.live_routes(self.revision);
        if failed > 0 && self.new.live() == 0 && live.all(|it| self.drain.contains(&it.id)) {
            return Some(Reason::AllFailed { failed });
        }
        let passed = deadline.is_some_and(|deadline| deadline <= observed.now);
        passed.then_some(Reason::DeadlinePassed {
            deadline: observed.policy.progress_deadline,
            ready,
            target: self.target,
        })
    }

    /// Why it is not complete. On the way back the new routes are those of the
    /// current revision, so they are not called green.
    fn blockers(&self, back: bool) -> impl Iterator<Item = Blocker> + use<> {
        let Self { target, new, .. } = *self;
        let RouteCounts { ready, unready, .. } = new;
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
        let unhealthy = (!back && new.has_unhealthy()).then_some(Blocker::GreenUnhealthy {
            ready,
            target,
            unready,
        });
        let failed = (!back && new.failed > 0).then_some(Blocker::GreenFailed {
            failed: new.failed,
            ready,
            target,
        });
        let evictions = new.evictions();
        let back_off = self.back_off.map(BackOff::blocker);
        let no_address = new.no_address();
        [
            current, starting, unhealthy, no_address, failed, evictions, back_off,
        ]
        .into_iter()
        .flatten()
    }

    /// Takes the step, and waits.
    fn wait(
        self,
        observed: &Observed<'_>,
        rollout: Rollout,
        deadline: Option<Timestamp>,
        blockers: impl IntoIterator<Item = Blocker>,
    ) -> Evaluation {
        let mut evaluation = Evaluation::waiting(observed, DeploymentState::Deploying(rollout));
        evaluation.deadline = deadline;
        evaluation.wake_by(deadline);
        for blocker in blockers {
            evaluation.wait_for(blocker);
        }
        evaluation.wait_for_health(self.stale, observed.now);
        let actions = &mut evaluation.transition.actions;
        actions.create(
            self.revision,
            self.activation,
            self.create,
            RouteTraffic::Active,
        );
        actions.drain.extend(self.drain);
        evaluation
    }

    fn complete(self, observed: &Observed<'_>, rollout: &Rollout) -> Evaluation {
        let ready = self.new.ready;
        let actions = RouteActions {
            drain: self.drain,
            ..RouteActions::default()
        };
        let (transition, reason) = if rollout.step == RolloutStep::RollingBack {
            let transition = Transition::roll_back(observed, rollout, actions);
            (transition, Reason::Returned { ready })
        } else {
            let transition = Transition::promotion(observed, rollout, actions);
            (transition, Reason::Replaced { ready })
        };
        Evaluation::because(transition, Some(reason))
    }
}
