//! Advance: end the hold of a canary's step.

use viridian_strategy::{DeploymentId, DeploymentState, RevisionId, Transition, verbs};

use crate::{
    Store,
    error::{AdvanceRefusal, UnitError},
    record::{Operation, Updated},
    telemetry::InUnit as _,
    units::{RequestContext, change::PlannedChange, lock::Locked},
};

/// What a caller who advances a canary expects, and how far it is to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdvanceOptions {
    /// The revision that is expected to be deployed.
    pub expected_revision: Option<RevisionId>,
    /// The step that is expected to be the present one.
    pub expected_step: Option<u32>,
    /// Whether the steps before the last one are left out.
    pub to_last: bool,
}

impl Store {
    /// Ends the hold of the present step of a canary, and what it waits for by hand.
    ///
    /// # Errors
    ///
    /// An [`AdvanceRefusal`], and those of every unit of work.
    pub async fn advance_deployment(
        &self,
        id: DeploymentId,
        options: AdvanceOptions,
        call: &RequestContext,
    ) -> Result<Updated, UnitError<AdvanceRefusal>> {
        let terms = call.clone();
        self.batched(id, call, move |held| {
            let transition = decide(&held, options).map_err(UnitError::Refused)?;
            let plan = PlannedChange::of_call(transition, Operation::Advance);
            Ok(Updated::by(held.write_set(&plan, &terms)))
        })
        .in_unit("advance", id)
        .await
    }
}

fn decide(held: &Locked, options: AdvanceOptions) -> Result<Transition, AdvanceRefusal> {
    // Without a rollout the rules refuse it, and say more than that the revision is another one.
    if let (Some(expected), Some(actual)) =
        (options.expected_revision, held.deployment.named_deploying())
        && expected != actual.id
    {
        return Err(AdvanceRefusal::Revision { expected, actual });
    }
    // Likewise: without a canary there is no step.
    let decided = held.decide(|observed| verbs::advance(observed, options.to_last));
    let decided = decided.map_err(AdvanceRefusal::Rules);
    // A caller who has seen another step gets that as the reason, before any other.
    if let (Some(expected), DeploymentState::Deploying(rollout)) =
        (options.expected_step, held.deployment.state)
        && expected != rollout.canary.step
        && !matches!(
            decided,
            Err(AdvanceRefusal::Rules(verbs::AdvanceRejection::NotCanary))
        )
    {
        let actual = rollout.canary.step;
        return Err(AdvanceRefusal::Step { expected, actual });
    }
    decided
}
