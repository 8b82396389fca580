//! Blue-green: eight steps, of which the first that matches wins.

mod assessment;

use std::time::Duration;

use self::assessment::{GreenAssessment, GreenReadiness};
use crate::{
    Blocker, BlueGreen, DeploymentState, Evaluation, GateAction, GateTimeout, MAX_REPLICAS,
    Observed, ObservedRoute, PolicyError, Reason, Rollout, RolloutStep, RouteActions, RouteId,
    RouteStatus, RouteTraffic, Timestamp, Transition,
    counts::RouteCounts,
    policy::check_duration,
    replenish::{Replenish, create_after_back_off, drain_obsolete},
    strategy::StrategyRules,
    verbs::PromoteRejection,
};

impl StrategyRules for BlueGreen {
    fn name(&self) -> &'static str {
        "blue_green"
    }

    fn check(&self, errors: &mut Vec<PolicyError>) {
        check_duration("blue_green.promote_delay", self.promote_delay, errors);
        check_duration("blue_green.min_ready", self.min_ready, errors);
        check_duration("blue_green.scale_down_delay", self.scale_down_delay, errors);
        if let Some(gate) = self.gate_timeout {
            check_duration("blue_green.gate_timeout.duration", gate.duration, errors);
            if gate.duration.is_zero() {
                errors.push(PolicyError::GateTimeoutZero);
            }
        }
        if self.max_replacements > Some(MAX_REPLICAS) {
            errors.push(PolicyError::CountTooLarge("blue_green.max_replacements"));
        }
        if let Some(threshold) = self.ready_threshold {
            threshold.check("blue_green.ready_threshold", errors);
            if threshold.is_zero() {
                errors.push(PolicyError::ReadyThresholdZero);
            }
        }
    }

    fn evaluate(&self, observed: &Observed<'_>, rollout: Rollout) -> Evaluation {
        let back = |reason| {
            let transition = roll_back(observed, &rollout);
            Evaluation::because(transition, reason).requeue_now(observed.now)
        };
        if rollout.step == RolloutStep::RollingBack {
            return back(None);
        }
        let assessment = GreenAssessment::of(self, observed, &rollout);
        let next = assessment.next_move(self, observed);
        match assessment.held_by_stale_health(next) {
            NextMove::Wait(step, blocker, deadline) => {
                assessment.wait(observed, step, blocker, deadline)
            }
            NextMove::Switch(reason) => {
                let transition = assessment.promotion(observed);
                Evaluation::because(transition, Some(reason)).requeue_now(observed.now)
            }
            NextMove::Back(reason) => back(Some(reason)),
        }
    }

    fn promote(
        &self,
        observed: &Observed<'_>,
        rollout: Rollout,
    ) -> Result<Transition, PromoteRejection> {
        if rollout.step == RolloutStep::RollingBack {
            return Err(PromoteRejection::RollingBack);
        }
        // A promotion waits for the resume. An abort and a roll-back, the ways back, do not.
        if observed.deployment.paused {
            return Err(PromoteRejection::Blocked(vec![Blocker::Paused]));
        }
        let assessment = GreenAssessment::of(self, observed, &rollout);
        assessment
            .check_ready()
            .map_err(PromoteRejection::Blocked)?;
        Ok(assessment.promotion(observed))
    }

    fn abort(&self, observed: &Observed<'_>, rollout: Rollout) -> Transition {
        roll_back(observed, &rollout)
    }

    fn drains_superseded(&self, rollout: &Rollout, route: &ObservedRoute) -> bool {
        route.revision != rollout.current || route.retained_at.is_some()
    }

    fn reuse(&self, kept: Vec<RouteId>, actions: &mut RouteActions) {
        actions.reuse.extend(kept);
    }

    fn scale_down_delay(&self) -> Duration {
        self.scale_down_delay
    }
}

/// What follows from the assessment.
enum NextMove {
    /// Wait in a step until a deadline, for a blocker or, without one, for green
    /// that is not ready.
    Wait(RolloutStep, Option<Blocker>, Option<Timestamp>),
    /// Switch to green.
    Switch(Reason),
    /// Go back to blue.
    Back(Reason),
}

impl GreenAssessment {
    /// Steps 3 to 8, with the gates and the deadlines as of now.
    fn next_move(&self, settings: &BlueGreen, observed: &Observed<'_>) -> NextMove {
        let RouteCounts { ready, failed, .. } = self.counts;
        let progress_deadline = observed.policy.progress_deadline;
        match self.readiness {
            GreenReadiness::NoReplicas => {
                NextMove::Wait(RolloutStep::Provisioning, Some(Blocker::NoReplicas), None)
            }
            GreenReadiness::AllFailed => NextMove::Back(Reason::AllFailed { failed }),
            GreenReadiness::Missing | GreenReadiness::NotReady => {
                // Also while green is missing: with a deadline of 0 none is created.
                let deadline = self.rollout.progress.reaches(progress_deadline);
                if deadline.is_some_and(|deadline| deadline <= observed.now) {
                    return NextMove::Back(Reason::DeadlinePassed {
                        deadline: progress_deadline,
                        ready,
                        target: self.target,
                    });
                }
                NextMove::Wait(RolloutStep::Provisioning, None, deadline)
            }
            // No deadline: enough green are ready, and its clock stands still.
            GreenReadiness::MinReady(until) => NextMove::Wait(
                RolloutStep::Provisioning,
                Some(Blocker::MinReady { until }),
                None,
            ),
            // What it goes back to has proved itself, and what serves is what is to be left.
            GreenReadiness::Ready(_) if self.rollout.is_ungated() => {
                NextMove::Switch(Reason::CameBack { ready })
            }
            GreenReadiness::Ready(until) if settings.auto_promote => {
                if until <= observed.now {
                    return NextMove::Switch(Reason::GatesOpen { ready });
                }
                // The gate's clock runs here too: auto_promote may be turned off during the delay.
                let gate = self.rollout.gate_clock(observed.now);
                let blocker = Blocker::PromoteDelay { until };
                NextMove::Wait(RolloutStep::AwaitingPromotion { gate }, Some(blocker), None)
            }
            GreenReadiness::Ready(_) => self.at_manual_gate(settings.gate_timeout, observed.now),
        }
    }

