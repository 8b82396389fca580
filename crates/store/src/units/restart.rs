//! Restart: new routes for a revision that serves already.

use viridian_strategy::{DeploymentId, verbs};

use crate::{
    Store,
    error::UnitError,
    record::{Operation, Updated},
    telemetry::InUnit as _,
    units::{RequestContext, change::PlannedChange},
};

impl Store {
    /// Replaces the routes of the current revision with new ones, from the next cycle
    /// on, step by step.
    ///
    /// # Errors
    ///
    /// A [`RestartRejection`](verbs::RestartRejection), and those of every unit of
    /// work.
    pub async fn restart_deployment(
        &self,
        id: DeploymentId,
        call: &RequestContext,
    ) -> Result<Updated, UnitError<verbs::RestartRejection>> {
        let terms = call.clone();
        self.batched(id, call, move |held| {
            let transition = held.decide(verbs::restart).map_err(UnitError::Refused)?;
            let plan = PlannedChange::of_call(transition, Operation::Restart);
            Ok(Updated::by(held.write_set(&plan, &terms)))
        })
        .in_unit("restart", id)
        .await
    }
}
