//! Roll back: to an earlier revision, at once if enough of its routes are
//! retained.

use viridian_strategy::{DeploymentId, DeploymentState, RevisionId, TransitionKind, verbs};

use crate::{
    Store,
    error::{RollBackRefusal, UnitError},
    record::{Operation, RevisionReference, RolledBack},
    telemetry::InUnit as _,
    transaction::UnitTransaction,
    units::{RequestContext, change::PlannedChange},
};

impl Store {
    /// Goes back to a revision, or to the one before the current one.
    ///
    /// # Errors
    ///
    /// A [`RollBackRefusal`], and those of every unit of work.
    pub async fn roll_back_deployment(
        &self,
        id: DeploymentId,
        revision: Option<RevisionId>,
        call: &RequestContext,
    ) -> Result<RolledBack, UnitError<RollBackRefusal>> {
        self.idempotent_on(id, call, async |tx: &mut UnitTransaction| {
            let held = tx.lock_for(id, call).await?;
            let refuse = UnitError::Refused;
            let revision = revision
                .or(held.deployment.previous)
                .ok_or_else(|| refuse(without_previous(&held.deployment.state)))?;
            let reference = RevisionReference::Id(revision);
            let found = tx.connection().await?.find_revision(id, reference).await?;
            if found.is_none() {
                return Err(refuse(RollBackRefusal::NoRevision(revision)));
            }
            let transition = held
                .decide(|observed| verbs::roll_back(observed, revision))
                .map_err(|rejection| refuse(RollBackRefusal::Rules(rejection)))?;
            let instant = transition.kind == TransitionKind::InstantRollBack;
            let plan =
                PlannedChange::of_call(transition, Operation::RollBack).naming(found.as_ref());
            let deployment = tx.carry_out(held, &plan, call);
            Ok(RolledBack {
                deployment,
                instant,
            })
        })
        .in_unit("roll_back", id)
        .await
    }
}

/// Why there is nothing to go back to: a rollout that is under way, and the end
/// of the deployment, say more than that there was no revision before.
fn without_previous(state: &DeploymentState) -> RollBackRefusal {
    use verbs::ActivateRejection::{Gone, InProgress};
    match *state {
        DeploymentState::Pending { .. } | DeploymentState::Ready { .. } => {
            RollBackRefusal::NoPrevious
        }
        DeploymentState::Deploying(rollout) => RollBackRefusal::Rules(InProgress {
            deploying: rollout.deploying,
        }),
        DeploymentState::Destroying { .. } | DeploymentState::Destroyed { .. } => {
            RollBackRefusal::Rules(Gone(state.lifecycle()))
        }
    }
}
