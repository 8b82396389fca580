//! Names from the server, for the shells' completions.
//!
//! A shell asks while someone types: what takes too long, or fails for any reason, is no
//! candidate and no message.

use std::{
    collections::BTreeSet,
    env,
    ffi::{OsStr, OsString},
    sync::OnceLock,
    time::Duration,
};

use clap::{ArgMatches, Command, FromArgMatches as _};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use viridian_client::{AuthChannel, unary};
use viridian_proto::v1::{
    ListDeploymentsRequest, ListRevisionsRequest, ListRoutesRequest, Revision, Route, RouteStatus,
    deployment_service_client::DeploymentServiceClient,
};

use crate::{
    enum_names::{self, qualified_name},
    runtime,
    server_args::ServerArgs,
};

/// The command line, by which the words before the one to complete are read.
static PROGRAM: OnceLock<fn() -> Command> = OnceLock::new();

/// Sets the command line. To be called before a completion.
pub(crate) fn read_lines_by(program: fn() -> Command) {
    // Set once, at the start of the program.
    let _ = PROGRAM.set(program);
}

/// Deployments, as `PROJECT/NAME`.
pub(crate) fn deployments() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, deployment_names))
}

/// Projects that have deployments.
pub(crate) fn projects() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, project_names))
}

/// Revisions of the deployment on the command line, by number.
pub(crate) fn revisions() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, revision_numbers))
}

/// Routes of the deployment on the command line that have not ended.
pub(crate) fn routes() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, route_ids))
}

/// What a completion is about.
struct NameQuery {
    client: DeploymentServiceClient<AuthChannel>,
    /// What was typed of the name.
    typed: String,
    /// The deployment on the command line; empty if there is none yet.
    deployment: String,
}

fn candidates(
    current: &OsStr,
    names: impl AsyncFnOnce(NameQuery) -> Option<Vec<CompletionCandidate>>,
) -> Vec<CompletionCandidate> {
    let Some(typed) = current.to_str() else {
        return Vec::new();
    };
    let asking = async {
        let query = query(typed).await?;
        names(query).await
    };
    let Ok(runtime) = runtime::single_threaded() else {
        return Vec::new();
    };
    let named = runtime.block_on(async { tokio::time::timeout(MAX_WAIT, asking).await });
    let mut all = named.ok().flatten().unwrap_or_default();
    all.retain(|it| it.get_value().to_string_lossy().starts_with(typed));
    all
}

/// Reads the server and the deployment from what was typed so far.
async fn query(typed: &str) -> Option<NameQuery> {
    // `viridian -- viridian deployment get sho`: the words of the user follow the dashes.
    let mut words: Vec<OsString> = env::args_os().skip_while(|it| it != "--").skip(1).collect();
    if words.last().is_some_and(|it| it == typed) {
        words.pop();
    }
    // The line is not complete: what is missing in it is no error here.
    let line = PROGRAM.get()?().ignore_errors(true);
    let mut matches = line.try_get_matches_from(words).ok()?;
    while let Some((_, verb)) = matches.remove_subcommand() {
        matches = verb;
    }
    let server = ServerArgs::from_arg_matches(&matches).ok()?;
    let channel = server.target().ok()?.connect().await.ok()?;
    Some(NameQuery {
        client: DeploymentServiceClient::new(channel),
        typed: typed.to_owned(),
        deployment: deployment_of(&matches),
    })
}

fn deployment_of(matches: &ArgMatches) -> String {
    // Not every command has the argument.
    let named = matches.try_get_one::<String>("deployment").ok().flatten();
    named.cloned().unwrap_or_default()
}

async fn deployment_names(mut query: NameQuery) -> Option<Vec<CompletionCandidate>> {
    let request = ListDeploymentsRequest {
        // The server has the fewest to send once the project is typed.
        project: match query.typed.split_once('/') {
            Some((project, _)) => project.to_owned(),
            None => String::new(),
        },
        page_size: MAX_NAMES,
        ..ListDeploymentsRequest::default()
    };
    let reply = unary(query.client.list_deployments(request)).await.ok()?;
    let candidate = |it| {
        let state = enum_names::short_state(&it);
        CompletionCandidate::new(qualified_name(&it)).help(Some(state.into()))
    };
    Some(reply.deployments.into_iter().map(candidate).collect())
}

async fn project_names(mut query: NameQuery) -> Option<Vec<CompletionCandidate>> {
    let request = ListDeploymentsRequest {
        page_size: MAX_NAMES,
        ..ListDeploymentsRequest::default()
    };
    let reply = unary(query.client.list_deployments(request)).await.ok()?;
    let projects = reply.deployments.into_iter().map(|it| it.project);
    let projects: BTreeSet<_> = projects.collect();
    Some(projects.into_iter().map(CompletionCandidate::new).collect())
}

async fn revision_numbers(mut query: NameQuery) -> Option<Vec<CompletionCandidate>> {
    let request = ListRevisionsRequest {
        deployment: query.deployment,
        page_size: MAX_NAMES,
        ..ListRevisionsRequest::default()
    };
    let reply = unary(query.client.list_revisions(request)).await.ok()?;
    let candidate = |it: Revision| {
        let image = it.spec.unwrap_or_default().image;
        CompletionCandidate::new(it.number.to_string()).help(Some(image.into()))
    };
    Some(reply.revisions.into_iter().map(candidate).collect())
}

async fn route_ids(mut query: NameQuery) -> Option<Vec<CompletionCandidate>> {
    let request = ListRoutesRequest {
        deployment: query.deployment,
        page_size: MAX_NAMES,
        ..ListRoutesRequest::default()
    };
    let reply = unary(query.client.list_routes(request)).await.ok()?;
    let has_not_ended = |it: &Route| {
        matches!(
            it.status(),
            RouteStatus::Provisioning | RouteStatus::Running
        )
    };
    let routes = reply.routes.into_iter().filter(has_not_ended);
    let candidate = |it: Route| {
        let health = enum_names::health(it.health());
        CompletionCandidate::new(it.id).help(Some(health.into()))
    };
    Some(routes.map(candidate).collect())
}

/// How long a completion may take in all. Longer feels like a broken shell.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// One page of names: more than anyone reads.
const MAX_NAMES: i32 = 500;
