//! Short names of the API's enum values: `READY`, `MANUAL_GATE`.

use viridian_proto::v1::{
    Blocker, BlockerCode, Deployment, DeploymentAvailability, DeploymentEventKind,
    DeploymentLifecycle, DeploymentProtocol, DeploymentSubStep, HistoryResult, RolloutOutcome,
    RouteHealthStatus, RouteStatus, RouteTrafficStatus,
};

/// `PROJECT/NAME` of a deployment.
pub(crate) fn qualified_name(deployment: &Deployment) -> String {
    format!("{}/{}", deployment.project, deployment.name)
}

/// The lifecycle and, while deploying, the sub-step: `DEPLOYING / PROVISIONING`.
pub(crate) fn state(deployment: &Deployment) -> String {
    let name = lifecycle(deployment.lifecycle());
    match deployment.sub_step() {
        DeploymentSubStep::Unspecified => name.to_owned(),
        step => format!("{name} / {}", sub_step(step)),
    }
}

/// How well a deployment serves: `DEGRADED`.
pub(crate) fn availability(availability: DeploymentAvailability) -> &'static str {
    let unspecified = DeploymentAvailability::Unspecified.as_str_name();
    short(availability.as_str_name(), unspecified)
}

/// Reads how well a deployment serves, as people type it: `unavailable`.
pub(crate) fn parse_availability(text: &str) -> Result<DeploymentAvailability, EnumNameError> {
    let all = (1..).map_while(|number| DeploymentAvailability::try_from(number).ok());
    parse(text, all, availability)
}

/// Whether a deployment that has served before has too few ready replicas, or none.
pub(crate) fn serves_badly(deployment: &Deployment) -> bool {
    use DeploymentAvailability::{Degraded, Unavailable};
    use DeploymentLifecycle::{Deploying, Ready};
    matches!(deployment.lifecycle(), Ready | Deploying)
        && matches!(deployment.availability(), Degraded | Unavailable)
}

/// Whether a rollout goes on only when someone promotes it, or advances its step.
pub(crate) fn awaits_someone(deployment: &Deployment) -> bool {
    let mut codes = deployment.blockers.iter().map(Blocker::code);
    match deployment.sub_step() {
        DeploymentSubStep::AwaitingPromotion => true,
        DeploymentSubStep::Shifting => codes.any(|code| code == BlockerCode::ManualStep),
        _ => false,
    }
}

/// The remarks after the state: `, UNAVAILABLE, paused`. Empty if all is well: a state
/// alone does not say that a deployment serves.
pub(crate) fn state_remarks(deployment: &Deployment) -> String {
    let mut remarks = String::new();
    if serves_badly(deployment) {
        remarks += &format!(", {}", availability(deployment.availability()));
    }
    if deployment.paused {
        remarks += ", paused";
    }
    remarks
}

/// The sub-step while deploying, else the lifecycle: `AWAITING_PROMOTION`. No sub-step
/// has the name of a lifecycle.
pub(crate) fn short_state(deployment: &Deployment) -> &'static str {
    match deployment.sub_step() {
        DeploymentSubStep::Unspecified => lifecycle(deployment.lifecycle()),
        step => sub_step(step),
    }
}

/// What the replicas of a deployment speak: `HTTP2`.
pub(crate) fn protocol(protocol: DeploymentProtocol) -> &'static str {
    let unspecified = DeploymentProtocol::Unspecified.as_str_name();
    short(protocol.as_str_name(), unspecified)
}

/// The lifecycle of a deployment: `READY`.
pub(crate) fn lifecycle(lifecycle: DeploymentLifecycle) -> &'static str {
    let unspecified = DeploymentLifecycle::Unspecified.as_str_name();
    short(lifecycle.as_str_name(), unspecified)
}

/// The step within DEPLOYING: `AWAITING_PROMOTION`.
pub(crate) fn sub_step(step: DeploymentSubStep) -> &'static str {
    let unspecified = DeploymentSubStep::Unspecified.as_str_name();
    short(step.as_str_name(), unspecified)
}

