//! Create a revision, activate a revision, or both at once.

use uuid::Uuid;
use viridian_strategy::{DeploymentId, RevisionId, verbs};

use crate::{
    Store,
    deployments::{NewState, update_deployments},
    error::{ActivateRefusal, UnitError},
    record::{
        Deployment, NewRevision, Operation, Revision, RevisionReference, RevisionSpec, Updated,
    },
    revisions::insert_revisions,
    telemetry::InUnit as _,
    transaction::UnitTransaction,
    units::{RequestContext, change::PlannedChange, lock::Locked},
    usage::usage_of_revision,
};

/// What becomes of a new revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// It is only recorded.
    None,
    /// It is deployed.
    Activate {
        /// In place of another one that is being deployed.
        supersede: bool,
    },
}

impl From<bool> for Activation {
    fn from(activate: bool) -> Self {
        match activate {
            true => Self::Activate { supersede: false },
            false => Self::None,
        }
    }
}

impl Store {
    /// Begins to deploy a revision, in one transaction.
    ///
    /// # Errors
    ///
    /// An [`ActivateRefusal`], and those of every unit of work.
    pub async fn activate_revision(
        &self,
        id: DeploymentId,
        revision: RevisionId,
        supersede: bool,
        call: &RequestContext,
    ) -> Result<Updated, UnitError<ActivateRefusal>> {
        self.idempotent(id, call, async |tx: &mut UnitTransaction| {
            let held = tx.lock_for(id, call).await?;
            // Among the revisions of this deployment: a route must never run another deployment's
            // (I8).
            let reference = RevisionReference::Id(revision);
            let found = tx.connection().await?.find_revision(id, reference).await?;
            let Some(revision) = found else {
                return Err(UnitError::Refused(ActivateRefusal::NoRevision(revision)));
            };
            let deployment = activate(tx, held, &revision, supersede, call).await?;
            Ok(Updated { deployment })
        })
        .in_unit("activate", id)
        .await
    }

    /// Records a revision and, if asked to, begins to deploy it: both or
    /// neither.
    ///
    /// # Errors
    ///
    /// An [`ActivateRefusal`], and those of every unit of work.
    pub async fn create_revision(
        &self,
        id: DeploymentId,
        spec: RevisionSpec,
        activation: impl Into<Activation>,
        call: &RequestContext,
    ) -> Result<NewRevision, UnitError<ActivateRefusal>> {
        let activation = activation.into();
        self.idempotent(id, call, async |tx: &mut UnitTransaction| {
            let mut held = tx.lock_for(id, call).await?;
            if let lifecycle @ (viridian_strategy::Lifecycle::Destroying
            | viridian_strategy::Lifecycle::Destroyed) = held.deployment.state.lifecycle()
            {
                // Checked here as well, since without an activation the rules are not asked.
                let gone = verbs::ActivateRejection::Gone(lifecycle);
                return Err(UnitError::Refused(ActivateRefusal::Rules(gone)));
            }
            let revision = held.next_revision(RevisionId(Uuid::now_v7()), spec, call);
            held.deployment.last_revision = revision.number;
            // Before what `activate` writes, since its routes refer to the revision.
            tx.write([insert_revisions([revision.clone()])]);
            tx.count_usage(&held.deployment.project, usage_of_revision(&revision.spec));
            let deployment = if let Activation::Activate { supersede } = activation {
                // If this is refused, the revision is not recorded either.
                activate(tx, held, &revision, supersede, call).await?
            } else {
                let deployment = held.deployment;
                tx.write([update_deployments(vec![NewState {
                    // Unchanged: a revision that is only recorded is no event.
                    sequence: deployment.sequence,
                    deployment: deployment.clone(),
                    table: held.table,
                    table_commit: held.table_commit,
                    open_entries: held.open_entries,
                    due_at: held.due_at,
                }])]);
                deployment
            };
            Ok(NewRevision {
                deployment,
                revision,
            })
        })
        .in_unit("create_revision", id)
        .await
    }
}

async fn activate(
    tx: &mut UnitTransaction,
    held: Locked,
    revision: &Revision,
    supersede: bool,
    call: &RequestContext,
) -> Result<Deployment, UnitError<ActivateRefusal>> {
    let transition = held
        .decide(|observed| verbs::activate(observed, revision.id, supersede))
        .map_err(|rejection| UnitError::Refused(refusal(&held.deployment, rejection)))?;
    let plan = PlannedChange::of_call(transition, Operation::Activate).naming(Some(revision));
    Ok(tx.carry_out(held, &plan, call))
}

fn refusal(deployment: &Deployment, rejection: verbs::ActivateRejection) -> ActivateRefusal {
    match deployment.named_in_progress(rejection) {
        Ok(named) => ActivateRefusal::InProgress(named),
        Err(rejection) => ActivateRefusal::Rules(rejection),
    }
}
