use viridian_proto::v1::{
    BlockerCode, Deployment, DeploymentLifecycle, RolloutOutcome, deployment_policy::Strategy,
};

use crate::progress::{
    MissReason, NeededAction, WaitProgress, is_awaiting_promotion, needed_action, waits_for,
};

/// What a deployment is awaited to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitGoal {
    /// This revision serves, with all of its routes. By its id.
    Serves(String),
    /// The canary of this revision, by its id, is past this step: a later one has its share,
    /// or the revision serves with all of its routes.
    Advanced {
        /// The revision that is being deployed.
        revision: String,
        /// The step that was advanced.
        step: i32,
    },
    /// Nothing is being deployed, and all routes are there.
    Settled,
    /// As `Settled`, after the rollout that is seen has ended well. Others may act
    /// meanwhile: it goes on where someone has to.
    Ready,
    /// A new revision is ready, and waits for its promotion. Others may act meanwhile.
    AwaitingPromotion,
    /// The deployment is DESTROYED.
    Destroyed,
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
            Self::Advanced { .. } => "past this step",
            Self::Settled | Self::Ready => "ready",
            Self::AwaitingPromotion => "awaiting its promotion",
            Self::Destroyed => "destroyed",
        }
    }

    /// Judges a deployment. `rollout` is the last revision that was seen being deployed,
    /// by its id.
    pub fn progress(&self, deployment: &Deployment, rollout: Option<&str>) -> WaitProgress {
        if let Self::Advanced { revision, step } = self {
            return advanced(deployment, rollout, revision, *step);
        }
        use DeploymentLifecycle::{Deploying, Destroyed, Destroying, Pending, Ready};
        use WaitProgress::{InProgress, Missed, Reached};
        let lifecycle = deployment.lifecycle();
        match (lifecycle, self) {
            (Destroyed, Self::Destroyed) => return Reached,
            (_, Self::Destroyed) => return InProgress,
            (Destroying | Destroyed, _) => return Missed(MissReason::Destroyed),
            (Deploying, Self::AwaitingPromotion) if is_awaiting_promotion(deployment) => {
                return Reached;
            }
            _ => {}
        }
        if let Some(reason) = self.missed(deployment, rollout) {
            return Missed(reason);
        }
        // What has ended says more than what can never be.
        if *self == Self::AwaitingPromotion
            && let Some(reason) = no_gate(deployment)
        {
            return Missed(reason);
        }
        match (lifecycle, self, needed_action(deployment)) {
            (Pending, Self::Settled, Some(NeededAction::ActivateRevision)) => Reached,
            (_, Self::Serves(_) | Self::Settled, Some(action)) => {
                WaitProgress::ActionNeeded(action)
            }
            (Ready, Self::Serves(_) | Self::Settled | Self::Ready, None)
                if is_whole(deployment) =>
            {
                Reached
            }
            // All that is asked for is there: nothing.
            (Pending, Self::Serves(_) | Self::Settled | Self::Ready, None)
                if waits_for(deployment, BlockerCode::NoReplicas) =>
            {
                Reached
            }
            _ => InProgress,
        }
    }

    /// Why the rollout that the goal is about has ended without it.
    fn missed(&self, deployment: &Deployment, rollout: Option<&str>) -> Option<MissReason> {
        let is_deploying = deployment.lifecycle() == DeploymentLifecycle::Deploying;
        // A first revision that is replaced goes back to PENDING.
        let is_at_rest = matches!(
            deployment.lifecycle(),
            DeploymentLifecycle::Pending | DeploymentLifecycle::Ready
        );
        let current = deployment.current_revision_id.as_str();
        let last = deployment.last_rollout.as_ref();
        // The outcome of a revision before this one says nothing about this one.
        let has_failed = last
            .is_some_and(|it| it.outcome() == RolloutOutcome::Failed && it.revision_id == current);
        let last = last.map(|it| it.outcome());
        match self {
            // It is tried on, but nothing else is going to happen.
            _ if has_failed && deployment.lifecycle() == DeploymentLifecycle::Pending => {
                Some(MissReason::NeverReady)
            }
            Self::Serves(revision) if is_at_rest && current != revision => {
                Some(MissReason::RolledBack)
            }
            Self::Serves(revision) if is_deploying && !is_involved(deployment, revision) => {
                Some(MissReason::Superseded)
            }
            Self::Ready | Self::AwaitingPromotion if !is_deploying => match rollout {
                Some(rollout) if current != rollout => Some(MissReason::RolledBack),
                Some(_) if *self == Self::AwaitingPromotion => Some(MissReason::Promoted),
                // It ended before the first look. An abort was asked for.
                None if last == Some(RolloutOutcome::RolledBack) => Some(MissReason::RolledBack),
                _ => None,
            },
            _ => None,
        }
    }
}

