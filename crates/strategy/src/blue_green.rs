//! Blue-green: eight steps, the first that matches wins.

use crate::{
    Blocker, BlueGreen, Cause, Changes, Deployment, Evaluation, GateAction, GateTimeout, Policy,
    Rollout, Route, RouteId, RouteStatus, State, Step, Stopwatch, Timestamp, Traffic, Transition,
    TransitionKind,
    counts::{Tally, live_of},
    keep::{Keep, clear_away, trim},
};

/// Green, sorted out, and the step that matches.
pub(crate) struct Assessment {
    target: u32,
    budget: u32,
    /// The green that stay.
    tally: Tally,
    /// How many are to be created.
    missing: u32,
    /// Those above the target, in termination order.
    surplus: Vec<RouteId>,
    verdict: Verdict,
    /// With its clocks as of now.
    rollout: Rollout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Step 2: some have yet to be created.
    Missing,
    /// Step 3: none is live, and some failed.
    AllFailed,
    /// Steps 4 and 5: some are not ready, those that start among them.
    NotReady,
    /// Step 6: all are ready, but not for long enough.
    MinReady(Timestamp),
    /// Only a gate is in the way. Says when the delay is over.
    Ready(Timestamp),
}

/// Where the verdict leads.
enum Next {
    /// To a step, for a blocker or for the green that are not ready, until a
    /// deadline.
    Wait(Step, Option<Blocker>, Option<Timestamp>),
    /// To green.
    Switch(Cause),
    /// Back to blue.
    Back(Cause),
}

/// Steps 2 to 6, which every promotion asks for.
pub(crate) fn assess(
    deployment: &Deployment,
    rollout: &Rollout,
    routes: &[Route],
    policy: &Policy,
    spec: &BlueGreen,
    now: Timestamp,
) -> Assessment {
    let target = deployment.target_replicas;
    let green = routes
        .iter()
        .filter(|route| route.revision == rollout.deploying && route.retained_at.is_none());
    let (tally, surplus) = trim(green, rollout.since, target);
    let spent = tally.failed.saturating_sub(spec.max_replacements);
    let missing = target.saturating_sub(tally.live()).saturating_sub(spent);
    let unready = if missing > 0 {
        Some(Verdict::Missing)
    } else if tally.live() == 0 && tally.failed > 0 {
        Some(Verdict::AllFailed)
    } else if tally.ready < target {
        Some(Verdict::NotReady)
    } else {
        None
    };
    let rollout = rollout.progressed(tally.ready, target, now);
    let (verdict, rollout) = match unready {
        Some(verdict) => (verdict, rollout.unsteady(policy, now)),
        None => {
            let (rollout, watch) = rollout.steady(tally.settled_at, now);
            let over = |time| watch.reaches(time).unwrap_or(now);
            let min_ready = over(spec.min_ready);
            if now < min_ready {
                (Verdict::MinReady(min_ready), rollout)
            } else {
                (Verdict::Ready(over(spec.promote_delay)), rollout)
            }
        }
    };
    Assessment {
        target,
        budget: spec.max_replacements,
        tally,
        missing,
        surplus,
        verdict,
        rollout,
    }
}

/// The whole decision.
pub(crate) fn evaluate(
    deployment: &Deployment,
    rollout: Rollout,
    routes: &[Route],
    policy: &Policy,
    spec: &BlueGreen,
    now: Timestamp,
) -> Evaluation {
    let back = |cause| {
        let transition = roll_back(deployment, &rollout, routes, policy, now);
        Evaluation::because(transition, cause).soon(now)
    };
    if rollout.step == Step::RollingBack {
        return back(None);
    }
    let assessment = assess(deployment, &rollout, routes, policy, spec, now);
    let (step, blocker, deadline) = match assessment.next(policy, spec, now) {
        Next::Wait(step, blocker, deadline) => (step, blocker, deadline),
        Next::Switch(cause) => {
            let transition = promotion(&assessment, routes, policy);
            return Evaluation::because(transition, Some(cause)).soon(now);
        }
        Next::Back(cause) => return back(Some(cause)),
    };
    let rollout = Rollout {
        step,
        ..assessment.rollout
    };
    let mut evaluation = Evaluation::waiting(State::Deploying(rollout));
    match blocker {
        Some(blocker) => evaluation.wait_for(blocker),
        None => assessment.explain(assessment.missing, &mut evaluation.blockers),
    }
    evaluation.deadline = deadline;
    evaluation.wake_by(deadline);
    let changes = &mut evaluation.transition.changes;
    changes.create(rollout.deploying, assessment.missing, Traffic::Inactive);
    changes.drain.extend(assessment.surplus);
    let keep = Keep::at_target(deployment, rollout.current, routes, now);
    let back_off_end = keep.back_off.map(|back_off| back_off.until);
    keep.apply(rollout.current, changes);
    let retained_end = clear_away(rollout.revisions(), routes, policy, now, changes);
    evaluation.wake_by(back_off_end);
    evaluation.wake_by(retained_end);
    evaluation
}

/// Step 8: exactly the ready green take the traffic, and all that is not green
/// loses it.
pub(crate) fn promotion(assessment: &Assessment, routes: &[Route], policy: &Policy) -> Transition {
    let rollout = &assessment.rollout;
    let mut changes = Changes::default();
    let mut surplus = assessment.surplus.clone();
    surplus.sort_unstable();
    for route in routes.iter().filter(|route| route.status.is_active()) {
        if route.revision == rollout.deploying {
            if surplus.binary_search(&route.id).is_ok() {
                changes.drain.push(route.id);
            } else if route.is_ready() {
                changes.promote.push(route.id);
            }
        } else if route.status == RouteStatus::Running && !policy.scale_down_delay().is_zero() {
            changes.retain.push(route.id);
        } else {
            changes.drain.push(route.id);
        }
    }
    Transition {
        kind: TransitionKind::Promotion,
        state: State::Ready {
            current: rollout.deploying,
        },
        changes,
        cause: None,
    }
}

