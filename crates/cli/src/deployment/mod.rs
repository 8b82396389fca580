//! The verbs of an operator: `viridian deployment …`. One verb a file; what more
//! than one of them does stands beside them.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::{output::OutputFormat, runtime, server::ServerArgs};

mod advice;
mod change;
mod error;
mod policy;
mod question;
pub(crate) mod read;
pub(crate) mod session;
mod settings;
pub(crate) mod show;
mod spec;
mod wait;

mod abort;
mod activate;
mod apply;
mod create;
mod delete;
mod get;
mod history;
mod list;
mod pause;
mod promote;
mod resume;
mod revisions;
mod rollback;
mod routes;
mod update;
mod watch;

pub(crate) use self::{error::DeploymentError, session::Session};

/// The flags that every verb has.
#[derive(Debug, Args)]
pub(crate) struct DeploymentArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// How to show the result; json and yaml are the message as the contract has it.
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "table"
    )]
    output: OutputFormat,
    #[command(subcommand)]
    verb: DeploymentVerb,
}

#[derive(Debug, Subcommand)]
enum DeploymentVerb {
    /// Create a deployment; with an image or a command, it starts at once.
    Create(Box<create::CreateArgs>),
    /// Make a deployment what a YAML file says: create it, change it, deploy a new
    /// revision.
    Apply(apply::ApplyArgs),
    /// Change a deployment: its replicas, its policy, its labels.
    Update(Box<update::UpdateArgs>),
    /// Show one deployment, and what it waits for.
    Get(get::GetArgs),
    /// List deployments, oldest first.
    List(list::ListArgs),
    /// Follow a deployment: live on a terminal, else a change a line.
    Watch(watch::WatchArgs),
    /// Begin to deploy a revision: one that there is, or a new one.
    Activate(activate::ActivateArgs),
    /// Switch all traffic to the revision that is being deployed.
    Promote(promote::PromoteArgs),
    /// Give up the revision that is being deployed; the current one stays.
    Abort(abort::AbortArgs),
    /// Go back to an earlier revision, at once where its routes are retained.
    Rollback(rollback::RollbackArgs),
    /// Stop every move and every deadline.
    Pause(pause::PauseArgs),
    /// End a pause.
    Resume(resume::ResumeArgs),
    /// Destroy a deployment: its routes are drained, its name is free at once.
    Delete(delete::DeleteArgs),
    /// List what happened to a deployment, newest first.
    History(history::HistoryArgs),
    /// List the routes of a deployment, oldest first.
    Routes(routes::RoutesArgs),
    /// List the revisions of a deployment, newest first.
    Revisions(revisions::RevisionsArgs),
}

/// Does what the verb says.
pub(crate) fn run(args: DeploymentArgs) -> Result<ExitCode, DeploymentError> {
    let session = Session::new(args.server, args.output);
    let about = args.verb.deployment();
    runtime::single_threaded()
        .map_err(DeploymentError::Runtime)?
        .block_on(Box::pin(dispatch(args.verb, &session)))
        .map_err(|error| error.about(about))?;
    Ok(ExitCode::SUCCESS)
}

async fn dispatch(verb: DeploymentVerb, session: &Session) -> Result<(), DeploymentError> {
    match verb {
        DeploymentVerb::Create(args) => create::run(*args, session).await,
        DeploymentVerb::Apply(args) => apply::run(args, session).await,
        DeploymentVerb::Update(args) => update::run(*args, session).await,
        DeploymentVerb::Get(args) => get::run(args, session).await,
        DeploymentVerb::List(args) => list::run(args, session).await,
        DeploymentVerb::Watch(args) => watch::run(args, session).await,
        DeploymentVerb::Activate(args) => activate::run(args, session).await,
        DeploymentVerb::Promote(args) => promote::run(args, session).await,
        DeploymentVerb::Abort(args) => abort::run(args, session).await,
        DeploymentVerb::Rollback(args) => rollback::run(args, session).await,
        DeploymentVerb::Pause(args) => pause::run(args, session).await,
        DeploymentVerb::Resume(args) => resume::run(args, session).await,
        DeploymentVerb::Delete(args) => delete::run(args, session).await,
        DeploymentVerb::History(args) => history::run(args, session).await,
        DeploymentVerb::Routes(args) => routes::run(args, session).await,
        DeploymentVerb::Revisions(args) => revisions::run(args, session).await,
    }
}

impl DeploymentVerb {
    /// The deployment that it is about, if it is one.
    fn deployment(&self) -> Option<String> {
        Some(match self {
            Self::Create(args) => args.name.to_string(),
            Self::Get(args) => args.deployment.clone(),
            Self::Apply(_) | Self::List(_) => return None,
            Self::Update(args) => args.deployment.clone(),
            Self::Watch(args) => args.deployment.clone(),
            Self::Activate(args) => args.deployment.clone(),
            Self::Promote(args) => args.deployment.clone(),
            Self::Abort(args) => args.deployment.clone(),
            Self::Rollback(args) => args.deployment.clone(),
            Self::Pause(args) => args.deployment.clone(),
            Self::Resume(args) => args.deployment.clone(),
            Self::Delete(args) => args.deployment.clone(),
            Self::History(args) => args.deployment.clone(),
            Self::Routes(args) => args.deployment.clone(),
            Self::Revisions(args) => args.deployment.clone(),
        })
    }
}
