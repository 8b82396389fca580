//! Delete: drain every route, and keep a tombstone.

use viridian_strategy::{DeploymentId, Observed, Transition, verbs};

use crate::{
    Store,
    error::UnitError,
    record::{Operation, Updated},
    telemetry::InUnit as _,
    units::{RequestContext, change::PlannedChange},
};

impl Store {
    /// Begins the end of a deployment. Its name is free at once.
    ///
    /// # Errors
    ///
    /// A [`DeleteRejection`](verbs::DeleteRejection), and those of every unit of
    /// work.
    pub async fn delete_deployment(
        &self,
        id: DeploymentId,
        call: &RequestContext,
    ) -> Result<Updated, UnitError<verbs::DeleteRejection>> {
        self.end(id, verbs::delete, call)
            .in_unit("delete", id)
            .await
    }

    /// Ends a deployment at once, without waiting for a report of its routes.
    ///
    /// # Errors
    ///
    /// A [`DeleteRejection`](verbs::DeleteRejection), and those of every unit of
    /// work.
    pub async fn destroy_deployment(
        &self,
        id: DeploymentId,
        call: &RequestContext,
    ) -> Result<Updated, UnitError<verbs::DeleteRejection>> {
        self.end(id, verbs::destroy, call)
            .in_unit("destroy", id)
            .await
    }

    async fn end(
        &self,
        id: DeploymentId,
        verb: fn(&Observed<'_>) -> Result<Transition, verbs::DeleteRejection>,
        call: &RequestContext,
    ) -> Result<Updated, UnitError<verbs::DeleteRejection>> {
        let terms = call.clone();
        self.batched(id, call, move |held| {
            let transition = held.decide(verb).map_err(UnitError::Refused)?;
            // The index on live names leaves this state out, so the name is free with the commit.
            let plan = PlannedChange::of_call(transition, Operation::Delete);
            Ok(Updated::by(held.write_set(&plan, &terms)))
        })
        .await
    }
}
