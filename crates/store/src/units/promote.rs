//! Promote: the switch of all traffic, in one transaction.

use viridian_engine::WaitStart;
use viridian_strategy::{DeploymentId, RevisionId, RouteActions, RouteId, Transition, verbs};

use crate::{
    Store,
    error::{PromoteRefusal, UnitError},
    record::{Deployment, Operation, Promotion},
    telemetry::{InUnit as _, count_not_promoted},
    transaction::UnitTransaction,
    units::{RequestContext, change::PlannedChange, lock::Locked},
};

/// What a promotion would come to.
#[derive(Clone, Debug)]
pub struct PromotionPreview {
    /// The deployment as it is.
    pub deployment: Deployment,
    /// The routes that would take the traffic and those that would lose it, or
    /// what is in the way.
    pub outcome: Result<(Vec<RouteId>, Vec<RouteId>), PromoteRefusal>,
}

impl Store {
    /// Switches all traffic to the revision that is being deployed.
    ///
    /// Locks the deployment, checks what the caller expects, loads the routes
    /// and decides by the strategy crate's own predicate, all in the transaction
    /// that acts on it. Either everything changes, or nothing.
    ///
    /// # Errors
    ///
    /// A [`PromoteRefusal`], and those of every unit of work; no route is
    /// touched then.
    pub async fn complete_manual_promote(
        &self,
        id: DeploymentId,
        expected_revision: Option<RevisionId>,
        call: &RequestContext,
    ) -> Result<Promotion, UnitError<PromoteRefusal>> {
        let terms = call.clone();
        self.batched(id, call, move |held| {
            let transition = decide(&held, expected_revision).map_err(UnitError::Refused)?;
            let (promoted, drained) = sides(&transition.actions);
            let plan = PlannedChange::of_call(transition, Operation::Promote);
            let set = held.write_set(&plan, &terms);
            let promotion = Promotion {
                swapped: 1,
                deployment: set.deployment.clone(),
                promoted,
                drained,
            };
            Ok((promotion, Some(set)))
        })
        .in_unit("promote", id)
        .await
        .inspect_err(count_not_promoted)
    }

    /// Says what a promotion would come to, and changes nothing.
    ///
    /// # Errors
    ///
    /// Those of every unit of work; what is in the way is no error.
    pub async fn preview_promote(
        &self,
        id: DeploymentId,
        expected_revision: Option<RevisionId>,
        call: &RequestContext,
    ) -> Result<PromotionPreview, UnitError<PromoteRefusal>> {
        // Under the lock, although it writes nothing: it decides on what a promotion would see.
        self.write_locked(WaitStart::now(), [id], async |tx: &mut UnitTransaction| {
            let held = tx.lock_for(id, call).await?;
            let outcome = decide(&held, expected_revision);
            let outcome = outcome.map(|transition| sides(&transition.actions));
            Ok(PromotionPreview {
                deployment: held.deployment,
                outcome,
            })
        })
        .in_unit("preview_promote", id)
        .await
    }
}

pub(super) fn decide(
    held: &Locked,
    expected: Option<RevisionId>,
) -> Result<Transition, PromoteRefusal> {
    // Without a rollout the rules refuse it, and say more than that the revision is another one.
    if let (Some(expected), Some(actual)) = (expected, held.deployment.named_deploying())
        && expected != actual.id
    {
        let actual = Some(actual);
        return Err(PromoteRefusal::Revision { expected, actual });
    }
    held.decide(verbs::promote).map_err(PromoteRefusal::Rules)
}

/// The routes that take the traffic, and those that lose it.
pub(super) fn sides(actions: &RouteActions) -> (Vec<RouteId>, Vec<RouteId>) {
    (
        actions.promote.clone(),
        // A retained route has lost its traffic as well.
        [actions.retain.as_slice(), &actions.drain].concat(),
    )
}