/// The result of a history entry: `ROLLED_BACK`.
pub(crate) fn result(result: HistoryResult) -> &'static str {
    let unspecified = HistoryResult::Unspecified.as_str_name();
    short(result.as_str_name(), unspecified)
}

/// How a rollout came out: `ROLLED_BACK`.
pub(crate) fn outcome(outcome: RolloutOutcome) -> &'static str {
    let unspecified = RolloutOutcome::Unspecified.as_str_name();
    short(outcome.as_str_name(), unspecified)
}

/// What a deployment waits for: `MANUAL_GATE`.
pub(crate) fn blocker(code: BlockerCode) -> &'static str {
    short(code.as_str_name(), BlockerCode::Unspecified.as_str_name())
}

/// The kind of a deployment event: `PROMOTED`.
pub(crate) fn event(kind: DeploymentEventKind) -> &'static str {
    let unspecified = DeploymentEventKind::Unspecified.as_str_name();
    short(kind.as_str_name(), unspecified)
}

/// The status of a route: `RUNNING`.
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

/// A text that names no value of an enum.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown value; expected one of: {0}")]
pub(crate) struct EnumNameError(String);

/// Reads a lifecycle as people type it: `deploying`.
pub(crate) fn parse_lifecycle(text: &str) -> Result<DeploymentLifecycle, EnumNameError> {
    // From 1, since 0 is UNSPECIFIED. The numbers have no gaps.
    let all = (1..).map_while(|number| DeploymentLifecycle::try_from(number).ok());
    parse(text, all, lifecycle)
}

/// Reads the status of a route as people type it: `failed-to-start`.
pub(crate) fn parse_status(text: &str) -> Result<RouteStatus, EnumNameError> {
    let all = (1..).map_while(|number| RouteStatus::try_from(number).ok());
    parse(text, all, status)
}

fn parse<T: Copy>(
    text: &str,
    all: impl Iterator<Item = T> + Clone,
    name: impl Fn(T) -> &'static str,
) -> Result<T, EnumNameError> {
    let typed = |value: T| name(value).to_ascii_lowercase().replace('_', "-");
    let asked = text.to_ascii_lowercase().replace('_', "-");
    let mut values = all.clone();
    values.find(|&value| typed(value) == asked).ok_or_else(|| {
        let names: Vec<_> = all.map(typed).collect();
        EnumNameError(names.join(", "))
    })
}

/// Strips the enum's prefix, which `…_UNSPECIFIED` has too.
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
    fn names_are_read_as_people_type_them() {
        for text in ["failed-to-start", "FAILED_TO_START"] {
            assert_eq!(super::parse_status(text), Ok(RouteStatus::FailedToStart));
        }
        let error = super::parse_lifecycle("unspecified").expect_err("it is none");
        assert_eq!(
            error.to_string(),
            "unknown value; expected one of: pending, ready, deploying, destroying, destroyed"
        );
    }

    #[test]
    fn c1_a_state_alone_does_not_say_that_all_is_well() {
        use viridian_proto::v1::DeploymentAvailability::{
            Available, Degraded, Idle, Unavailable, Unspecified,
        };
        let mut deployment = Deployment::default();
        deployment.set_lifecycle(DeploymentLifecycle::Ready);
        for (availability, remarks) in [
            (Unspecified, ""),
            (Available, ""),
            (Idle, ""),
            (Degraded, ", DEGRADED"),
            (Unavailable, ", UNAVAILABLE"),
        ] {
            deployment.set_availability(availability);
            assert_eq!(super::state_remarks(&deployment), remarks);
        }
        deployment.paused = true;
        assert_eq!(super::state_remarks(&deployment), ", UNAVAILABLE, paused");
        // One that comes up for the first time has nothing to serve with yet.
        deployment.set_lifecycle(DeploymentLifecycle::Pending);
        assert_eq!(super::state_remarks(&deployment), ", paused");
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