    /// The same, unless it is a step forward, which must not rest on a health that is
    /// too old. It is no step back either: after a restart of the server no report has
    /// come yet, and a gate that is reached stays reached.
    fn held_by_stale_health(&self, next: NextMove) -> NextMove {
        let step = self.rollout.step;
        match next {
            NextMove::Switch(_) if self.stale.is_some() => NextMove::Wait(step, None, None),
            NextMove::Wait(RolloutStep::AwaitingPromotion { .. }, ..)
                if self.stale.is_some() && step == RolloutStep::Provisioning =>
            {
                NextMove::Wait(step, None, None)
            }
            next => next,
        }
    }

    fn at_manual_gate(&self, timeout: Option<GateTimeout>, now: Timestamp) -> NextMove {
        let gate = self.rollout.gate_clock(now);
        // From the gate's clock, not from a stored end: a new duration counts at once.
        let timeout = timeout.and_then(|timeout| Some((gate.reaches(timeout.duration)?, timeout)));
        if let Some((at, GateTimeout { duration, action })) = timeout
            && at <= now
        {
            let reason = Reason::GateTimedOut { after: duration };
            match action {
                GateAction::Rollback => return NextMove::Back(reason),
                GateAction::Promote => return NextMove::Switch(reason),
                GateAction::Hold => {}
            }
        }
        let blocker = Blocker::ManualGate {
            ready: self.counts.ready,
            timeout: timeout.map(|(at, timeout)| (at, timeout.action)),
        };
        NextMove::Wait(
            RolloutStep::AwaitingPromotion { gate },
            Some(blocker),
            blocker.until(),
        )
    }

    /// Brings green and blue to the target while the switch has to wait.
    fn wait(
        self,
        observed: &Observed<'_>,
        step: RolloutStep,
        blocker: Option<Blocker>,
        deadline: Option<Timestamp>,
    ) -> Evaluation {
        let rollout = Rollout {
            step,
            ..self.rollout
        };
        let mut evaluation = Evaluation::waiting(observed, DeploymentState::Deploying(rollout));
        match blocker {
            Some(blocker) => {
                evaluation.wait_for(blocker);
                // Below the target the gate is not all that there is to say.
                if self.counts.ready > 0 && self.counts.ready < self.target {
                    self.explain(self.missing, &mut evaluation.blockers);
                }
            }
            None => self.explain(self.missing, &mut evaluation.blockers),
        }
        evaluation.wait_for_health(self.stale, observed.now);
        evaluation.deadline = deadline;
        evaluation.wake_by(deadline);
        let actions = &mut evaluation.transition.actions;
        // Without traffic: all of it is switched at once.
        actions.create(
            rollout.deploying,
            rollout.activation,
            self.missing,
            RouteTraffic::Inactive,
        );
        actions.drain.extend(self.surplus);
        // Blue serves until the switch, so it is healed and scaled all the same.
        let blue = Replenish::to_target(observed, rollout.current);
        let back_off_end = blue.back_off.map(|back_off| back_off.until);
        let look_again_at = blue.look_again_at;
        blue.apply(rollout.current, actions);
        let retained_end = drain_obsolete(observed, rollout.revisions(), actions);
        // Blue's back-off is not among the blockers, but its end is a time to wake.
        evaluation.wake_by(back_off_end);
        evaluation.wake_by(look_again_at);
        evaluation.wake_by(retained_end);
        evaluation
    }

    /// Step 8: green takes the traffic, and every route that is not green loses it. Green that
    /// is not ready yet, of which there is some only above the threshold, gets its share once
    /// it is.
    fn promotion(&self, observed: &Observed<'_>) -> Transition {
        let retains = !observed.policy.scale_down_delay().is_zero();
        let mut actions = RouteActions::default();
        // Sorted for the search below; the order of `drain` is that of the routes.
        let mut surplus = self.surplus.clone();
        surplus.sort_unstable();
        for route in observed.active_routes() {
            if route.revision == self.rollout.deploying {
                if surplus.binary_search(&route.id).is_ok() {
                    actions.drain.push(route.id);
                } else {
                    actions.promote.push(route.id);
                }
            } else if retains && route.status == RouteStatus::Running {
                // Only RUNNING ones: a route that has yet to start is no way back.
                actions.retain.push(route.id);
            } else {
                actions.drain.push(route.id);
            }
        }
        // Above the threshold: as READY would create it, at once.
        let missing = self.target.saturating_sub(self.counts.live());
        let Rollout {
            deploying,
            activation,
            ..
        } = self.rollout;
        let (missing, _) = create_after_back_off(observed, deploying, activation, missing);
        actions.create(deploying, activation, missing, RouteTraffic::Active);
        Transition::promotion(observed, &self.rollout, actions)
    }
}

/// Drains green, and brings blue to the target again.
fn roll_back(observed: &Observed<'_>, rollout: &Rollout) -> Transition {
    let mut actions = RouteActions::default();
    let green = observed.live_routes(rollout.deploying);
    actions.drain.extend(green.map(|route| route.id));
    Replenish::to_target(observed, rollout.current).apply(rollout.current, &mut actions);
    drain_obsolete(observed, rollout.revisions(), &mut actions);
    Transition::roll_back(observed, rollout, actions)
}
