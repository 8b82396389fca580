//! Blue-green: eight steps, of which the first that matches wins.

use std::{ops::ControlFlow, time::Duration};

use crate::{
    Blocker, BlueGreen, Evaluation, MAX_REPLICAS, Observed, ObservedRoute, PolicyError, Rollout,
    RolloutStep, RouteActions, RouteId, RouteTraffic, Transition,
    green::{GreenAssessment, GreenNeeds, NextMove, PromotionGate, go_back, roll_back},
    policy::check_duration,
    strategy::StrategyRules,
    verbs::PromoteRejection,
};

impl StrategyRules for BlueGreen {
    fn name(&self) -> &'static str {
        "blue_green"
    }

    fn check(&self, errors: &mut Vec<PolicyError>) {
        self.check_as(self.name(), errors);
    }

    fn evaluate(&self, observed: &Observed<'_>, rollout: Rollout) -> Evaluation {
        if rollout.step == RolloutStep::RollingBack {
            return go_back(observed, &rollout, None);
        }
        let assessment = self.assess(observed, &rollout);
        let next = self.next_move(&assessment, observed);
        assessment.carry_out(next, observed)
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
        let assessment = self.assess(observed, &rollout);
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

impl BlueGreen {
    /// Adds every rule that the settings break, as those of a strategy.
    pub(crate) fn check_as(&self, strategy: &str, errors: &mut Vec<PolicyError>) {
        let path = |field| format!("{strategy}.{field}");
        check_duration(&path("promote_delay"), self.promote_delay, errors);
        check_duration(&path("min_ready"), self.min_ready, errors);
        check_duration(&path("scale_down_delay"), self.scale_down_delay, errors);
        if let Some(gate) = self.gate_timeout {
            let path = path("gate_timeout.duration");
            check_duration(&path, gate.duration, errors);
            if gate.duration.is_zero() {
                errors.push(PolicyError::GateTimeoutZero(path));
            }
        }
        if self.max_replacements > Some(MAX_REPLICAS) {
            errors.push(PolicyError::CountTooLarge(path("max_replacements")));
        }
        if let Some(threshold) = self.ready_threshold {
            let path = path("ready_threshold");
            threshold.check(&path, errors);
            if threshold.is_zero() {
                errors.push(PolicyError::ReplicasZero(path));
            }
        }
    }

    /// The gate before all of the traffic is switched.
    pub(crate) fn gate(&self) -> PromotionGate {
        PromotionGate {
            auto_promote: self.auto_promote,
            timeout: self.gate_timeout,
        }
    }

    /// Steps 1 to 6, for a switch of all the traffic.
    fn assess(&self, observed: &Observed<'_>, rollout: &Rollout) -> GreenAssessment {
        let target = observed.deployment.target_replicas;
        let needs = GreenNeeds {
            routes: target,
            least_ready: self.least_ready(target),
            budget: self.replacement_budget(target),
            traffic: RouteTraffic::Inactive,
            min_ready: self.min_ready,
            delay: self.promote_delay,
        };
        GreenAssessment::of(needs, observed, rollout)
    }

    /// Steps 3 to 8, with the gates and the deadlines as of now.
    fn next_move(&self, assessment: &GreenAssessment, observed: &Observed<'_>) -> NextMove {
        match assessment.ready_for_move(observed) {
            ControlFlow::Continue(delay_end) => {
                assessment.at_gate(self.gate(), delay_end, observed.now)
            }
            ControlFlow::Break(next) => next,
        }
    }
}