/// Green is drained, and blue is at the target again.
pub(crate) fn roll_back(
    deployment: &Deployment,
    rollout: &Rollout,
    routes: &[Route],
    policy: &Policy,
    now: Timestamp,
) -> Transition {
    let mut changes = Changes::default();
    changes
        .drain
        .extend(live_of(routes, rollout.deploying).map(|route| route.id));
    Keep::at_target(deployment, rollout.current, routes, now).apply(rollout.current, &mut changes);
    clear_away(rollout.revisions(), routes, policy, now, &mut changes);
    Transition {
        kind: TransitionKind::RollBack,
        state: State::Ready {
            current: rollout.current,
        },
        changes,
        cause: None,
    }
}

impl Assessment {
    /// Whether nothing but a gate is in the way, or else what is.
    pub(crate) fn ready(&self) -> Result<(), Vec<Blocker>> {
        match self.verdict {
            Verdict::Ready(_) => Ok(()),
            Verdict::MinReady(until) => Err(vec![Blocker::MinReady { until }]),
            Verdict::Missing | Verdict::AllFailed | Verdict::NotReady => {
                let missing = (self.missing > 0).then_some(Blocker::GreenMissing {
                    missing: self.missing,
                    target: self.target,
                });
                let mut blockers = Vec::from_iter(missing);
                self.explain(0, &mut blockers);
                Err(blockers)
            }
        }
    }

    /// Steps 3 to 8, with the gates and the deadlines as of now.
    fn next(&self, policy: &Policy, spec: &BlueGreen, now: Timestamp) -> Next {
        let Tally { ready, failed, .. } = self.tally;
        match self.verdict {
            Verdict::AllFailed => Next::Back(Cause::AllFailed { failed }),
            Verdict::Missing | Verdict::NotReady => {
                let deadline = self.rollout.progress.reaches(policy.progress_deadline);
                if deadline.is_some_and(|deadline| deadline <= now) {
                    return Next::Back(Cause::DeadlinePassed {
                        deadline: policy.progress_deadline,
                        ready,
                        target: self.target,
                    });
                }
                Next::Wait(Step::Provisioning, None, deadline)
            }
            Verdict::MinReady(until) => {
                Next::Wait(Step::Provisioning, Some(Blocker::MinReady { until }), None)
            }
            Verdict::Ready(until) if spec.auto_promote => {
                if until <= now {
                    return Next::Switch(Cause::GatesOpen { ready });
                }
                let gate = gate(&self.rollout, now);
                let blocker = Blocker::PromoteDelay { until };
                Next::Wait(Step::AwaitingPromotion { gate }, Some(blocker), None)
            }
            Verdict::Ready(_) => self.at_manual_gate(spec.gate_timeout, now),
        }
    }

    fn at_manual_gate(&self, timeout: Option<GateTimeout>, now: Timestamp) -> Next {
        let gate = gate(&self.rollout, now);
        let timeout = timeout.and_then(|timeout| Some((gate.reaches(timeout.duration)?, timeout)));
        if let Some((at, GateTimeout { duration, action })) = timeout
            && at <= now
        {
            let cause = Cause::GateTimedOut { after: duration };
            match action {
                GateAction::Rollback => return Next::Back(cause),
                GateAction::Promote => return Next::Switch(cause),
                GateAction::Hold => {}
            }
        }
        let blocker = Blocker::ManualGate {
            ready: self.tally.ready,
            timeout: timeout.map(|(at, timeout)| (at, timeout.action)),
        };
        Next::Wait(
            Step::AwaitingPromotion { gate },
            Some(blocker),
            blocker.until(),
        )
    }

    /// Names what is in the way of the green once `created` more are starting.
    fn explain(&self, created: u32, blockers: &mut impl Extend<Blocker>) {
        let Self {
            target,
            budget,
            tally,
            ..
        } = *self;
        let Tally {
            ready,
            unready,
            failed,
            ..
        } = tally;
        let provisioning = tally.provisioning + created;
        blockers.extend((provisioning > 0).then_some(Blocker::GreenProvisioning {
            provisioning,
            ready,
            target,
        }));
        blockers.extend(
            (tally.unready_count > 0).then_some(Blocker::GreenUnhealthy {
                ready,
                target,
                unready,
            }),
        );
        blockers.extend((failed > 0).then_some(Blocker::GreenFailed {
            failed,
            ready,
            target,
        }));
        blockers.extend((failed > budget).then_some(Blocker::ReplacementsExhausted { budget }));
    }
}

impl Evaluation {
    pub(crate) fn because(transition: Transition, cause: Option<Cause>) -> Self {
        Self::from(Transition {
            cause,
            ..transition
        })
    }

    /// To be looked at once more at once: the state is another one.
    pub(crate) fn soon(mut self, now: Timestamp) -> Self {
        self.wake_by(Some(now));
        self
    }
}

/// The gate's clock; a new one when the gate has just been reached.
fn gate(rollout: &Rollout, now: Timestamp) -> Stopwatch {
    match rollout.step {
        Step::AwaitingPromotion { gate } => gate.running(now),
        Step::Provisioning | Step::RollingBack => Stopwatch::started(now),
    }
}
