//! Abort: give a rollout up.

use viridian_strategy::{DeploymentId, RevisionId, Transition, verbs};

use crate::{
    Store,
    error::{AbortRefusal, UnitError},
    record::{Operation, Updated},
    telemetry::InUnit as _,
    units::{RequestContext, change::PlannedChange, lock::Locked},
};

impl Store {
    /// Goes back to the current revision: blue-green at once, rolling from the
    /// next cycle on, step by step.
    ///
    /// # Errors
    ///
    /// An [`AbortRefusal`], and those of every unit of work.
    pub async fn abort_deployment(
        &self,
        id: DeploymentId,
        expected_revision: Option<RevisionId>,
        call: &RequestContext,
    ) -> Result<Updated, UnitError<AbortRefusal>> {
        let terms = call.clone();
        self.batched(id, call, move |held| {
            let transition = decide(&held, expected_revision).map_err(UnitError::Refused)?;
            let plan = PlannedChange::of_call(transition, Operation::Abort);
            Ok(Updated::by(held.write_set(&plan, &terms)))
        })
        .in_unit("abort", id)
        .await
    }
}

fn decide(held: &Locked, expected: Option<RevisionId>) -> Result<Transition, AbortRefusal> {
    // Without a rollout the rules refuse it, and say more than that the revision is another one.
    if let (Some(expected), Some(actual)) = (expected, held.deployment.named_deploying())
        && expected != actual.id
    {
        return Err(AbortRefusal::Revision { expected, actual });
    }
    held.decide(verbs::abort).map_err(AbortRefusal::Rules)
}
