//! Restart a deployment, and drain one of its routes.

use tonic::Status;
use viridian_proto::v1;
use viridian_strategy::RouteId;

use crate::{
    convert::{Violations, deployment::deployment},
    error::{ResourceKind, not_found},
    refusals::IntoStatus as _,
    scope::{Scope, mutation_fields},
};

/// `RestartDeployment`.
pub(super) async fn restart(
    scope: &Scope,
    message: &v1::RestartDeploymentRequest,
) -> Result<v1::RestartDeploymentResponse, Status> {
    let subject = &message.deployment;
    let mut violations = Violations::default();
    let call = scope.call(
        "RestartDeployment",
        message,
        mutation_fields!(message),
        &mut violations,
    );
    let id = scope.resolve_for(&call, subject, violations).await?;
    let restarted = scope.database().restart_deployment(id, &call).await;
    let restarted = restarted.map_err(|error| error.into_status(subject))?;
    let deployment = Some(deployment(restarted.deployment));
    Ok(v1::RestartDeploymentResponse { deployment })
}

/// `DrainRoute`.
pub(super) async fn drain_route(
    scope: &Scope,
    message: &v1::DrainRouteRequest,
) -> Result<v1::DrainRouteResponse, Status> {
    let subject = &message.route_id;
    let mut violations = Violations::default();
    let route = RouteId(violations.uuid("route_id", subject));
    let call = scope.call(
        "DrainRoute",
        message,
        mutation_fields!(message),
        &mut violations,
    );
    violations.finish()?;
    let id = scope.find_deployment_of(route).await?;
    let id = id.ok_or_else(|| not_found(ResourceKind::Route, subject))?;
    let drained = scope.database().drain_route(id, route, &call).await;
    let drained = drained.map_err(|error| error.into_status(subject))?;
    let deployment = Some(deployment(drained.deployment));
    Ok(v1::DrainRouteResponse { deployment })
}
