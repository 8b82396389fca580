//! Canary: green grows by steps and takes a share of the traffic at each, while blue stays at
//! its target. So every way back is one transaction, whatever the share.

mod progress;
mod steps;

use std::{ops::ControlFlow, time::Duration};

pub use self::steps::MAX_CANARY_STEPS;
use crate::{
    Blocker, Canary, CanaryProgress, CanaryStep, DeploymentState, Evaluation, Observed,
    ObservedRoute, PolicyError, Reason, Rollout, RolloutStep, RouteActions, RouteId, RouteTraffic,
    Transition, TransitionKind,
    green::{GateTimer, GreenAssessment, GreenNeeds, NextMove, go_back, roll_back},
    strategy::StrategyRules,
    verbs::{AdvanceRejection, PromoteRejection},
};

impl StrategyRules for Canary {
    fn name(&self) -> &'static str {
        "canary"
    }

    fn check(&self, errors: &mut Vec<PolicyError>) {
        self.switch.check_as("canary", errors);
        self.check_steps(errors);
    }

    fn evaluate(&self, observed: &Observed<'_>, rollout: Rollout) -> Evaluation {
        if rollout.step == RolloutStep::RollingBack {
            return go_back(observed, &rollout, None);
        }
        let mut assessment = self.assess(observed, &rollout);
        let mut next = self.next_move(&assessment, observed);
        if matches!(next, CanaryMove::NextStep) {
            let rollout = assessment
                .rollout
                .towards(rollout.canary.step + 1, observed.now);
            assessment = self.assess(observed, &rollout);
            // Not over again: the weight is not that of the next step yet.
            next = self.next_move(&assessment, observed);
        }
        match next {
            CanaryMove::Rise(step) => self.rise(assessment, &step, observed),
            CanaryMove::NextStep => {
                assessment.carry_out(NextMove::Wait(rollout.step, None, None), observed)
            }
            CanaryMove::Green(next) => assessment.carry_out(next, observed),
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
        if observed.deployment.paused {
            return Err(PromoteRejection::Blocked(vec![Blocker::Paused]));
        }
        // From any step: what is not ready of the whole target is what blocks it.
        let canary = rollout.canary.towards_the_end(self.end());
        let assessment = self.assess(observed, &Rollout { canary, ..rollout });
        assessment
            .check_ready()
            .map_err(PromoteRejection::Blocked)?;
        Ok(assessment.promotion(observed))
    }

    fn advance(
        &self,
        observed: &Observed<'_>,
        rollout: Rollout,
        to_last: bool,
    ) -> Result<Transition, AdvanceRejection> {
        if rollout.step == RolloutStep::RollingBack {
            return Err(AdvanceRejection::RollingBack);
        }
        if observed.deployment.paused {
            return Err(AdvanceRejection::Paused);
        }
        let canary = rollout.canary;
        // It may have been left already, by a call before this one.
        let held = canary.towards == canary.step && !canary.advanced;
        if !held || !matches!(rollout.step, RolloutStep::Shifting { .. }) {
            return Err(AdvanceRejection::NotHolding);
        }
        let last = self.end() - 1;
        let rollout = if to_last && canary.step < last {
            rollout.towards(last, observed.now)
        } else {
            let canary = CanaryProgress {
                advanced: true,
                ..canary
            };
            Rollout { canary, ..rollout }
        };
        let state = DeploymentState::Deploying(rollout);
        Ok(Transition::step(observed.deployment, state))
    }

    fn abort(&self, observed: &Observed<'_>, rollout: Rollout) -> Transition {
        roll_back(observed, &rollout)
    }

    fn drains_superseded(&self, rollout: &Rollout, route: &ObservedRoute) -> bool {
        self.switch.drains_superseded(rollout, route)
    }

    fn reuse(&self, kept: Vec<RouteId>, actions: &mut RouteActions) {
        self.switch.reuse(kept, actions);
    }

    fn scale_down_delay(&self) -> Duration {
        self.switch.scale_down_delay
    }
}

/// What follows from the assessment.
enum CanaryMove {
    /// What blue-green does, too.
    Green(NextMove),
    /// Take the share of this step, towards which green was brought up.
    Rise(CanaryStep),
    /// Leave the present step: bring green up for the next one, or for the promotion.
    NextStep,
}

