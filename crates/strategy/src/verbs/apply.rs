use crate::{
    DeploymentState, Observed, ObservedDeployment, Policy, RevisionId, RolloutStep, Transition,
    verbs::{ActivateRejection, UpdateRejection, abort::give_up, activate, update},
};

/// What a deployment is to be, as a whole.
#[derive(Clone, Copy, Debug)]
pub struct WantedState<'a> {
    /// How many routes should serve.
    pub target_replicas: u32,
    /// How a new revision replaces the current one.
    pub policy: &'a Policy,
    /// What is to run. None: what runs now, and goes on.
    pub revision: Option<WantedRevision>,
    /// Whether a rollout that is under way may be given up.
    pub supersede: bool,
}

/// What is to run, compared with what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedRevision {
    /// The revision that is made if nothing there is the same.
    pub new: RevisionId,
    /// Whether the current revision is the same.
    pub is_current: bool,
    /// Whether the one that is being deployed is the same.
    pub is_deploying: bool,
}

/// What becomes of the revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevisionChange {
    /// Nothing: what is wanted serves, or is on its way.
    Keep,
    /// The new revision is deployed.
    Activate,
    /// The rollout is given up: what is wanted serves.
    Abort,
}

/// How a deployment becomes what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyDecision {
    /// What becomes of the revisions.
    pub revision: RevisionChange,
    /// The change as a whole. Empty but for the generation if only settings that no
    /// decision reads differ, or none.
    pub transition: Transition,
}

/// Why a deployment cannot become what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyRejection {
    /// Its settings cannot change so.
    Update(UpdateRejection),
    /// Its revision cannot.
    Activate(ActivateRejection),
}

/// Sets the target and the policy, and deploys what is to run unless it serves or is
/// on its way: one change, decided by the new policy. So a policy that would promote
/// the old green at once never does, if that green is replaced by the same call.
///
/// # Errors
///
/// An [`ApplyRejection`] when nothing may change.
pub fn apply(
    observed: &Observed<'_>,
    wanted: WantedState<'_>,
) -> Result<ApplyDecision, ApplyRejection> {
    let updated =
        update(observed, wanted.target_replicas, wanted.policy).map_err(ApplyRejection::Update)?;
    let revision = change_of(&observed.deployment.state, wanted.revision);
    let deployment = ObservedDeployment {
        target_replicas: wanted.target_replicas,
        ..*observed.deployment
    };
    let observed = Observed {
        deployment: &deployment,
        policy: wanted.policy,
        ..*observed
    };
    let transition = match (revision, deployment.state, wanted.revision) {
        (RevisionChange::Activate, _, Some(revision)) => {
            activate(&observed, revision.new, wanted.supersede).map_err(ApplyRejection::Activate)?
        }
        (RevisionChange::Abort, DeploymentState::Deploying(rollout), _) if wanted.supersede => {
            give_up(&observed, rollout)
        }
        (RevisionChange::Abort, DeploymentState::Deploying(rollout), _) => {
            let deploying = rollout.deploying;
            return Err(ApplyRejection::Activate(ActivateRejection::InProgress {
                deploying,
            }));
        }
        // Of the update, which moves the generation by itself.
        _ => updated,
    };
    Ok(ApplyDecision {
        revision,
        transition,
    })
}

fn change_of(state: &DeploymentState, wanted: Option<WantedRevision>) -> RevisionChange {
    let Some(wanted) = wanted else {
        return RevisionChange::Keep;
    };
    // A revision that is being rolled back is on its way out, so it counts for nothing here.
    let is_under_way = state
        .rollout()
        .is_some_and(|rollout| rollout.step != RolloutStep::RollingBack);
    match (is_under_way, wanted.is_deploying, wanted.is_current) {
        (true, true, _) | (false, _, true) => RevisionChange::Keep,
        (true, false, true) => RevisionChange::Abort,
        (true, false, false) | (false, _, false) => RevisionChange::Activate,
    }
}
