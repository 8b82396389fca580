//! What is waited for, and whether it has come.

use viridian_proto::v1::{BlockerCode, Deployment, DeploymentLifecycle, DeploymentSubStep};

/// What a call leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::deployment) enum Goal {
    /// This revision serves, with all of its routes.
    Serves(String),
    /// Nothing is on its way any more, and all routes are there.
    Settled,
    /// It is gone.
    Destroyed,
}

/// How far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    Going,
    /// What was waited for.
    Done,
    /// Only someone can get it on: it waits for its promotion.
    AtGate,
    /// It will not come to that by itself.
    Failed(String),
}

impl Goal {
    /// What an activation, or what is like one, leads to: the revision that is on
    /// its way, or that has replaced another at once.
    pub(in crate::deployment) fn of_activation(deployment: &Deployment) -> Self {
        let revision = match deployment.deploying_revision_id.as_str() {
            "" => &deployment.current_revision_id,
            deploying => deploying,
        };
        if revision.is_empty() {
            Self::Settled
        } else {
            Self::Serves(revision.to_owned())
        }
    }

    /// What it is called where it did not come.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Serves(_) => "serve the new revision",
            Self::Settled => "ready",
            Self::Destroyed => "its end",
        }
    }

    pub(super) fn progress(&self, deployment: &Deployment) -> Progress {
        use DeploymentLifecycle::{Deploying, Destroyed, Destroying, Pending, Ready};
        let failed = |why: &str| Progress::Failed(why.to_owned());
        match (deployment.lifecycle(), self) {
            (Destroyed, Self::Destroyed) => Progress::Done,
            (_, Self::Destroyed) => Progress::Going,
            (Destroying | Destroyed, _) => failed("it is destroyed"),
            (Ready, Self::Serves(revision)) if deployment.current_revision_id != *revision => {
                failed("it went back to the revision before")
            }
            (Deploying, Self::Serves(revision)) if !is_on_its_way(deployment, revision) => {
                failed("another revision is being deployed")
            }
            (Deploying, _) if is_at_gate(deployment) => Progress::AtGate,
            (Pending, Self::Settled) if waits_for(deployment, BlockerCode::NoRevision) => {
                Progress::Done
            }
            (Ready, _) if is_whole(deployment) => Progress::Done,
            _ => Progress::Going,
        }
    }
}

/// A rolling-back one is too: it is about to fail.
fn is_on_its_way(deployment: &Deployment, revision: &str) -> bool {
    [
        &deployment.deploying_revision_id,
        &deployment.current_revision_id,
    ]
    .into_iter()
    .any(|id| id == revision)
}

fn is_at_gate(deployment: &Deployment) -> bool {
    deployment.sub_step() == DeploymentSubStep::AwaitingPromotion
        && waits_for(deployment, BlockerCode::ManualGate)
}

fn waits_for(deployment: &Deployment, code: BlockerCode) -> bool {
    deployment.blockers.iter().any(|it| it.code() == code)
}

/// As many routes are ready as ought to be.
fn is_whole(deployment: &Deployment) -> bool {
    let blue = deployment.blue.unwrap_or_default();
    blue.ready == deployment.target_replicas && blue.provisioning == 0
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::ReplicaCounts;

    use super::*;
    use crate::deployment::show::fixture;

    fn ready(revision: &str) -> Deployment {
        let mut deployment = fixture::at_the_gate();
        deployment.set_lifecycle(DeploymentLifecycle::Ready);
        deployment.set_sub_step(DeploymentSubStep::Unspecified);
        deployment.current_revision_id = revision.to_owned();
        deployment.deploying_revision_id.clear();
        deployment.blockers.clear();
        deployment
    }

    #[test]
    fn a_rollout_goes_to_the_gate_or_to_its_end() {
        let goal = Goal::of_activation(&fixture::at_the_gate());
        assert_eq!(goal, Goal::Serves("rev-2".to_owned()));
        assert_eq!(goal.progress(&fixture::provisioning()), Progress::Going);
        assert_eq!(goal.progress(&fixture::at_the_gate()), Progress::AtGate);
        assert_eq!(goal.progress(&ready("rev-2")), Progress::Done);
        let back = goal.progress(&ready("rev-1"));
        assert!(matches!(back, Progress::Failed(_)), "{back:?}");
    }

    #[test]
    fn one_that_was_superseded_has_failed() {
        let goal = Goal::Serves("rev-9".to_owned());
        let other = goal.progress(&fixture::provisioning());
        assert!(matches!(other, Progress::Failed(_)), "{other:?}");
    }

    #[test]
    fn it_has_settled_once_all_routes_are_there() {
        let mut more = ready("rev-1");
        more.target_replicas = 4;
        assert_eq!(Goal::Settled.progress(&more), Progress::Going);
        more.blue = Some(ReplicaCounts {
            ready: 4,
            ..ReplicaCounts::default()
        });
        assert_eq!(Goal::Settled.progress(&more), Progress::Done);
        more.target_replicas = 2;
        assert_eq!(Goal::Settled.progress(&more), Progress::Going);
    }

    #[test]
    fn the_end_is_the_end() {
        let mut gone = ready("rev-1");
        assert_eq!(Goal::Destroyed.progress(&gone), Progress::Going);
        gone.set_lifecycle(DeploymentLifecycle::Destroyed);
        assert_eq!(Goal::Destroyed.progress(&gone), Progress::Done);
        let settled = Goal::Settled.progress(&gone);
        assert!(matches!(settled, Progress::Failed(_)), "{settled:?}");
    }
}
