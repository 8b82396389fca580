//! What a watch is asked for, and where it begins.

use tonic::Status;
use viridian_proto::v1;
use viridian_store::{Projects, Tables};

use super::Phase;
use crate::{
    convert::{
        Violations,
        reference::{DeploymentReference, check_name, parse_deployment},
    },
    error::{Resource, not_found, store},
    resume::{Question, Resume, asked},
    scope::Scope,
};

/// Parses a request, and looks up what it names.
pub(super) async fn parse(
    scope: &Scope,
    message: &v1::WatchDeploymentsRequest,
) -> Result<(Resume, Phase), Status> {
    let mut violations = Violations::default();
    let references = parse_names(message, &mut violations);
    let resume = parse_token(message, &mut violations);
    violations.finish()?;
    let end = scope.database().log_end().await;
    let end = end.map_err(|error| store(&error))?;
    if let Some(resume) = resume {
        let mut violations = Violations::default();
        let known = resume.position <= end;
        violations.check(known, "resume_token", "is not of this database");
        violations.finish()?;
        check_question(scope, &resume.question).await?;
        let phase = match resume.snapshots_behind {
            Some(_) => Phase::Snapshots,
            None => Phase::Reading,
        };
        return Ok((resume, phase));
    }
    let question = match references.is_empty() {
        true => {
            scope.check_project(&message.project)?;
            Question::Project(message.project.clone())
        }
        false => resolve(scope, message, references).await?,
    };
    let resume = Resume {
        question,
        asked: asked(&message.deployments, &message.project),
        position: 0,
        snapshots_behind: None,
    };
    Ok((resume, Phase::Settling(end)))
}

/// The deployments that are named; or the project is checked.
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

/// The token, if there is one. The question may stand beside it, as it was.
fn parse_token(
    message: &v1::WatchDeploymentsRequest,
    violations: &mut Violations,
) -> Option<Resume> {
    if message.resume_token.is_empty() {
        return None;
    }
    let resume = Resume::parse(&message.resume_token);
    match &resume {
        None => violations.add("resume_token", "is not one that a server gave"),
        Some(resume) => {
            let alone = message.deployments.is_empty() && message.project.is_empty();
            violations.check(
                alone || resume.asked == asked(&message.deployments, &message.project),
                "resume_token",
                "is of a watch of something else",
            );
        }
    }
    resume
}

/// A token says what it is of, and whoever has it may not see that: it may be
/// another caller's, or anybody's work.
async fn check_question(scope: &Scope, question: &Question) -> Result<(), Status> {
    match question {
        Question::Project(project) => scope.check_project(project),
        Question::Deployments(ids) if scope.are_visible(ids).await? => Ok(()),
        Question::Deployments(_) => Err(not_found(Resource::Deployment, "of this watch")),
    }
}

async fn resolve(
    scope: &Scope,
    message: &v1::WatchDeploymentsRequest,
    references: Vec<Option<DeploymentReference>>,
) -> Result<Question, Status> {
    let mut named = Vec::new();
    for (reference, text) in references.into_iter().zip(&message.deployments) {
        named.push((scope.resolve_reference(reference, text).await?, text));
    }
    let mut ids: Vec<_> = named.iter().map(|(id, _)| *id).collect();
    ids.sort();
    ids.dedup();
    let there = scope
        .database()
        .traffic_tables(Tables::Of(ids.clone()), Projects::All);
    let there = there.await.map_err(|error| store(&error))?;
    let is_there = |id| there.iter().any(|table| table.deployment == id);
    match named.iter().find(|(id, _)| !is_there(*id)) {
        Some((_, text)) => Err(not_found(Resource::Deployment, text)),
        None => Ok(Question::Deployments(ids)),
    }
}

/// A token has the id of each.
const MAX_DEPLOYMENTS: usize = 100;