/// How far a canary has come from a step that was advanced.
fn advanced(
    deployment: &Deployment,
    rollout: Option<&str>,
    revision: &str,
    step: i32,
) -> WaitProgress {
    if deployment.deploying_revision_id == revision && deployment.step > step {
        return WaitProgress::Reached;
    }
    match WaitGoal::Serves(revision.to_owned()).progress(deployment, rollout) {
        // Of before the call: it takes a moment until the step is left.
        WaitProgress::ActionNeeded(NeededAction::Advance) => WaitProgress::InProgress,
        progress => progress,
    }
}

/// The current revision counts too: while it is restored the rollout has not failed
/// yet, and the state after it says more.
fn is_involved(deployment: &Deployment, revision: &str) -> bool {
    deployment.deploying_revision_id == revision || deployment.current_revision_id == revision
}

/// Why no rollout by this policy ever awaits its promotion.
fn no_gate(deployment: &Deployment) -> Option<MissReason> {
    match deployment.policy.as_ref()?.strategy.as_ref()? {
        Strategy::RollingUpdate(_) => Some(MissReason::NoGate),
        Strategy::BlueGreen(spec) => {
            let delay = spec.promote_delay.unwrap_or_default();
            let is_at_once = delay.seconds == 0 && delay.nanos == 0;
            (spec.auto_promote && is_at_once).then_some(MissReason::PromotesAtOnce)
        }
        Strategy::Canary(spec) => spec.auto_promote.then_some(MissReason::PromotesAtOnce),
    }
}

