use std::fmt;

use viridian_proto::v1::{BlockerCode, Deployment, DeploymentLifecycle, DeploymentSubStep};

/// What a call on a deployment leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitGoal {
    /// This revision serves, with all of its routes. By its id.
    Serves(String),
    /// Nothing is being deployed, and all routes are there.
    Settled,
    /// The deployment is DESTROYED.
    Destroyed,
}

/// How far a deployment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitProgress {
    /// It is on its way.
    InProgress,
    /// It is there.
    Reached,
    /// It waits for its promotion: someone has to act.
    AtGate,
    /// It will not come there by itself.
    Missed(MissReason),
}

/// Why a deployment will not come to a goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissReason {
    /// It is being destroyed, or is destroyed.
    Destroyed,
    /// The revision before serves again: the rollout failed or was aborted.
    RolledBack,
    /// Another revision is being deployed instead.
    Superseded,
    /// Its target is 0 replicas: the rollout goes on when that is raised.
    NoReplicas,
}

impl fmt::Display for MissReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Destroyed => "it was destroyed",
            Self::RolledBack => "it was rolled back to the previous revision",
            Self::Superseded => "another revision is being deployed",
            Self::NoReplicas => "its target is 0 replicas; the rollout waits until that is raised",
        })
    }
}

impl WaitGoal {
    /// What an activation or a roll-back leads to, from the deployment in its reply:
    /// the revision that is being deployed, or that took over at once.
    pub fn of_activation(deployment: &Deployment) -> Self {
        let revision = match deployment.deploying_revision_id.as_str() {
            "" => &deployment.current_revision_id,
            deploying => deploying,
        };
        match revision.is_empty() {
            true => Self::Settled,
            false => Self::Serves(revision.to_owned()),
        }
    }

    /// The goal in the sentence "the deployment is not …".
    pub fn name(&self) -> &'static str {
        match self {
            Self::Serves(_) => "serving the new revision",
            Self::Settled => "ready",
            Self::Destroyed => "destroyed",
        }
    }

    /// Judges a deployment.
    pub fn progress(&self, deployment: &Deployment) -> WaitProgress {
        use DeploymentLifecycle::{Deploying, Destroyed, Destroying, Pending, Ready};
        use WaitProgress::{AtGate, InProgress, Missed, Reached};
        match (deployment.lifecycle(), self) {
            (Destroyed, Self::Destroyed) => Reached,
            (_, Self::Destroyed) => InProgress,
            (Destroying | Destroyed, _) => Missed(MissReason::Destroyed),
            (Pending | Ready, Self::Serves(revision))
                if deployment.current_revision_id != *revision =>
            {
                Missed(MissReason::RolledBack)
            }
            (Deploying, Self::Serves(revision)) if !is_involved(deployment, revision) => {
                Missed(MissReason::Superseded)
            }
            (Deploying, _) if is_at_gate(deployment) => AtGate,
            (Deploying, _) if waits_for(deployment, BlockerCode::NoReplicas) => {
                Missed(MissReason::NoReplicas)
            }
            (Pending, Self::Settled) if waits_for(deployment, BlockerCode::NoRevision) => Reached,
            // All that is asked for is there: nothing.
            (Pending, _) if waits_for(deployment, BlockerCode::NoReplicas) => Reached,
            (Ready, _) if is_whole(deployment) => Reached,
            _ => InProgress,
        }
    }
}

/// The current revision counts too: while it is restored the rollout has not failed
/// yet, and the state after it says more.
fn is_involved(deployment: &Deployment, revision: &str) -> bool {
    deployment.deploying_revision_id == revision || deployment.current_revision_id == revision
}

fn is_at_gate(deployment: &Deployment) -> bool {
    deployment.sub_step() == DeploymentSubStep::AwaitingPromotion
        && waits_for(deployment, BlockerCode::ManualGate)
}

fn waits_for(deployment: &Deployment, code: BlockerCode) -> bool {
    deployment.blockers.iter().any(|it| it.code() == code)
}

