//! Pause and resume.

use viridian_strategy::{Deployment as View, DeploymentId, Timestamp, verbs};

use crate::{
    Database, Deployment,
    error::UnitError,
    telemetry::InUnit as _,
    types::Phase,
    units::{Changed, RequestContext, change::Plan},
};

impl Database {
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
    ) -> Result<Changed, UnitError<verbs::PauseRejection>> {
        self.set_paused(id, verbs::pause, Phase::Pause, call)
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
    ) -> Result<Changed, UnitError<verbs::PauseRejection>> {
        self.set_paused(id, verbs::resume, Phase::Resume, call)
            .in_unit("resume", id)
            .await
    }

    async fn set_paused(
        &self,
        id: DeploymentId,
        verb: fn(&View, Timestamp) -> Result<View, verbs::PauseRejection>,
        phase: Phase,
        call: &RequestContext,
    ) -> Result<Changed, UnitError<verbs::PauseRejection>> {
        let terms = call.clone();
        self.batched(id, call, move |held| {
            let View { state, paused, .. } =
                verb(&held.deployment.view(), held.now).map_err(UnitError::Refused)?;
            let amended = Deployment {
                state,
                paused,
                ..held.deployment.clone()
            };
            let plan = Plan::of_amendment(amended, phase);
            Ok(Changed::by(held.change(&plan, &terms)))
        })
        .await
    }
}