impl Canary {
    /// Green, as far as it is needed for what comes next.
    fn assess(&self, observed: &Observed<'_>, rollout: &Rollout) -> GreenAssessment {
        let target = observed.deployment.target_replicas;
        let canary = match rollout.is_ungated() {
            true => rollout.canary.towards_the_end(self.end()),
            false => rollout.canary,
        };
        let rollout = Rollout { canary, ..*rollout };
        let share = canary.weight.unwrap_or(0);
        let routes = self.needed(canary.towards, share, target);
        let needs = GreenNeeds {
            routes,
            least_ready: match self.step(canary.towards) {
                Some(_) => routes,
                None => self.switch.least_ready(target),
            },
            budget: self.switch.replacement_budget(target),
            traffic: match canary.weight {
                None | Some(0) => RouteTraffic::Inactive,
                Some(_) => RouteTraffic::Active,
            },
            min_ready: self.switch.min_ready,
            delay: Duration::ZERO,
        };
        let mut assessment = GreenAssessment::of(needs, observed, &rollout);
        let needed = self.needed(canary.step, share, target);
        assessment.rollout.canary =
            canary.timed(needed, rollout.steady, &assessment.rollout, observed.now);
        assessment
    }

    fn next_move(&self, assessment: &GreenAssessment, observed: &Observed<'_>) -> CanaryMove {
        let now = observed.now;
        let delay_end = match assessment.ready_for_move(observed) {
            ControlFlow::Continue(delay_end) => delay_end,
            ControlFlow::Break(next) => return CanaryMove::Green(next),
        };
        let canary = assessment.rollout.canary;
        let Some(&step) = self.step(canary.towards) else {
            let gate = self.switch.gate();
            return CanaryMove::Green(assessment.at_gate(gate, delay_end, now));
        };
        // It may ask for less than green has, after a change of the policy.
        let is_new = canary.step != canary.towards || canary.weight < Some(step.weight_permille);
        let next = if is_new {
            CanaryMove::Rise(step)
        } else {
            self.while_held(&step, assessment, observed)
        };
        match next {
            // No step forward rests on a health that is too old.
            CanaryMove::Rise(_) | CanaryMove::NextStep if assessment.stale.is_some() => {
                CanaryMove::Green(NextMove::Wait(assessment.rollout.step, None, None))
            }
            next => next,
        }
    }

    /// All green of the step are ready, and it has its share.
    fn while_held(
        &self,
        step: &CanaryStep,
        assessment: &GreenAssessment,
        observed: &Observed<'_>,
    ) -> CanaryMove {
        let Rollout { canary, .. } = assessment.rollout;
        if canary.advanced {
            return CanaryMove::NextStep;
        }
        let place = self.place(&canary);
        let hold_end = canary.hold.and_then(|hold| hold.reaches(step.hold));
        if let Some(until) = hold_end.filter(|&until| until > observed.now) {
            return CanaryMove::Green(NextMove::Wait(
                RolloutStep::Shifting { gate: None },
                Some(Blocker::StepHold { place, until }),
                None,
            ));
        }
        if !step.manual {
            return CanaryMove::NextStep;
        }
        let clock = assessment.rollout.step_clock(observed.now);
        let timer = GateTimer::of(clock, self.switch.gate_timeout, observed.now);
        match timer.due() {
            Some(NextMove::Switch(_)) => CanaryMove::NextStep,
            Some(next) => CanaryMove::Green(next),
            None => {
                let blocker = Blocker::ManualStep {
                    place,
                    timeout: timer.timeout(),
                };
                let gate = Some(timer.clock);
                CanaryMove::Green(NextMove::Wait(
                    RolloutStep::Shifting { gate },
                    Some(blocker),
                    blocker.until(),
                ))
            }
        }
    }

    /// Gives green the share of a step.
    fn rise(
        &self,
        assessment: GreenAssessment,
        step: &CanaryStep,
        observed: &Observed<'_>,
    ) -> Evaluation {
        let rollout = assessment.rollout;
        let canary = rollout
            .canary
            .risen(step.weight_permille, assessment.target, observed.now);
        let mut promote = Vec::new();
        // Those of later steps are created with traffic.
        if canary.weight > Some(0) {
            let green = observed.live_routes(rollout.deploying);
            let stays = green.filter(|route| !assessment.surplus.contains(&route.id));
            let inactive = stays.filter(|route| route.traffic == RouteTraffic::Inactive);
            promote.extend(inactive.map(|route| route.id));
        }
        let place = self.place(&canary);
        let mut evaluation = assessment.keep(
            observed,
            Rollout {
                step: RolloutStep::Shifting { gate: None },
                canary,
                ..rollout
            },
        );
        evaluation.transition.kind = TransitionKind::Shift;
        evaluation.transition.reason = Some(Reason::Shifted { place });
        evaluation.transition.actions.promote = promote;
        evaluation.requeue_now(observed.now)
    }
}
