//! The moves of green: to wait, to switch, and to go back.

use std::ops::ControlFlow;

use super::{GreenAssessment, assessment::GreenReadiness};
use crate::{
    Blocker, Blockers, DeploymentState, Evaluation, GateAction, GateTimeout, Observed, Reason,
    Rollout, RolloutStep, RouteActions, RouteStatus, RouteTraffic, Stopwatch, Timestamp,
    Transition,
    counts::RouteCounts,
    replenish::{Replenish, create_after_back_off, drain_obsolete},
};

/// What has to happen before green that is ready takes all the traffic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PromotionGate {
    /// Nothing but time.
    pub(crate) auto_promote: bool,
    /// What happens without a promotion by hand.
    pub(crate) timeout: Option<GateTimeout>,
}

/// What follows from the assessment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NextMove {
    /// Wait in a step until a deadline, for a blocker or, without one, for green
    /// that is not ready.
    Wait(RolloutStep, Option<Blocker>, Option<Timestamp>),
    /// Switch to green.
    Switch(Reason),
    /// Go back to blue.
    Back(Reason),
}

/// The clock of a gate that waits for someone, against its timeout.
pub(crate) struct GateTimer {
    pub(crate) clock: Stopwatch,
    timeout: Option<(Timestamp, GateTimeout)>,
    now: Timestamp,
}

impl GateTimer {
    pub(crate) fn of(clock: Stopwatch, timeout: Option<GateTimeout>, now: Timestamp) -> Self {
        // From the gate's clock, not from a stored end: a new duration counts at once.
        let timeout = timeout.and_then(|timeout| Some((clock.reaches(timeout.duration)?, timeout)));
        Self {
            clock,
            timeout,
            now,
        }
    }

    /// When it times out, and what happens then.
    pub(crate) fn timeout(&self) -> Option<(Timestamp, GateAction)> {
        self.timeout.map(|(at, timeout)| (at, timeout.action))
    }

    /// What happens now that it has timed out.
    pub(crate) fn due(&self) -> Option<NextMove> {
        let (_, GateTimeout { duration, action }) =
            self.timeout.filter(|(at, _)| *at <= self.now)?;
        let reason = Reason::GateTimedOut { after: duration };
        match action {
            GateAction::Rollback => Some(NextMove::Back(reason)),
            GateAction::Promote => Some(NextMove::Switch(reason)),
            GateAction::Hold => None,
        }
    }
}

impl GreenAssessment {
    /// When the delay of an automatic move ends, if green is ready for a move. Else what happens
    /// instead.
    pub(crate) fn ready_for_move(
        &self,
        observed: &Observed<'_>,
    ) -> ControlFlow<NextMove, Timestamp> {
        let RouteCounts { ready, failed, .. } = self.counts;
        let progress_deadline = observed.policy.progress_deadline;
        let provisioning = RolloutStep::Provisioning;
        let next = match self.readiness {
            GreenReadiness::NoReplicas => {
                NextMove::Wait(provisioning, Some(Blocker::NoReplicas), None)
            }
            GreenReadiness::AllFailed => NextMove::Back(Reason::AllFailed { failed }),
            GreenReadiness::Missing | GreenReadiness::NotReady => {
                // Also while green is missing: with a deadline of 0 none is created.
                let deadline = self.rollout.progress.reaches(progress_deadline);
                if deadline.is_some_and(|deadline| deadline <= observed.now) {
                    NextMove::Back(Reason::DeadlinePassed {
                        deadline: progress_deadline,
                        ready,
                        target: self.target,
                    })
                } else {
                    NextMove::Wait(provisioning, None, deadline)
                }
            }
            // No deadline: enough green are ready, and its clock stands still.
            GreenReadiness::MinReady(until) => {
                NextMove::Wait(provisioning, Some(Blocker::MinReady { until }), None)
            }
            GreenReadiness::Ready(delay_end) => return ControlFlow::Continue(delay_end),
        };
        ControlFlow::Break(next)
    }

    /// What green that is ready does at the gate of the promotion, whose delay is over at a
    /// time.
    pub(crate) fn at_gate(
        &self,
        gate: PromotionGate,
        delay_end: Timestamp,
        now: Timestamp,
    ) -> NextMove {
        let ready = self.counts.ready;
        // What it goes back to has proved itself, and what serves is what is to be left.
        if self.rollout.is_ungated() {
            return NextMove::Switch(Reason::CameBack { ready });
        }
        if !gate.auto_promote {
            return self.at_manual_gate(gate.timeout, now);
        }
        if delay_end <= now {
            return NextMove::Switch(Reason::GatesOpen { ready });
        }
        // The gate's clock runs here too: auto_promote may be turned off during the delay.
        let gate = self.rollout.gate_clock(now);
        let blocker = Blocker::PromoteDelay { until: delay_end };
        NextMove::Wait(RolloutStep::AwaitingPromotion { gate }, Some(blocker), None)
    }

