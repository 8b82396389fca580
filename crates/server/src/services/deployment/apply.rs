//! Apply: make a deployment what the request says.

use tonic::Status;
use viridian_proto::v1;
use viridian_store::{Applied, ApplyOptions};

use crate::{
    convert::{
        Violations,
        apply::parse_apply,
        deployment::deployment,
        history::field_change,
        revision::{EnvironValues, revision},
    },
    refusals::IntoStatus as _,
    scope::{Scope, mutation_fields},
};

/// `ApplyDeployment`.
pub(super) async fn apply(
    scope: &Scope,
    message: &v1::ApplyDeploymentRequest,
) -> Result<v1::ApplyDeploymentResponse, Status> {
    let mut violations = Violations::default();
    let manifest = parse_apply(message, &mut violations);
    let call = scope.call(
        "ApplyDeployment",
        message,
        mutation_fields!(message),
        &mut violations,
    );
    violations.finish()?;
    scope.check_project(&message.project)?;
    let subject = format!("{}/{}", message.project, message.name);
    let options = ApplyOptions {
        supersede: message.supersede,
        validate_only: message.validate_only,
        allow_create: message.allow_create.unwrap_or(true),
    };
    let database = scope.database();
    let applied = database.apply_deployment(&manifest, options, &call).await;
    let applied = applied.map_err(|error| error.into_status(&subject))?;
    Ok(reply(applied, options, scope.environ_values()))
}

fn reply(
    applied: Applied,
    options: ApplyOptions,
    values: EnvironValues,
) -> v1::ApplyDeploymentResponse {
    let Applied {
        deployment: after,
        changes,
        revision: found,
        created,
        activated,
        aborted,
    } = applied;
    let mut found = found.map(|it| revision(it, values));
    // What would be made is not there: its ids would lead to nothing.
    let is_unmade = options.validate_only && (created || activated);
    if let Some(found) = found.as_mut().filter(|_| is_unmade) {
        found.id.clear();
        found.create_time = None;
        if created {
            found.deployment_id.clear();
        }
    }
    let is_there = !(options.validate_only && created);
    v1::ApplyDeploymentResponse {
        deployment: is_there.then(|| deployment(after)),
        changes: changes.into_iter().map(field_change).collect(),
        revision: found,
        created,
        activated,
        aborted,
    }
}
