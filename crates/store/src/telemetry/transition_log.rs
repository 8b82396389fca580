//! Logs the transitions of a deployment once they are committed, and records the metrics of
//! rollouts.

use std::time::Duration;

use metrics::{counter, histogram};
use tracing::Span;
use viridian_strategy::{
    Availability, DeploymentId, Lifecycle, RevisionId, RolloutOutcome, SubStep, Transition,
    TransitionKind,
};

use super::{
    names::{GATE_WAIT, MOVES, PROMOTIONS, ROLLOUT_DURATION, ROLLOUTS, ROUTES_FAILED},
    projects::project_labels,
};
use crate::record::{Deployment, HistoryOutcome, NewHistoryEntry, Operation};

/// The log lines and metrics of a deployment's transitions. They are in the span of the call
/// that decided, also if another task commits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TransitionLog {
    span: Span,
    deployment: DeploymentId,
    project: String,
    reference: String,
    steps: Vec<Step>,
    /// From one to another: how well it serves.
    availability: Option<(&'static str, &'static str)>,
    /// Routes that failed, by the role of their revision.
    failed: Vec<(&'static str, u64)>,
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
    actor: String,
    reason: String,
    failure: String,
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
    /// Returns the log of some transitions, and of what else an operator would look for;
    /// none if there is nothing.
    pub(crate) fn by(
        moves: &[NewHistoryEntry],
        failed: impl Iterator<Item = RevisionId>,
        old: &Deployment,
        new: &Deployment,
    ) -> Option<Self> {
        let mut by_role: Vec<(&'static str, u64)> = Vec::new();
        for revision in failed {
            let role = role(new, revision);
            match by_role.iter_mut().find(|(known, _)| *known == role) {
                Some((_, count)) => *count += 1,
                None => by_role.push((role, 1)),
            }
        }
        let serves = |it: &Deployment| it.availability.map_or("", Availability::as_str);
        let availability =
            (old.availability != new.availability).then(|| (serves(old), serves(new)));
        if moves.is_empty() && by_role.is_empty() && availability.is_none() {
            return None;
        }
        let steps = moves.iter().map(|it| Step {
            phase: it.phase,
            result: it.outcome,
            from: it.from.map_or_else(String::new, |from| from.to_string()),
            to: it.to.to_string(),
            actor: it.actor.clone(),
            reason: it.reason.clone(),
            failure: it.failure.clone(),
        });
        Some(Self {
            span: Span::current(),
            deployment: new.id,
            project: new.project.clone(),
            reference: format!("{}/{}", new.project, new.name),
            steps: steps.collect(),
            availability,
            failed: by_role,
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
        if let (Some(watch), Some(ended)) = (old.coming_up, transition.ended)
            && ended.outcome == RolloutOutcome::Failed
        {
            self.rollout = Some(RolloutEnd {
                outcome: "failed",
                kind: None,
                took: watch.stopped(new.updated_at).spent,
            });
        }
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
        let reference = &*self.reference;
        self.steps
            .iter()
            .for_each(|step| step.tell(deployment, reference));
        if let Some((from, to)) = self.availability {
            tracing::info!(%deployment, reference, from, to, "availability changed");
        }
        for (role, count) in self.failed {
            let labels = project_labels(&self.project, [("revision", role)]);
            counter!(ROUTES_FAILED, labels).increment(count);
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
            let labels = project_labels(&self.project, [("outcome", outcome)]);
            counter!(ROLLOUTS, labels).increment(1);
            histogram!(ROLLOUT_DURATION, "outcome" => outcome).record(took);
            if let Some(kind) = kind {
                counter!(PROMOTIONS, "kind" => kind, "outcome" => "promoted").increment(1);
            }
        }
    }
}

impl Step {
    fn tell(&self, deployment: DeploymentId, reference: &str) {
        let (phase, result) = (self.phase.as_str(), self.result.as_str());
        counter!(MOVES, "phase" => phase, "result" => result).increment(1);
        let Self {
            from,
            to,
            actor,
            reason,
            failure,
            ..
        } = self;
        // Most have none, and an empty field is noise in every line.
        let failure = Some(&**failure).filter(|it| !it.is_empty());
        let (from, to, actor, reason) = (&**from, &**to, &**actor, &**reason);
        tracing::info!(
            %deployment, reference, phase, result, from, to, actor, reason, failure, "moved"
        );
    }
}

/// The role of a revision in its deployment, as a value of a label.
fn role(deployment: &Deployment, revision: RevisionId) -> &'static str {
    let state = &deployment.state;
    if state.deploying() == Some(revision) {
        "deploying"
    } else if state.current() == Some(revision) {
        "current"
    } else {
        "other"
    }
}
