//! What a watch with --until waits for beyond the rollout itself: someone who acts.

use viridian_client::{NeededAction, WaitGoal, needed_action};
use viridian_proto::v1::{Deployment, DeploymentLifecycle};

use crate::{deployment::wait::action_command, enum_names::qualified_name};

/// Why the watch may never end by itself, and the command that helps. None while it will
/// end.
pub(super) fn hint(goal: &WaitGoal, deployment: &Deployment) -> Option<String> {
    let name = qualified_name(deployment);
    match (needed_action(deployment), goal) {
        // It is what is waited for.
        (Some(NeededAction::Promote), WaitGoal::AwaitingPromotion) => None,
        (Some(action), _) => {
            let command = action_command(action, &name);
            Some(format!("{name} {action}: {command}"))
        }
        (None, WaitGoal::AwaitingPromotion)
            // A first revision that still comes up has no gate.
            if deployment.lifecycle() != DeploymentLifecycle::Deploying =>
        {
            let command = action_command(NeededAction::ActivateRevision, &name);
            Some(format!("nothing of {name} is being deployed: {command}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::DeploymentSubStep;

    use super::*;
    use crate::deployment::show::fixture;

    #[test]
    fn b7_a_wait_that_needs_someone_says_whom() {
        let gate = fixture::at_the_gate();
        assert_eq!(hint(&WaitGoal::AwaitingPromotion, &gate), None);
        assert_eq!(
            hint(&WaitGoal::Ready, &gate).as_deref(),
            Some("shop/cart waits for someone to promote: viridian deployment promote shop/cart")
        );
        let mut paused = fixture::provisioning();
        paused.paused = true;
        let mut ready = fixture::at_the_gate();
        ready.set_lifecycle(DeploymentLifecycle::Ready);
        ready.set_sub_step(DeploymentSubStep::Unspecified);
        let mut pending = ready.clone();
        pending.set_lifecycle(DeploymentLifecycle::Pending);
        for (deployment, text) in [
            (pending, "nothing of shop/cart is being deployed"),
            (paused, "shop/cart is paused: viridian deployment resume"),
            (ready, "nothing of shop/cart is being deployed"),
        ] {
            let hint = hint(&WaitGoal::AwaitingPromotion, &deployment);
            let hint = hint.unwrap_or_default();
            assert!(hint.starts_with(text), "{hint}");
        }
        assert_eq!(hint(&WaitGoal::Ready, &fixture::provisioning()), None);
        // A step is not the promotion: for both goals someone has to act first.
        for goal in [WaitGoal::Ready, WaitGoal::AwaitingPromotion] {
            assert_eq!(
                hint(&goal, &fixture::manual_step()).as_deref(),
                Some(
                    "shop/cart waits for someone to advance its step: \
                     viridian deployment advance shop/cart"
                )
            );
            assert_eq!(hint(&goal, &fixture::canary()), None);
        }
    }
}
