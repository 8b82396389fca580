//! Abort: give a rollout up.

use viridian_strategy::{DeploymentId, verbs};

use crate::{
    Store,
    error::UnitError,
    record::{Operation, Updated},
    telemetry::InUnit as _,
    units::{RequestContext, change::PlannedChange},
};

impl Store {
    /// Goes back to the current revision: blue-green at once, rolling from the
    /// next cycle on, step by step.
    ///
    /// # Errors
    ///
    /// An [`AbortRejection`](verbs::AbortRejection), and those of every unit of
    /// work.
    pub async fn abort_deployment(
        &self,
        id: DeploymentId,
        call: &RequestContext,
    ) -> Result<Updated, UnitError<verbs::AbortRejection>> {
        let terms = call.clone();
        self.batched(id, call, move |held| {
            let transition = held.decide(verbs::abort).map_err(UnitError::Refused)?;
            let plan = PlannedChange::of_call(transition, Operation::Abort);
            Ok(Updated::by(held.write_set(&plan, &terms)))
        })
        .in_unit("abort", id)
        .await
    }
}