/// As many routes are ready as there should be.
fn is_whole(deployment: &Deployment) -> bool {
    let blue = deployment.blue.unwrap_or_default();
    blue.ready == deployment.target_replicas && blue.provisioning == 0
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{Blocker, ReplicaCounts};

    use super::*;

    fn deploying() -> Deployment {
        let mut deployment = Deployment {
            target_replicas: 3,
            current_revision_id: "rev-1".to_owned(),
            deploying_revision_id: "rev-2".to_owned(),
            blue: Some(counts(3)),
            green: Some(counts(1)),
            ..Deployment::default()
        };
        deployment.set_lifecycle(DeploymentLifecycle::Deploying);
        deployment.set_sub_step(DeploymentSubStep::Provisioning);
        deployment
    }

    fn at_gate() -> Deployment {
        let mut deployment = deploying();
        deployment.set_sub_step(DeploymentSubStep::AwaitingPromotion);
        deployment.blockers.push(Blocker {
            code: BlockerCode::ManualGate.into(),
            ..Blocker::default()
        });
        deployment
    }

    fn ready(revision: &str) -> Deployment {
        let mut deployment = Deployment {
            current_revision_id: revision.to_owned(),
            deploying_revision_id: String::new(),
            ..deploying()
        };
        deployment.set_lifecycle(DeploymentLifecycle::Ready);
        deployment.set_sub_step(DeploymentSubStep::Unspecified);
        deployment
    }

    fn counts(ready: i32) -> ReplicaCounts {
        ReplicaCounts {
            ready,
            ..ReplicaCounts::default()
        }
    }

    #[test]
    fn a_rollout_ends_at_the_gate_or_when_it_serves_or_is_rolled_back() {
        let goal = WaitGoal::of_activation(&at_gate());
        assert_eq!(goal, WaitGoal::Serves("rev-2".to_owned()));
        assert_eq!(goal.progress(&deploying()), WaitProgress::InProgress);
        assert_eq!(goal.progress(&at_gate()), WaitProgress::AtGate);
        assert_eq!(goal.progress(&ready("rev-2")), WaitProgress::Reached);
        let back = goal.progress(&ready("rev-1"));
        assert_eq!(back, WaitProgress::Missed(MissReason::RolledBack));
    }

    #[test]
    fn a_superseded_rollout_is_missed() {
        let goal = WaitGoal::Serves("rev-9".to_owned());
        let other = goal.progress(&deploying());
        assert_eq!(other, WaitProgress::Missed(MissReason::Superseded));
    }

    #[test]
    fn a_deployment_is_settled_once_all_routes_are_there() {
        let mut deployment = ready("rev-1");
        let progress = |it: &Deployment| WaitGoal::Settled.progress(it);
        deployment.target_replicas = 4;
        assert_eq!(progress(&deployment), WaitProgress::InProgress);
        deployment.blue = Some(counts(4));
        assert_eq!(progress(&deployment), WaitProgress::Reached);
        deployment.target_replicas = 2;
        assert_eq!(progress(&deployment), WaitProgress::InProgress);
    }

    #[test]
    fn a_deployment_without_a_revision_is_settled() {
        let mut deployment = Deployment::default();
        deployment.set_lifecycle(DeploymentLifecycle::Pending);
        let goal = WaitGoal::of_activation(&deployment);
        assert_eq!(goal, WaitGoal::Settled);
        assert_eq!(goal.progress(&deployment), WaitProgress::InProgress);
        deployment.blockers.push(Blocker {
            code: BlockerCode::NoRevision.into(),
            ..Blocker::default()
        });
        assert_eq!(goal.progress(&deployment), WaitProgress::Reached);
    }

    #[test]
    fn a4_a_wait_ends_where_there_are_no_replicas() {
        let without = |mut deployment: Deployment| {
            deployment.target_replicas = 0;
            deployment.blockers.push(Blocker {
                code: BlockerCode::NoReplicas.into(),
                ..Blocker::default()
            });
            deployment
        };
        let goal = WaitGoal::Serves("rev-2".to_owned());
        let waiting = goal.progress(&without(deploying()));
        assert_eq!(waiting, WaitProgress::Missed(MissReason::NoReplicas));
        let mut first = ready("rev-2");
        first.set_lifecycle(DeploymentLifecycle::Pending);
        assert_eq!(goal.progress(&first), WaitProgress::InProgress);
        assert_eq!(goal.progress(&without(first)), WaitProgress::Reached);
    }

    #[test]
    fn a2_a_rollout_that_went_back_to_pending_is_missed() {
        let goal = WaitGoal::Serves("rev-2".to_owned());
        let mut back = ready("rev-1");
        back.set_lifecycle(DeploymentLifecycle::Pending);
        let missed = WaitProgress::Missed(MissReason::RolledBack);
        assert_eq!(goal.progress(&back), missed);
    }

    #[test]
    fn a_destroyed_deployment_reaches_no_other_goal() {
        let mut deployment = ready("rev-1");
        let end = WaitGoal::Destroyed.progress(&deployment);
        assert_eq!(end, WaitProgress::InProgress);
        deployment.set_lifecycle(DeploymentLifecycle::Destroyed);
        let end = WaitGoal::Destroyed.progress(&deployment);
        assert_eq!(end, WaitProgress::Reached);
        let settled = WaitGoal::Settled.progress(&deployment);
        assert_eq!(settled, WaitProgress::Missed(MissReason::Destroyed));
    }
}
