use crate::{
    DeploymentState, ObservedDeployment, RevisionId, RouteActions, RouteTraffic, Stopwatch,
    Transition,
};

/// Creates a deployment. Routes of a first revision are created ACTIVE at once:
/// there is no blue to switch from.
pub fn create(revision: Option<RevisionId>, target_replicas: u32) -> Transition {
    let mut actions = RouteActions::default();
    let activation = i64::from(revision.is_some());
    if let Some(revision) = revision {
        actions.create(revision, activation, target_replicas, RouteTraffic::Active);
    }
    let nothing = ObservedDeployment {
        state: DeploymentState::Pending { current: revision },
        target_replicas,
        paused: false,
        last_activation: activation,
        current_activation: activation,
        // `requested` moves it to 1.
        generation: 0,
        promoted_at: None,
        // Stopped: the first evaluation, which is due at once, starts it.
        coming_up: revision.map(|_| Stopwatch::default()),
        restarted: false,
    };
    Transition {
        actions,
        ..Transition::unchanged(&nothing).requested()
    }
}
