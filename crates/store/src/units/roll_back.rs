//! Roll back: to an earlier revision, at once if enough of its routes are
//! retained.

use viridian_engine::WaitStart;
use viridian_strategy::{
    Blockers, DeploymentId, DeploymentState, RevisionId, RolloutKind, RouteActions, RouteId,
    Transition, TransitionKind, verbs,
};

use crate::{
    Store,
    error::{RollBackRefusal, UnitError},
    record::{Deployment, Operation, Revision, RevisionReference, RolledBack},
    telemetry::InUnit as _,
    transaction::UnitTransaction,
    units::{RequestContext, change::PlannedChange, lock::Locked},
};

/// What a roll-back is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollBackOptions {
    /// Where to go back to; by default what served before, and during a rollout what serves.
    pub revision: Option<RevisionId>,
    /// It is refused unless this revision serves, or is being deployed.
    pub expected_revision: Option<RevisionId>,
    /// Whether the gates of the policy count. Then it is never instant.
    pub gated: bool,
}

/// What a roll-back would come to.
#[derive(Clone, Debug)]
pub struct RollBackPreview {
    /// The deployment as it is.
    pub deployment: Deployment,
    /// Where it would lead.
    pub revision: RevisionId,
    /// The number of that revision.
    pub number: i64,
    /// Whether the traffic would be back at once.
    pub instant: bool,
    /// The retained routes that it would begin with, or give the traffic to.
    pub kept: Vec<RouteId>,
    /// What it would wait for then.
    pub blockers: Blockers,
}

/// Where a roll-back leads.
#[derive(Clone, Copy)]
pub(super) struct RollBackTarget {
    pub(super) revision: RevisionId,
    /// Whether it is the end of a rollout: what it leads to serves already.
    gives_up: bool,
}

/// A roll-back that may take place.
pub(super) struct DecidedRollBack {
    /// Where it leads.
    revision: Revision,
    transition: Transition,
    /// Whether it is the end of a rollout: what it leads to serves already.
    gives_up: bool,
}

impl Store {
    /// Goes back to a revision, or to the one that served before. During a rollout, the way
    /// back to what serves is to give it up.
    ///
    /// # Errors
    ///
    /// A [`RollBackRefusal`], and those of every unit of work.
    pub async fn roll_back_deployment(
        &self,
        id: DeploymentId,
        options: RollBackOptions,
        call: &RequestContext,
    ) -> Result<RolledBack, UnitError<RollBackRefusal>> {
        self.idempotent(id, call, async |tx: &mut UnitTransaction| {
            let held = tx.lock_for(id, call).await?;
            let decided = decide(tx, &held, options).await?;
            let (instant, kept) = (decided.is_instant(), decided.kept());
            let deployment = tx.carry_out(held, &decided.plan(), call);
            Ok(RolledBack {
                deployment,
                instant,
                kept,
            })
        })
        .in_unit("roll_back", id)
        .await
    }

    /// Says what a roll-back would come to, and changes nothing.
    ///
    /// # Errors
    ///
    /// The same: what would be refused is refused.
    pub async fn preview_roll_back(
        &self,
        id: DeploymentId,
        options: RollBackOptions,
        call: &RequestContext,
    ) -> Result<RollBackPreview, UnitError<RollBackRefusal>> {
        // Under the lock, although it writes nothing: it decides on what a roll-back would see.
        self.write_locked(WaitStart::now(), [id], async |tx: &mut UnitTransaction| {
            let held = tx.lock_for(id, call).await?;
            let decided = decide(tx, &held, options).await?;
            let (instant, kept) = (decided.is_instant(), decided.kept());
            let (revision, number) = (decided.revision.id, decided.revision.number);
            let deployment = held.deployment.clone();
            let after = held.write_set(&decided.plan(), call).deployment;
            Ok(RollBackPreview {
                deployment,
                revision,
                number,
                instant,
                kept,
                blockers: after.status.blockers,
            })
        })
        .in_unit("preview_roll_back", id)
        .await
    }
}

impl DecidedRollBack {
    /// Decides. `found` is the revision of the deployment that the target names.
    pub(super) fn to(
        target: RollBackTarget,
        found: Option<&Revision>,
        held: &Locked,
        gated: bool,
    ) -> Result<Self, RollBackRefusal> {
        let RollBackTarget { revision, gives_up } = target;
        let found = found.ok_or(RollBackRefusal::NoRevision(revision))?;
        let transition = if gives_up {
            held.decide(verbs::abort).map_err(RollBackRefusal::GiveUp)?
        } else {
            held.decide(|observed| verbs::roll_back(observed, revision, gated))
                .map_err(|rejection| by_rules(&held.deployment, rejection))?
        };
        Ok(Self {
            revision: found.clone(),
            transition,
            gives_up,
        })
    }