/// As many routes are ready as there should be, and none is to be replaced.
fn is_whole(deployment: &Deployment) -> bool {
    let blue = deployment.blue.unwrap_or_default();
    blue.ready == deployment.target_replicas
        && blue.provisioning == 0
        && !waits_for(deployment, BlockerCode::Restarting)
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{
        Blocker, BlueGreenSpec, CanarySpec, DeploymentPolicy, DeploymentSubStep, LastRollout,
        ReplicaCounts, RollingUpdateSpec,
    };

    use super::*;

    fn deploying() -> Deployment {
        let mut deployment = Deployment {
            target_replicas: 3,
            current_revision_id: "rev-1".to_owned(),
            deploying_revision_id: "rev-2".to_owned(),
            blue: Some(counts(3)),
            green: Some(counts(1)),
            policy: Some(DeploymentPolicy {
                strategy: Some(Strategy::BlueGreen(BlueGreenSpec::default())),
                ..DeploymentPolicy::default()
            }),
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

    fn progress(goal: &WaitGoal, deployment: &Deployment) -> WaitProgress {
        goal.progress(deployment, None)
    }

    #[test]
    fn a_rollout_ends_at_the_gate_or_when_it_serves_or_is_rolled_back() {
        let goal = WaitGoal::of_activation(&at_gate());
        assert_eq!(goal, WaitGoal::Serves("rev-2".to_owned()));
        assert_eq!(progress(&goal, &deploying()), WaitProgress::InProgress);
        let gate = WaitProgress::ActionNeeded(NeededAction::Promote);
        assert_eq!(progress(&goal, &at_gate()), gate);
        assert_eq!(progress(&goal, &ready("rev-2")), WaitProgress::Reached);
        let back = progress(&goal, &ready("rev-1"));
        assert_eq!(back, WaitProgress::Missed(MissReason::RolledBack));
    }

    #[test]
    fn a_superseded_rollout_is_missed() {
        let goal = WaitGoal::Serves("rev-9".to_owned());
        let other = progress(&goal, &deploying());
        assert_eq!(other, WaitProgress::Missed(MissReason::Superseded));
    }

    #[test]
    fn a_deployment_is_settled_once_all_routes_are_there() {
        for goal in [WaitGoal::Settled, WaitGoal::Ready] {
            let mut deployment = ready("rev-1");
            deployment.target_replicas = 4;
            assert_eq!(progress(&goal, &deployment), WaitProgress::InProgress);
            deployment.blue = Some(counts(4));
            assert_eq!(progress(&goal, &deployment), WaitProgress::Reached);
            deployment.target_replicas = 2;
            assert_eq!(progress(&goal, &deployment), WaitProgress::InProgress);
        }
    }

    #[test]
    fn a_deployment_without_a_revision_is_settled() {
        let mut deployment = Deployment::default();
        deployment.set_lifecycle(DeploymentLifecycle::Pending);
        let goal = WaitGoal::of_activation(&deployment);
        assert_eq!(goal, WaitGoal::Settled);
        assert_eq!(progress(&goal, &deployment), WaitProgress::InProgress);
        deployment.blockers.push(Blocker {
            code: BlockerCode::NoRevision.into(),
            ..Blocker::default()
        });
        assert_eq!(progress(&goal, &deployment), WaitProgress::Reached);
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
        let waiting = progress(&goal, &without(deploying()));
        let action = WaitProgress::ActionNeeded(NeededAction::AddReplicas);
        assert_eq!(waiting, action);
        let mut first = ready("rev-2");
        first.set_lifecycle(DeploymentLifecycle::Pending);
        assert_eq!(progress(&goal, &first), WaitProgress::InProgress);
        assert_eq!(progress(&goal, &without(first)), WaitProgress::Reached);
    }

    #[test]
    fn a2_a_rollout_that_went_back_to_pending_is_missed() {
        let goal = WaitGoal::Serves("rev-2".to_owned());
        let mut back = ready("rev-1");
        back.set_lifecycle(DeploymentLifecycle::Pending);
        let missed = WaitProgress::Missed(MissReason::RolledBack);
        assert_eq!(progress(&goal, &back), missed);
    }

    #[test]
    fn a_destroyed_deployment_reaches_no_other_goal() {
        let mut deployment = ready("rev-1");
        let end = progress(&WaitGoal::Destroyed, &deployment);
        assert_eq!(end, WaitProgress::InProgress);
        deployment.set_lifecycle(DeploymentLifecycle::Destroying);
        for goal in [
            WaitGoal::Settled,
            WaitGoal::Ready,
            WaitGoal::AwaitingPromotion,
        ] {
            let end = progress(&goal, &deployment);
            assert_eq!(end, WaitProgress::Missed(MissReason::Destroyed), "{goal:?}");
        }
        deployment.set_lifecycle(DeploymentLifecycle::Destroyed);
        let end = progress(&WaitGoal::Destroyed, &deployment);
        assert_eq!(end, WaitProgress::Reached);
    }

    #[test]
    fn b7_a_gate_that_will_not_come_is_missed() {
        let goal = WaitGoal::AwaitingPromotion;
        let seen = |deployment: &Deployment| goal.progress(deployment, Some("rev-2"));
        assert_eq!(seen(&deploying()), WaitProgress::InProgress);
        assert_eq!(seen(&at_gate()), WaitProgress::Reached);
        let failed = seen(&ready("rev-1"));
        assert_eq!(failed, WaitProgress::Missed(MissReason::RolledBack));
        let promoted = seen(&ready("rev-2"));
        assert_eq!(promoted, WaitProgress::Missed(MissReason::Promoted));
        // No rollout was seen: one may still begin.
        assert_eq!(progress(&goal, &ready("rev-1")), WaitProgress::InProgress);
        let mut rolling = deploying();
        rolling.policy = Some(DeploymentPolicy {
            strategy: Some(Strategy::RollingUpdate(RollingUpdateSpec::default())),
            ..DeploymentPolicy::default()
        });
        let never = progress(&goal, &rolling);
        assert_eq!(never, WaitProgress::Missed(MissReason::NoGate));
        // A delay is a gate: it awaits its promotion until then.
        for (seconds, reason) in [(0, Some(MissReason::PromotesAtOnce)), (5, None)] {
            let mut automatic = deploying();
            automatic.policy = Some(DeploymentPolicy {
                strategy: Some(Strategy::BlueGreen(BlueGreenSpec {
                    auto_promote: true,
                    promote_delay: Some(prost_types::Duration { seconds, nanos: 0 }),
                    ..BlueGreenSpec::default()
                })),
                ..DeploymentPolicy::default()
            });
            let expected = reason.map_or(WaitProgress::InProgress, WaitProgress::Missed);
            assert_eq!(progress(&goal, &automatic), expected, "{seconds} s");
        }
    }

    /// A canary at a manual step.
    fn canary(step: i32) -> Deployment {
        let mut deployment = deploying();
        deployment.policy = Some(DeploymentPolicy {
            strategy: Some(Strategy::Canary(CanarySpec::default())),
            ..DeploymentPolicy::default()
        });
        deployment.step = step;
        deployment.set_sub_step(DeploymentSubStep::Shifting);
        deployment.blockers.push(Blocker {
            code: BlockerCode::ManualStep.into(),
            ..Blocker::default()
        });
        deployment
    }

    #[test]
    fn a_manual_step_awaits_someone_but_no_promotion() {
        let advance = WaitProgress::ActionNeeded(NeededAction::Advance);
        let goal = WaitGoal::of_activation(&canary(2));
        assert_eq!(progress(&goal, &canary(2)), advance);
        assert_eq!(progress(&WaitGoal::Settled, &canary(2)), advance);
        // Others may act meanwhile.
        for goal in [WaitGoal::Ready, WaitGoal::AwaitingPromotion] {
            assert_eq!(progress(&goal, &canary(2)), WaitProgress::InProgress);
        }
        let mut paused = canary(2);
        paused.paused = true;
        let resume = WaitProgress::ActionNeeded(NeededAction::Resume);
        assert_eq!(progress(&goal, &paused), resume);
        let mut held = canary(2);
        held.blockers.clear();
        assert_eq!(progress(&goal, &held), WaitProgress::InProgress);
    }

    #[test]
    fn a_step_that_was_advanced_is_over_when_a_later_one_has_its_share() {
        let goal = WaitGoal::Advanced {
            revision: "rev-2".to_owned(),
            step: 2,
        };
        assert_eq!(progress(&goal, &canary(2)), WaitProgress::InProgress);
        assert_eq!(progress(&goal, &canary(3)), WaitProgress::Reached);
        let gate = WaitProgress::ActionNeeded(NeededAction::Promote);
        let mut last = at_gate();
        last.step = 2;
        assert_eq!(progress(&goal, &last), gate);
        assert_eq!(progress(&goal, &ready("rev-2")), WaitProgress::Reached);
        let back = WaitProgress::Missed(MissReason::RolledBack);
        assert_eq!(progress(&goal, &ready("rev-1")), back);
        let mut other = canary(5);
        other.deploying_revision_id = "rev-3".to_owned();
        let superseded = WaitProgress::Missed(MissReason::Superseded);
        assert_eq!(progress(&goal, &other), superseded);
    }

    #[test]
    fn b7_a_rollout_that_went_back_is_not_ready() {
        let goal = WaitGoal::Ready;
        let seen = |deployment: &Deployment| goal.progress(deployment, Some("rev-2"));
        assert_eq!(seen(&ready("rev-2")), WaitProgress::Reached);
        let back = seen(&ready("rev-1"));
        assert_eq!(back, WaitProgress::Missed(MissReason::RolledBack));
        // Someone else may promote: it goes on at the gate.
        assert_eq!(seen(&at_gate()), WaitProgress::InProgress);
        let mut down = ready("rev-2");
        down.blue = Some(counts(0));
        assert_eq!(seen(&down), WaitProgress::InProgress, "0 of 3 are ready");
    }

    #[test]
    fn b7_a_rollout_that_ended_before_the_first_look_counts() {
        let ended = |outcome: RolloutOutcome| {
            let mut deployment = ready("rev-1");
            deployment.last_rollout = Some(LastRollout {
                revision_id: "rev-1".to_owned(),
                outcome: outcome.into(),
                ..LastRollout::default()
            });
            deployment
        };
        let back = ended(RolloutOutcome::RolledBack);
        for goal in [WaitGoal::Ready, WaitGoal::AwaitingPromotion] {
            let missed = WaitProgress::Missed(MissReason::RolledBack);
            assert_eq!(progress(&goal, &back), missed, "{goal:?}");
        }
        // A change of the settings is about what serves.
        assert_eq!(progress(&WaitGoal::Settled, &back), WaitProgress::Reached);
        for outcome in [RolloutOutcome::Promoted, RolloutOutcome::Aborted] {
            let ready = progress(&WaitGoal::Ready, &ended(outcome));
            assert_eq!(ready, WaitProgress::Reached, "{outcome:?}");
        }
        let mut first = ended(RolloutOutcome::Failed);
        first.set_lifecycle(DeploymentLifecycle::Pending);
        for goal in [WaitGoal::Ready, WaitGoal::Settled] {
            let missed = WaitProgress::Missed(MissReason::NeverReady);
            assert_eq!(progress(&goal, &first), missed, "{goal:?}");
        }
        // The fix that took its place is on its way.
        first.current_revision_id = "rev-2".to_owned();
        let goal = WaitGoal::of_activation(&first);
        first.blue = Some(counts(0));
        first.deploying_revision_id.clear();
        assert_eq!(progress(&goal, &first), WaitProgress::InProgress);
    }

    #[test]
    fn b7_a_wait_ends_where_someone_has_to_act() {
        let goal = WaitGoal::Serves("rev-2".to_owned());
        let mut paused = deploying();
        paused.paused = true;
        let mut empty = deploying();
        empty.target_replicas = 0;
        for (deployment, action) in [
            (paused, NeededAction::Resume),
            (empty, NeededAction::AddReplicas),
            (at_gate(), NeededAction::Promote),
        ] {
            let progress = progress(&goal, &deployment);
            assert_eq!(progress, WaitProgress::ActionNeeded(action));
        }
        // What serves is kept at its number in a pause, too.
        let mut paused = ready("rev-2");
        paused.paused = true;
        assert_eq!(progress(&goal, &paused), WaitProgress::Reached);
    }
}
