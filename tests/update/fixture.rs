use viridian_proto::v1::{
    BlueGreenSpec, CreateDeploymentRequest, Deployment, DeploymentPolicy, DeploymentProtocol,
    GateTimeout, GateTimeoutAction, IntOrPercent, RollingUpdateSpec, UpdateDeploymentRequest,
    deployment_policy::Strategy, int_or_percent::Value,
};

use crate::harness::{Api, creation, seconds};

/// A deployment without a revision, which nothing but calls changes.
pub(super) async fn idle(api: &Api, index: usize, policy: DeploymentPolicy) -> Deployment {
    let request = CreateDeploymentRequest {
        name: format!("web-{index}"),
        labels: labels("tier", "web"),
        revision_history_limit: 5,
        protocol: DeploymentProtocol::Tcp.into(),
        initial_revision: None,
        ..creation(2, policy)
    };
    let created = api.create(request).await.expect("it can be created");
    // After the cycle that follows.
    api.until(&created.id, "rest", |it| {
        it.lifecycle() == created.lifecycle()
    })
    .await
}

pub(super) fn masked(paths: &[&str], request: UpdateDeploymentRequest) -> UpdateDeploymentRequest {
    UpdateDeploymentRequest {
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        ..request
    }
}

pub(super) fn labels(key: &str, value: &str) -> std::collections::BTreeMap<String, String> {
    [(key.to_owned(), value.to_owned())].into()
}

pub(super) fn old_policy() -> DeploymentPolicy {
    DeploymentPolicy {
        strategy: Some(Strategy::BlueGreen(BlueGreenSpec {
            auto_promote: true,
            promote_delay: seconds(1.0),
            min_ready: seconds(2.0),
            max_replacements: Some(3),
            ready_threshold: Some(IntOrPercent {
                value: Some(Value::Percent(90)),
            }),
            scale_down_delay: seconds(4.0),
            gate_timeout: Some(GateTimeout {
                duration: seconds(60.0),
                action: GateTimeoutAction::Rollback.into(),
            }),
        })),
        progress_deadline: seconds(100.0),
        drain_grace: seconds(7.0),
        first_deadline: seconds(50.0),
        replace_unhealthy_after: seconds(0.0),
    }
}

/// What the requests of the first table come to when taken as a whole.
pub(super) fn new_policy() -> DeploymentPolicy {
    DeploymentPolicy {
        strategy: Some(Strategy::BlueGreen(new_spec())),
        progress_deadline: seconds(600.0),
        drain_grace: seconds(1.0),
        first_deadline: None,
        replace_unhealthy_after: seconds(0.0),
    }
}

pub(super) fn new_spec() -> BlueGreenSpec {
    BlueGreenSpec {
        auto_promote: false,
        promote_delay: seconds(9.0),
        min_ready: seconds(0.0),
        max_replacements: None,
        ready_threshold: None,
        scale_down_delay: seconds(30.0),
        gate_timeout: None,
    }
}

pub(super) fn default_policy() -> DeploymentPolicy {
    DeploymentPolicy {
        strategy: Some(Strategy::BlueGreen(BlueGreenSpec {
            promote_delay: seconds(0.0),
            ..new_spec()
        })),
        progress_deadline: seconds(600.0),
        drain_grace: seconds(5.0),
        first_deadline: None,
        replace_unhealthy_after: seconds(0.0),
    }
}

pub(super) fn policy(deployment: &mut Deployment) -> &mut DeploymentPolicy {
    deployment.policy.as_mut().expect("a policy")
}

pub(super) fn spec(deployment: &mut Deployment) -> &mut BlueGreenSpec {
    match &mut policy(deployment).strategy {
        Some(Strategy::BlueGreen(spec)) => spec,
        other => panic!("not blue-green: {other:?}"),
    }
}

pub(super) fn rolling(max_surge: Value, max_unavailable: Value) -> Strategy {
    Strategy::RollingUpdate(RollingUpdateSpec {
        max_surge: int_or_percent(max_surge),
        max_unavailable: int_or_percent(max_unavailable),
    })
}

pub(super) fn int_or_percent(value: Value) -> Option<IntOrPercent> {
    Some(IntOrPercent { value: Some(value) })
}
