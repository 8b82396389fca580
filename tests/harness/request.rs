use std::{collections::BTreeSet, time::Duration};

use uuid::Uuid;
use viridian_proto::v1::{
    AbortDeploymentRequest, BlueGreenSpec, CreateDeploymentRequest, DeleteDeploymentRequest,
    DeploymentMetadata, DeploymentPolicy, PauseDeploymentRequest, PromoteDeploymentRequest,
    ResumeDeploymentRequest, RevisionSpec, RollbackDeploymentRequest, Route, RouteTrafficStatus,
    UpdateDeploymentRequest, deployment_policy::Strategy,
};

/// The deployment that most tests are about.
pub(crate) const REFERENCE: &str = "shop/web";

/// The group of machines that the fleet is.
pub(crate) const GROUP: &str = "test";

/// Asks for [`REFERENCE`] with a first revision.
pub(crate) fn creation(replicas: i32, policy: DeploymentPolicy) -> CreateDeploymentRequest {
    CreateDeploymentRequest {
        project: "shop".to_owned(),
        name: "web".to_owned(),
        target_replicas: replicas,
        policy: Some(policy),
        metadata: Some(DeploymentMetadata {
            resource_group: GROUP.to_owned(),
            ..DeploymentMetadata::default()
        }),
        initial_revision: Some(spec()),
        ..CreateDeploymentRequest::default()
    }
}

/// Asks for a deployment of a name that no other has.
pub(crate) fn named() -> CreateDeploymentRequest {
    CreateDeploymentRequest {
        name: format!("web-{}", Uuid::now_v7().simple()),
        ..creation(1, manual())
    }
}

pub(super) fn spec() -> RevisionSpec {
    RevisionSpec {
        image: "registry.test/web:1".to_owned(),
        ..RevisionSpec::default()
    }
}

/// Asks for the promotion of a deployment, and nothing else.
pub(crate) fn promotion(reference: &str) -> PromoteDeploymentRequest {
    PromoteDeploymentRequest {
        deployment: reference.to_owned(),
        ..PromoteDeploymentRequest::default()
    }
}

/// Asks for another deployment than there is; what is to change is added.
pub(crate) fn update(reference: &str) -> UpdateDeploymentRequest {
    UpdateDeploymentRequest {
        deployment: reference.to_owned(),
        ..UpdateDeploymentRequest::default()
    }
}

pub(crate) fn delete(reference: &str) -> DeleteDeploymentRequest {
    DeleteDeploymentRequest {
        deployment: reference.to_owned(),
        ..DeleteDeploymentRequest::default()
    }
}

pub(crate) fn abort(reference: &str) -> AbortDeploymentRequest {
    AbortDeploymentRequest {
        deployment: reference.to_owned(),
        ..AbortDeploymentRequest::default()
    }
}

/// Asks for the revision before.
pub(crate) fn roll_back(reference: &str) -> RollbackDeploymentRequest {
    RollbackDeploymentRequest {
        deployment: reference.to_owned(),
        ..RollbackDeploymentRequest::default()
    }
}

pub(crate) fn pause(reference: &str) -> PauseDeploymentRequest {
    PauseDeploymentRequest {
        deployment: reference.to_owned(),
        ..PauseDeploymentRequest::default()
    }
}

pub(crate) fn resume(reference: &str) -> ResumeDeploymentRequest {
    ResumeDeploymentRequest {
        deployment: reference.to_owned(),
        ..ResumeDeploymentRequest::default()
    }
}

/// Blue-green with a gate that waits for someone; what is drained ends at once.
pub(crate) fn manual() -> DeploymentPolicy {
    blue_green(BlueGreenSpec::default())
}

/// Blue-green; what is drained ends at once, and nothing is kept or replaced, unless the spec
/// says so.
pub(crate) fn blue_green(spec: BlueGreenSpec) -> DeploymentPolicy {
    let spec = BlueGreenSpec {
        max_replacements: spec.max_replacements.or(Some(0)),
        scale_down_delay: spec.scale_down_delay.or(seconds(0.0)),
        ..spec
    };
    DeploymentPolicy {
        strategy: Some(Strategy::BlueGreen(spec)),
        drain_grace: seconds(0.0),
        ..DeploymentPolicy::default()
    }
}

pub(crate) fn seconds(seconds: f64) -> Option<prost_types::Duration> {
    let duration = Duration::from_secs_f64(seconds);
    Some(duration.try_into().expect("a duration of the wire"))
}

/// The routes of one revision.
pub(crate) fn by_revision(routes: &[Route], revision_id: &str) -> Vec<Route> {
    let of_it = |route: &&Route| route.revision_id == revision_id;
    routes.iter().filter(of_it).cloned().collect()
}

/// The routes that have traffic.
pub(crate) fn active(routes: &[Route]) -> Vec<Route> {
    let is_active = |route: &&Route| route.traffic_status() == RouteTrafficStatus::Active;
    routes.iter().filter(is_active).cloned().collect()
}

pub(crate) fn ids(routes: &[Route]) -> BTreeSet<String> {
    routes.iter().map(|route| route.id.clone()).collect()
}