    pub(super) fn is_instant(&self) -> bool {
        match self.transition.kind {
            TransitionKind::InstantRollBack => true,
            // A rolling update goes back step by step.
            _ => self.gives_up && self.transition.deployment.state.deploying().is_none(),
        }
    }

    /// Of a roll-back, only retained routes are promoted.
    fn kept(&self) -> Vec<RouteId> {
        let RouteActions { promote, reuse, .. } = &self.transition.actions;
        [promote.as_slice(), reuse].concat()
    }

    pub(super) fn plan(self) -> PlannedChange {
        let plan = PlannedChange::of_call(self.transition, Operation::RollBack);
        if self.gives_up {
            // As an abort: the history names what was given up.
            return plan;
        }
        plan.naming(Some(&self.revision))
    }
}

async fn decide(
    tx: &mut UnitTransaction,
    held: &Locked,
    options: RollBackOptions,
) -> Result<DecidedRollBack, UnitError<RollBackRefusal>> {
    let target = RollBackTarget::of(held, options).map_err(UnitError::Refused)?;
    let reference = RevisionReference::Id(target.revision);
    let connection = tx.connection().await?;
    let found = connection
        .find_revision(held.deployment.id, reference)
        .await?;
    let decided = DecidedRollBack::to(target, found.as_ref(), held, options.gated);
    decided.map_err(UnitError::Refused)
}

impl RollBackTarget {
    pub(super) fn of(held: &Locked, options: RollBackOptions) -> Result<Self, RollBackRefusal> {
        let deployment = &held.deployment;
        check_expected(deployment, options.expected_revision)?;
        let given_up = given_up_for(&deployment.state, options.revision);
        let revision = match options.revision.or(given_up) {
            Some(revision) => revision,
            None => verbs::roll_back_target(&deployment.state, &deployment.past())
                .map_err(|rejection| refusal(deployment, rejection))?,
        };
        Ok(Self {
            revision,
            gives_up: given_up.is_some(),
        })
    }
}

/// What serves, if the way back to it is to give up the rollout that is under way.
fn given_up_for(state: &DeploymentState, named: Option<RevisionId>) -> Option<RevisionId> {
    let rollout = state.rollout()?;
    let is_meant = match named {
        Some(named) => named == rollout.current,
        // It is on its way back already: a second call must not undo the first one.
        None => !matches!(rollout.kind, RolloutKind::Back { .. }),
    };
    is_meant.then_some(rollout.current)
}

fn check_expected(
    deployment: &Deployment,
    expected: Option<RevisionId>,
) -> Result<(), RollBackRefusal> {
    let actual = deployment.named_current();
    match (expected, deployment.state) {
        // The rules refuse it, and say more than that the revision is another one.
        (_, DeploymentState::Destroying { .. } | DeploymentState::Destroyed { .. }) => Ok(()),
        // What was seen to serve, or to be on its way.
        (Some(expected), state)
            if actual.map(|it| it.id) != Some(expected) && state.deploying() != Some(expected) =>
        {
            Err(RollBackRefusal::Revision { expected, actual })
        }
        _ => Ok(()),
    }
}

fn refusal(deployment: &Deployment, rejection: verbs::RollBackRejection) -> RollBackRefusal {
    use verbs::{ActivateRejection as Activate, RollBackRejection as Rejection};
    match rejection {
        Rejection::InProgress { deploying } => {
            by_rules(deployment, Activate::InProgress { deploying })
        }
        Rejection::Gone(lifecycle) => by_rules(deployment, Activate::Gone(lifecycle)),
        Rejection::NoPrevious => RollBackRefusal::NoPrevious,
        Rejection::AlreadyRolledBack { .. } => RollBackRefusal::AlreadyRolledBack {
            left: deployment.last_rollout.as_ref().and_then(|it| it.number),
            current: deployment.numbers.current,
        },
    }
}

fn by_rules(deployment: &Deployment, rejection: verbs::ActivateRejection) -> RollBackRefusal {
    match deployment.named_in_progress(rejection) {
        Ok(named) => RollBackRefusal::InProgress(named),
        Err(rejection) => RollBackRefusal::Rules(rejection),
    }
}
