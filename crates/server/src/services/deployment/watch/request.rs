//! What a watch is asked for, and where it begins.

use tonic::Status;
use viridian_feeds::{EventWatch, WatchCursor, WatchTarget};
use viridian_proto::v1;
use viridian_store::{DeploymentName, Projects, Tables};
use viridian_strategy::DeploymentId;

use super::names::FollowedNames;
use crate::{
    convert::{
        Violations,
        reference::{DeploymentReference, check_name, parse_deployment},
    },
    error::{ResourceKind, bad_field, not_found, store},
    resume::{MAX_DEPLOYMENTS, ResumeToken, watch_query},
    scope::Scope,
    token::{TokenRefusal, TokenSeal},
};

/// Parses a request, looks up what it names, and begins its watch.
pub(super) async fn begin(
    scope: &Scope,
    message: &v1::WatchDeploymentsRequest,
) -> Result<(EventWatch, ResumeToken, FollowedNames), Status> {
    let mut violations = Violations::default();
    let (references, resumed) = parse_watch(message, scope.seal(), &mut violations);
    violations.finish()?;
    let names: Vec<_> = references
        .iter()
        .filter_map(|it| it.as_ref()?.name())
        .collect();
    // Before the names are looked up: a deployment that gets one after that is followed.
    let followed = FollowedNames::begin(scope, &names);
    let is_resumed = resumed.is_some();
    let (token, cursor) = match resumed {
        Some((token, cursor)) => {
            check_visible(scope, &token.target).await?;
            (token, Some(cursor))
        }
        None => {
            let token = ResumeToken {
                target: find_target(scope, message, references).await?,
                query: watch_query(&message.deployments, &message.project),
            };
            (token, None)
        }
    };
    let watch = scope.feeds().events().watch(token.target.clone(), cursor);
    let mut watch = watch.await.map_err(super::status)?;
    if is_resumed {
        // Those that have got a name while there was no watch. Their events come after the token.
        for id in holders(scope, &names).await? {
            watch.add(id, &[]).await.map_err(super::status)?;
        }
    }
    Ok((watch, token, followed))
}

/// The deployments that have some names now.
async fn holders(scope: &Scope, names: &[DeploymentName]) -> Result<Vec<DeploymentId>, Status> {
    let mut found = Vec::new();
    for DeploymentName { project, name } in names {
        scope.check_project(project)?;
        let id = scope
            .reader()
            .await?
            .find_deployment_id(project, name)
            .await;
        found.extend(id.map_err(|error| store(&error))?);
    }
    Ok(found)
}

/// The token of a watch on another database.
pub(super) fn unknown_position() -> Status {
    bad_field("resume_token", TokenRefusal::OtherLog.message())
}

/// What a watch follows, and where it goes on. A name that cannot be one is none.
pub(crate) fn parse_watch(
    message: &v1::WatchDeploymentsRequest,
    seal: &TokenSeal,
    violations: &mut Violations,
) -> (
    Vec<Option<DeploymentReference>>,
    Option<(ResumeToken, WatchCursor)>,
) {
    let references = parse_names(message, violations);
    (references, parse_token(message, seal, violations))
}

/// Parses the deployments that are named, or checks the project.
fn parse_names(
    message: &v1::WatchDeploymentsRequest,
    violations: &mut Violations,
) -> Vec<Option<DeploymentReference>> {
    let (several, project) = (&message.deployments, &message.project);
    violations.count("deployments", several.len(), MAX_DEPLOYMENTS);
    if !project.is_empty() {
        check_name("project", project, violations);
    }
    violations.check(
        several.is_empty() || project.is_empty(),
        "project",
        "must not be set beside `deployments`",
    );
    violations.check(
        !several.is_empty() || !project.is_empty() || !message.resume_token.is_empty(),
        "deployments",
        "either these, `project` or `resume_token` must be set",
    );
    let parse = |(index, text): (usize, &String)| {
        parse_deployment(&format!("deployments[{index}]"), text, violations)
    };
    let several = several.iter().take(MAX_DEPLOYMENTS);
    several.enumerate().map(parse).collect()
}

/// Parses the token, if there is one. The query may stand beside it, as it was.
fn parse_token(
    message: &v1::WatchDeploymentsRequest,
    seal: &TokenSeal,
    violations: &mut Violations,
) -> Option<(ResumeToken, WatchCursor)> {
    if message.resume_token.is_empty() {
        return None;
    }
    let resumed = ResumeToken::parse(&message.resume_token, seal);
    match &resumed {
        Err(error) => violations.add("resume_token", error.message()),
        Ok((token, _)) => {
            let alone = message.deployments.is_empty() && message.project.is_empty();
            violations.check(
                alone || token.query == watch_query(&message.deployments, &message.project),
                "resume_token",
                "belongs to a watch of something else",
            );
        }
    }
    resumed.ok()
}

/// Checks that the caller may see what a token is for: it may be another caller's
/// token, or made up.
async fn check_visible(scope: &Scope, target: &WatchTarget) -> Result<(), Status> {
    match target {
        WatchTarget::Project(project) => scope.check_project(project),
        WatchTarget::Deployments(ids) if scope.are_visible(ids).await? => Ok(()),
        WatchTarget::Deployments(_) => Err(not_found(ResourceKind::Deployment, "of this watch")),
    }
}

async fn find_target(
    scope: &Scope,
    message: &v1::WatchDeploymentsRequest,
    references: Vec<Option<DeploymentReference>>,
) -> Result<WatchTarget, Status> {
    if references.is_empty() {
        scope.check_project(&message.project)?;
        return Ok(WatchTarget::Project(message.project.clone()));
    }
    let mut named = Vec::new();
    for (reference, text) in references.into_iter().zip(&message.deployments) {
        named.push((scope.resolve_reference(reference, text).await?, text));
    }
    let mut ids: Vec<_> = named.iter().map(|(id, _)| *id).collect();
    ids.sort();
    ids.dedup();
    // A caller who may see all projects may name an id that does not exist: that was
    // not checked yet. The projects were, so that all are asked for here.
    let there = scope
        .reader()
        .await?
        .traffic_tables(Tables::Of(ids.clone()), Projects::All)
        .await;
    let there = there.map_err(|error| store(&error))?;
    let is_there = |id| there.iter().any(|table| table.deployment == id);
    match named.iter().find(|(id, _)| !is_there(*id)) {
        Some((_, text)) => Err(not_found(ResourceKind::Deployment, text)),
        None => Ok(WatchTarget::Deployments(ids)),
    }
}
