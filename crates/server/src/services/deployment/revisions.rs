//! Create, get and activate revisions.

use tonic::Status;
use viridian_proto::v1;
use viridian_store::{Activation, ApplyOptions, RequestContext};
use viridian_strategy::DeploymentId;

use crate::{
    convert::{
        Violations,
        apply::RevisionManifest,
        deployment::deployment,
        reference::parse_revision,
        revision::{parse_spec, revision},
    },
    error::{ResourceKind, not_found},
    refusals::IntoStatus as _,
    scope::{Scope, mutation_fields},
};

/// `CreateRevision`.
pub(super) async fn create(
    scope: &Scope,
    message: &v1::CreateRevisionRequest,
) -> Result<v1::CreateRevisionResponse, Status> {
    let subject = &message.deployment;
    let mut violations = Violations::default();
    let spec = message.spec.clone().unwrap_or_default();
    let spec = parse_spec("spec", &spec, &mut violations);
    let call = scope.call(
        "CreateRevision",
        message,
        mutation_fields!(message),
        &mut violations,
    );
    for (name, is_set) in [
        ("supersede", message.supersede),
        ("only_if_changed", message.only_if_changed),
    ] {
        violations.check(message.activate || !is_set, name, "needs activate");
    }
    let id = scope.resolve_for(&call, subject, violations).await?;
    let database = scope.database();
    let supersede = message.supersede;
    if message.only_if_changed {
        return deploy(scope, id, RevisionManifest(spec), message, &call).await;
    }
    let activation = match message.activate {
        true => Activation::Activate { supersede },
        false => Activation::None,
    };
    let created = database.create_revision(id, spec, activation, &call).await;
    let created = created.map_err(|error| error.into_status(subject))?;
    Ok(v1::CreateRevisionResponse {
        deployment: Some(deployment(created.deployment)),
        revision: Some(revision(created.revision, scope.environ_values())),
        created: true,
    })
}

/// Deploys a spec, unless it serves or is on its way.
async fn deploy(
    scope: &Scope,
    id: DeploymentId,
    manifest: RevisionManifest,
    message: &v1::CreateRevisionRequest,
    call: &RequestContext,
) -> Result<v1::CreateRevisionResponse, Status> {
    let options = ApplyOptions {
        supersede: message.supersede,
        ..ApplyOptions::default()
    };
    let deployed = scope.database().deploy_spec(id, &manifest, options, call);
    let deployed = deployed.await;
    let deployed = deployed.map_err(|error| error.into_status(&message.deployment))?;
    Ok(v1::CreateRevisionResponse {
        deployment: Some(deployment(deployed.deployment)),
        revision: deployed
            .revision
            .map(|it| revision(it, scope.environ_values())),
        created: deployed.activated,
    })
}

/// `GetRevision`.
pub(super) async fn get(
    scope: &Scope,
    message: &v1::GetRevisionRequest,
) -> Result<v1::GetRevisionResponse, Status> {
    let subject = &message.deployment;
    let mut violations = Violations::default();
    let reference = parse_revision("revision", &message.revision, &mut violations);
    let id = scope.resolve(subject, violations).await?;
    let found = scope.find_revision(id, subject, reference).await?;
    let found = found.ok_or_else(|| not_found(ResourceKind::Revision, &message.revision))?;
    let revision = Some(revision(found, scope.environ_values()));
    Ok(v1::GetRevisionResponse { revision })
}

/// `ActivateRevision`.
pub(super) async fn activate(
    scope: &Scope,
    message: &v1::ActivateRevisionRequest,
) -> Result<v1::ActivateRevisionResponse, Status> {
    let subject = &message.deployment;
    let mut violations = Violations::default();
    let reference = parse_revision("revision", &message.revision, &mut violations);
    let call = scope.call(
        "ActivateRevision",
        message,
        mutation_fields!(message),
        &mut violations,
    );
    let id = scope.resolve_for(&call, subject, violations).await?;
    let revision = scope
        .find_revision_for(&call, id, subject, reference)
        .await?;
    let revision = revision.ok_or_else(|| not_found(ResourceKind::Revision, &message.revision))?;
    let activated = scope
        .database()
        .activate_revision(id, revision.id, message.supersede, &call)
        .await
        .map_err(|error| error.into_status(subject))?;
    let deployment = Some(deployment(activated.deployment));
    Ok(v1::ActivateRevisionResponse { deployment })
}
