//! The enum values of the contract as people say them: `READY`, `MANUAL_GATE`.

use viridian_proto::v1::{
    BlockerCode, Deployment, DeploymentEventKind, DeploymentLifecycle, DeploymentSubStep,
    RouteHealthStatus, RouteStatus, RouteTrafficStatus,
};

/// The lifecycle and, while deploying, the sub-step: `DEPLOYING / PROVISIONING`.
pub(crate) fn state(deployment: &Deployment) -> String {
    let lifecycle = short(
        deployment.lifecycle().as_str_name(),
        DeploymentLifecycle::Unspecified.as_str_name(),
    );
    match deployment.sub_step() {
        DeploymentSubStep::Unspecified => lifecycle.to_owned(),
        step => {
            let unspecified = DeploymentSubStep::Unspecified.as_str_name();
            format!("{lifecycle} / {}", short(step.as_str_name(), unspecified))
        }
    }
}

/// What a deployment waits for: `MANUAL_GATE`.
pub(crate) fn blocker(code: BlockerCode) -> &'static str {
    short(code.as_str_name(), BlockerCode::Unspecified.as_str_name())
}

/// What changed of a deployment: `PROMOTED`.
pub(crate) fn event(kind: DeploymentEventKind) -> &'static str {
    let unspecified = DeploymentEventKind::Unspecified.as_str_name();
    short(kind.as_str_name(), unspecified)
}

/// Where a route is in its life: `RUNNING`.
pub(crate) fn status(status: RouteStatus) -> &'static str {
    short(status.as_str_name(), RouteStatus::Unspecified.as_str_name())
}

/// The health of a route: `HEALTHY`.
pub(crate) fn health(health: RouteHealthStatus) -> &'static str {
    short(
        health.as_str_name(),
        RouteHealthStatus::Unspecified.as_str_name(),
    )
}

/// Whether a route takes traffic: `ACTIVE`.
pub(crate) fn traffic(traffic: RouteTrafficStatus) -> &'static str {
    short(
        traffic.as_str_name(),
        RouteTrafficStatus::Unspecified.as_str_name(),
    )
}

/// Takes the name of the enum off, which is what `…_UNSPECIFIED` begins with.
fn short(name: &'static str, unspecified: &str) -> &'static str {
    let prefix = unspecified.trim_end_matches("UNSPECIFIED");
    name.strip_prefix(prefix).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{
        BlockerCode, Deployment, DeploymentLifecycle, DeploymentSubStep, RouteStatus,
    };

    #[test]
    fn names_have_no_prefix() {
        assert_eq!(super::blocker(BlockerCode::ManualGate), "MANUAL_GATE");
        assert_eq!(super::status(RouteStatus::FailedToStart), "FAILED_TO_START");
        assert_eq!(super::status(RouteStatus::Unspecified), "UNSPECIFIED");
    }

    #[test]
    fn the_sub_step_shows_only_while_deploying() {
        let mut deployment = Deployment::default();
        deployment.set_lifecycle(DeploymentLifecycle::Ready);
        assert_eq!(super::state(&deployment), "READY");

        deployment.set_lifecycle(DeploymentLifecycle::Deploying);
        deployment.set_sub_step(DeploymentSubStep::AwaitingPromotion);
        assert_eq!(super::state(&deployment), "DEPLOYING / AWAITING_PROMOTION");
    }
}
