//! Create, get, update and delete deployments.

use tonic::Status;
use viridian_proto::v1;
use viridian_strategy::Lifecycle;

use crate::{
    convert::{
        Violations,
        deployment::{deployment, parse_new},
        update::parse_update,
    },
    error::{ResourceKind, not_found},
    refusals::IntoStatus as _,
    scope::{Scope, mutation_fields},
};

/// `CreateDeployment`.
pub(super) async fn create(
    scope: &Scope,
    message: &v1::CreateDeploymentRequest,
) -> Result<v1::CreateDeploymentResponse, Status> {
    let mut violations = Violations::default();
    let new = parse_new(message, &mut violations);
    let call = scope.call(
        "CreateDeployment",
        message,
        mutation_fields!(message),
        &mut violations,
    );
    violations.finish()?;
    scope.check_project(&message.project)?;
    let subject = format!("{}/{}", message.project, message.name);
    let created = scope.database().create_deployment(new, &call).await;
    let created = created.map_err(|error| error.into_status(&subject))?;
    let deployment = Some(deployment(created.deployment));
    Ok(v1::CreateDeploymentResponse { deployment })
}

/// `GetDeployment`.
pub(super) async fn get(
    scope: &Scope,
    message: &v1::GetDeploymentRequest,
) -> Result<v1::GetDeploymentResponse, Status> {
    let subject = &message.deployment;
    let id = scope.resolve(subject, Violations::default()).await?;
    let found = scope.find(id, subject).await?;
    let is_gone = matches!(
        found.state.lifecycle(),
        Lifecycle::Destroying | Lifecycle::Destroyed
    );
    // Deleted after its name was looked up: the name is free by now, so who asks by it must not
    // see what is left. By its UUID it can still be read.
    if is_gone && subject.contains('/') {
        return Err(not_found(ResourceKind::Deployment, subject));
    }
    let deployment = Some(deployment(found));
    Ok(v1::GetDeploymentResponse { deployment })
}

/// `UpdateDeployment`.
pub(super) async fn update(
    scope: &Scope,
    message: &v1::UpdateDeploymentRequest,
) -> Result<v1::UpdateDeploymentResponse, Status> {
    let subject = &message.deployment;
    let mut violations = Violations::default();
    let update = parse_update(message, &mut violations);
    let call = scope.call(
        "UpdateDeployment",
        message,
        mutation_fields!(message),
        &mut violations,
    );
    let id = scope.resolve_for(&call, subject, violations).await?;
    let updated = scope
        .database()
        .update_deployment(id, move |present| update.apply(present), &call)
        .await
        .map_err(|error| error.into_status(subject))?;
    let deployment = Some(deployment(updated.deployment));
    Ok(v1::UpdateDeploymentResponse { deployment })
}

/// `DeleteDeployment`.
pub(super) async fn delete(
    scope: &Scope,
    message: &v1::DeleteDeploymentRequest,
) -> Result<v1::DeleteDeploymentResponse, Status> {
    let subject = &message.deployment;
    let mut violations = Violations::default();
    let call = scope.call(
        "DeleteDeployment",
        message,
        mutation_fields!(message),
        &mut violations,
    );
    let database = scope.database();
    let deleted = if message.force {
        let id = scope.resolve_ending(&call, subject, violations).await?;
        database.destroy_deployment(id, &call).await
    } else {
        let id = scope.resolve_for(&call, subject, violations).await?;
        database.delete_deployment(id, &call).await
    };
    let deleted = deleted.map_err(|error| error.into_status(subject))?;
    let deployment = Some(deployment(deleted.deployment));
    Ok(v1::DeleteDeploymentResponse { deployment })
}
