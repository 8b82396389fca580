//! How well a deployment serves, beside where it is in its life.

use crate::{DeploymentState, ObservedDeployment, ObservedRoute, RouteTraffic};

/// How well a deployment serves: its ready ACTIVE routes against its target.
///
/// Independent of the lifecycle: a READY deployment whose replicas are all broken is
/// still READY, and is [`Availability::Unavailable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Availability {
    /// As many are ready as should serve, or more.
    Available,
    /// Some are ready.
    Degraded,
    /// None is ready, and some should serve.
    Unavailable,
    /// None should serve: the target is zero.
    Idle,
}

impl Availability {
    /// The name for programs: `AVAILABLE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "AVAILABLE",
            Self::Degraded => "DEGRADED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Idle => "IDLE",
        }
    }
}

/// How well a deployment serves. None where nothing is asked of it: without a revision,
/// and once it is being destroyed.
///
/// "Ready" is what every decision means by it. A route that serves only because no
/// other one is ready does not count.
pub fn availability(
    deployment: &ObservedDeployment,
    routes: &[ObservedRoute],
) -> Option<Availability> {
    match deployment.state {
        DeploymentState::Pending { current: None }
        | DeploymentState::Destroying { .. }
        | DeploymentState::Destroyed { .. } => return None,
        DeploymentState::Pending { current: Some(_) }
        | DeploymentState::Ready { .. }
        | DeploymentState::Deploying(_) => {}
    }
    let target = deployment.target_replicas as usize;
    if target == 0 {
        return Some(Availability::Idle);
    }
    // Of any revision: in a rolling update both serve.
    let ready = routes
        .iter()
        .filter(|route| route.traffic == RouteTraffic::Active && route.is_ready())
        .count();
    Some(match ready {
        0 => Availability::Unavailable,
        _ if ready < target => Availability::Degraded,
        _ => Availability::Available,
    })
}
