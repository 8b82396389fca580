//! Logs the transitions of a deployment once they are committed, and records the metrics of
//! rollouts.

use std::time::Duration;

use metrics::{counter, histogram};
use tracing::Span;
use viridian_strategy::{DeploymentId, Lifecycle, SubStep, Transition, TransitionKind};

use super::names::{GATE_WAIT, MOVES, PROMOTIONS, ROLLOUT_DURATION, ROLLOUTS};
use crate::record::{Deployment, HistoryOutcome, NewHistoryEntry, Operation};

/// The log lines and metrics of a deployment's transitions. They are in the span of the call
/// that decided, also if another task commits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TransitionLog {
    span: Span,
    deployment: DeploymentId,
    reference: String,
    steps: Vec<Step>,
    actor: String,
    reason: String,
    /// How long it waited at the gate that it left.
    gate: Option<Duration>,
    rollout: Option<RolloutEnd>,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    phase: Operation,
    result: HistoryOutcome,
    from: String,
    to: String,
}

/// A rollout that is over.
#[derive(Clone, Copy, Debug, PartialEq)]
struct RolloutEnd {
    outcome: &'static str,
    /// Manual or automatic; only of a promotion.
    kind: Option<&'static str>,
    took: Duration,
}

impl TransitionLog {
    /// Returns the log of some transitions; none if there are none.
    pub(crate) fn by(moves: &[NewHistoryEntry], new: &Deployment) -> Option<Self> {
        let first = moves.first()?;
        let steps = moves.iter().map(|it| Step {
            phase: it.phase,
            result: it.outcome,
            from: it.from.map_or_else(String::new, |from| from.to_string()),
            to: it.to.to_string(),
        });
        Some(Self {
            span: Span::current(),
            deployment: new.id,
            reference: format!("{}/{}", new.project, new.name),
            steps: steps.collect(),
            actor: first.actor.clone(),
            reason: first.reason.clone(),
            gate: None,
            rollout: None,
        })
    }

    /// Adds how a transition ended the old rollout, or its wait at the gate.
    pub(crate) fn ends(
        mut self,
        old: &Deployment,
        new: &Deployment,
        transition: &Transition,
    ) -> Self {
        let Some(rollout) = old.state.rollout() else {
            return self;
        };
        if old.state.sub_step() == Some(SubStep::AwaitingPromotion)
            && new.state.sub_step() != Some(SubStep::AwaitingPromotion)
        {
            self.gate = Some(new.updated_at.since(old.phase_started_at));
        }
        let goes_on = new.state.rollout().map(|it| it.activation) == Some(rollout.activation);
        if !goes_on {
            let kind = transition.kind;
            let manual = if transition.by_request {
                "manual"
            } else {
                "automatic"
            };
            self.rollout = Some(RolloutEnd {
                outcome: match (kind, new.state.lifecycle()) {
                    (TransitionKind::Promotion, _) => "promoted",
                    (_, Lifecycle::Deploying) => "superseded",
                    (_, Lifecycle::Destroying | Lifecycle::Destroyed) => "deleted",
                    _ => "rolled_back",
                },
                kind: (kind == TransitionKind::Promotion).then_some(manual),
                took: new.updated_at.since(rollout.since),
            });
        }
        self
    }

    /// Writes the log lines and records the metrics.
    pub(crate) fn tell(self) {
        let _within = self.span.enter();
        let deployment = self.deployment;
        let (reference, actor) = (&*self.reference, &*self.actor);
        for Step {
            phase,
            result,
            from,
            to,
        } in &self.steps
        {
            let (phase, result) = (phase.as_str(), result.as_str());
            counter!(MOVES, "phase" => phase, "result" => result).increment(1);
            let (from, to, reason) = (&**from, &**to, &*self.reason);
            tracing::info!(%deployment, reference, phase, result, from, to, actor, reason, "moved");
        }
        if let Some(waited) = self.gate {
            histogram!(GATE_WAIT).record(waited);
        }
        if let Some(RolloutEnd {
            outcome,
            kind,
            took,
        }) = self.rollout
        {
            counter!(ROLLOUTS, "outcome" => outcome).increment(1);
            histogram!(ROLLOUT_DURATION, "outcome" => outcome).record(took);
            if let Some(kind) = kind {
                counter!(PROMOTIONS, "kind" => kind, "outcome" => "promoted").increment(1);
            }
        }
    }
}
