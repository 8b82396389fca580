//! Drain one route: the request is a part of its row, until another one has come.

use viridian_strategy::{DeploymentId, RouteId, verbs};

use crate::{
    Store,
    error::UnitError,
    record::{Operation, Updated},
    telemetry::InUnit as _,
    units::{RequestContext, change::PlannedChange},
};

impl Store {
    /// Has a route of a deployment replaced and drained. Changes nothing if that was
    /// requested before.
    ///
    /// # Errors
    ///
    /// A [`DrainRejection`](verbs::DrainRejection), and those of every unit of work.
    pub async fn drain_route(
        &self,
        id: DeploymentId,
        route: RouteId,
        call: &RequestContext,
    ) -> Result<Updated, UnitError<verbs::DrainRejection>> {
        let terms = call.clone();
        self.batched(id, call, move |held| {
            let decided = held.decide(|observed| verbs::drain_route(observed, route));
            let Some(transition) = decided.map_err(UnitError::Refused)? else {
                let deployment = held.deployment;
                return Ok((Updated { deployment }, None));
            };
            let plan = PlannedChange::of_call(transition, Operation::DrainRoute);
            Ok(Updated::by(held.write_set(&plan, &terms)))
        })
        .in_unit("drain_route", id)
        .await
    }
}
