//! Pause and resume.

use viridian_strategy::{DeploymentId, Observed, Transition, verbs};

use crate::{
    Store,
    error::UnitError,
    record::{Operation, Updated},
    telemetry::InUnit as _,
    units::{RequestContext, change::PlannedChange},
};

impl Store {
    /// Holds a deployment as it is.
    ///
    /// # Errors
    ///
    /// A [`PauseRejection`](verbs::PauseRejection), and those of every unit of
    /// work.
    pub async fn pause_deployment(
        &self,
        id: DeploymentId,
        call: &RequestContext,
    ) -> Result<Updated, UnitError<verbs::PauseRejection>> {
        self.set_paused(id, verbs::pause, Operation::Pause, call)
            .in_unit("pause", id)
            .await
    }

    /// Ends a pause.
    ///
    /// # Errors
    ///
    /// A [`PauseRejection`](verbs::PauseRejection), and those of every unit of
    /// work.
    pub async fn resume_deployment(
        &self,
        id: DeploymentId,
        call: &RequestContext,
    ) -> Result<Updated, UnitError<verbs::PauseRejection>> {
        self.set_paused(id, verbs::resume, Operation::Resume, call)
            .in_unit("resume", id)
            .await
    }

    async fn set_paused(
        &self,
        id: DeploymentId,
        verb: fn(&Observed<'_>) -> Result<Transition, verbs::PauseRejection>,
        phase: Operation,
        call: &RequestContext,
    ) -> Result<Updated, UnitError<verbs::PauseRejection>> {
        let terms = call.clone();
        self.batched(id, call, move |held| {
            let transition = held.decide(verb).map_err(UnitError::Refused)?;
            let plan = PlannedChange::of_call(transition, phase);
            Ok(Updated::by(held.write_set(&plan, &terms)))
        })
        .await
    }
}