    /// The same, unless it is a step forward, which must not rest on a health that is
    /// too old. It is no step back either: after a restart of the server no report has
    /// come yet, and a gate that is reached stays reached.
    fn held_by_stale_health(&self, next: NextMove) -> NextMove {
        let step = self.rollout.step;
        match next {
            NextMove::Switch(_) if self.stale.is_some() => NextMove::Wait(step, None, None),
            NextMove::Wait(RolloutStep::AwaitingPromotion { .. }, ..)
                if self.stale.is_some()
                    && !matches!(step, RolloutStep::AwaitingPromotion { .. }) =>
            {
                NextMove::Wait(step, None, None)
            }
            next => next,
        }
    }

    fn at_manual_gate(&self, timeout: Option<GateTimeout>, now: Timestamp) -> NextMove {
        let timer = GateTimer::of(self.rollout.gate_clock(now), timeout, now);
        if let Some(next) = timer.due() {
            return next;
        }
        let blocker = Blocker::ManualGate {
            ready: self.counts.ready,
            timeout: timer.timeout(),
        };
        let gate = timer.clock;
        NextMove::Wait(
            RolloutStep::AwaitingPromotion { gate },
            Some(blocker),
            blocker.until(),
        )
    }

    /// Does what comes next.
    pub(crate) fn carry_out(self, next: NextMove, observed: &Observed<'_>) -> Evaluation {
        match self.held_by_stale_health(next) {
            NextMove::Wait(step, blocker, deadline) => self.wait(observed, step, blocker, deadline),
            NextMove::Switch(reason) => {
                let transition = self.promotion(observed);
                Evaluation::because(transition, Some(reason)).requeue_now(observed.now)
            }
            NextMove::Back(reason) => go_back(observed, &self.rollout, Some(reason)),
        }
    }

    /// Waits in a step until a deadline, and says why.
    fn wait(
        self,
        observed: &Observed<'_>,
        step: RolloutStep,
        blocker: Option<Blocker>,
        deadline: Option<Timestamp>,
    ) -> Evaluation {
        let mut blockers = Blockers::from_iter(blocker);
        // Below the target the gate is not all that there is to say.
        if blocker.is_none() || self.counts.ready > 0 && self.counts.ready < self.target {
            self.explain(self.missing, &mut blockers);
        }
        let (stale, rollout) = (self.stale, self.rollout);
        let mut evaluation = self.keep(observed, Rollout { step, ..rollout });
        for blocker in blockers {
            evaluation.wait_for(blocker);
        }
        evaluation.wait_for_health(stale, observed.now);
        evaluation.deadline = deadline;
        evaluation.wake_by(deadline);
        evaluation
    }

    /// Brings green and blue to the numbers that are needed, with the rollout as it is to be.
    pub(crate) fn keep(self, observed: &Observed<'_>, rollout: Rollout) -> Evaluation {
        let mut evaluation = Evaluation::waiting(observed, DeploymentState::Deploying(rollout));
        let actions = &mut evaluation.transition.actions;
        actions.create(
            rollout.deploying,
            rollout.activation,
            self.missing,
            self.traffic,
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

    /// Green takes the traffic, and every route that is not green loses it. Green that
    /// is not ready yet, of which there is some only above the threshold, gets its share once
    /// it is.
    pub(crate) fn promotion(&self, observed: &Observed<'_>) -> Transition {
        let retains = !observed.policy.scale_down_delay().is_zero();
        let mut actions = RouteActions::default();
        // Sorted for the search below; the order of `drain` is that of the routes.
        let mut surplus = self.surplus.clone();
        surplus.sort_unstable();
        for route in observed.active_routes() {
            if route.revision == self.rollout.deploying {
                if surplus.binary_search(&route.id).is_ok() {
                    actions.drain.push(route.id);
                } else if route.traffic == RouteTraffic::Inactive {
                    // Those of a canary may have some already.
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

/// Goes back to blue by itself.
pub(crate) fn go_back(
    observed: &Observed<'_>,
    rollout: &Rollout,
    reason: Option<Reason>,
) -> Evaluation {
    let transition = roll_back(observed, rollout);
    Evaluation::because(transition, reason).requeue_now(observed.now)
}

/// Drains green, and brings blue to the target again.
pub(crate) fn roll_back(observed: &Observed<'_>, rollout: &Rollout) -> Transition {
    let mut actions = RouteActions::default();
    let green = observed.live_routes(rollout.deploying);
    actions.drain.extend(green.map(|route| route.id));
    Replenish::to_target(observed, rollout.current).apply(rollout.current, &mut actions);
    drain_obsolete(observed, rollout.revisions(), &mut actions);
    Transition::roll_back(observed, rollout, actions)
}
