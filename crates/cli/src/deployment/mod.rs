//! The operator's commands: `viridian deployment …`. A file for each command; what
//! several of them share is beside them.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::{output::OutputFormat, runtime, server_args::ServerArgs};

mod advice;
mod calls;
mod change;
mod environ_source;
mod error;
mod policy;
mod question;
pub(crate) mod read;
pub(crate) mod session;
mod sets;
mod settings;
pub(crate) mod show;
mod spec;
mod spec_change;
mod wait;

mod abort;
mod activate;
mod advance;
mod apply;
mod create;
mod delete;
mod drain;
mod export;
mod get;
mod give_up;
mod history;
mod list;
mod pause;
mod promote;
mod protocol;
mod restart;
mod resume;
mod revisions;
mod rollback;
mod routes;
mod scale;
mod status;
mod traffic;
mod update;
mod watch;

#[cfg(any(test, fuzzing))]
pub use self::settings::fuzz_manifest;
pub(crate) use self::{error::DeploymentError, session::CliSession};

/// The names and amounts that flags take, for the fuzz target of flags.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_names(text: &str) {
    if let Ok(name) = text.parse::<create::QualifiedName>() {
        assert_eq!(name.to_string(), text);
    }
    if let Ok(amount) = text.parse::<policy::ReplicaAmount>() {
        let written = serde_json::Value::from(amount);
        let again = written.as_str().map_or(written.to_string(), str::to_owned);
        assert_eq!(again.parse(), Ok(amount), "{text}");
    }
    if let Ok(step) = text.parse::<policy::StepArg>() {
        assert_eq!(step.to_string().parse(), Ok(step), "{text}");
    }
}

/// The flags that all commands share.
#[derive(Debug, Args)]
pub(crate) struct DeploymentArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Output format; json and yaml are the reply as the API defines it.
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
    /// Create a deployment. With an image or a command its first revision starts at
    /// once.
    Create(Box<create::CreateArgs>),
    /// Make a deployment match a YAML file: create or change it, deploy a new revision.
    ///
    /// It is one call: everything in the file takes effect, or nothing. Running it again
    /// changes nothing. A new revision is not promoted by it, unless the policy says
    /// auto_promote.
    Apply(apply::ApplyArgs),
    /// Print a deployment as a file for `apply`, with the revision that is being deployed
    /// or serves.
    Export(export::ExportArgs),
    /// Change the replicas, the policy or the labels of a deployment.
    Update(Box<update::UpdateArgs>),
    /// Show a deployment: its state, what it waits for, and the command to run next.
    Get(get::GetArgs),
    /// List deployments, oldest first.
    List(list::ListArgs),
    /// Show the status of a deployment on one line, with an exit code for scripts.
    ///
    /// 0: it serves as asked. 1: it does not, or not yet, or its last rollout went back.
    /// 3: it goes no further until someone acts, as at a manual gate or step.
    Status(status::StatusArgs),
    /// Follow a deployment: a live view on a terminal, else a line for each change.
    ///
    /// The live view has keys to promote, advance, abort, pause and roll back. Each asks
    /// first.
    Watch(watch::WatchArgs),
    /// Deploy a revision: a new one, or an existing one.
    ///
    /// A new one has what the flags name, and else what the serving one has. The new
    /// routes start without traffic (blue-green), get a share of it that grows by steps
    /// (canary), or replace the old ones step by step (rolling).
    Activate(activate::ActivateArgs),
    /// Change the number of replicas.
    Scale(scale::ScaleArgs),
    /// Switch all traffic to the revision that is being deployed.
    ///
    /// Fails if not all its routes are ready. Several deployments are promoted in one step,
    /// or none of them. Asks for confirmation on a terminal.
    Promote(promote::PromoteArgs),
    /// End the present step of a canary: the next share is taken once its routes are
    /// ready.
    ///
    /// After the last step come the remaining routes, and the promotion. Fails if no step
    /// is held. Asks for confirmation on a terminal.
    Advance(advance::AdvanceArgs),
    /// Abort the rollout: the current revision keeps serving.
    Abort(abort::AbortArgs),
    /// Return to an earlier revision: instantly while its routes are retained, else by
    /// deploying it again. During a rollout, give the rollout up.
    ///
    /// Several deployments go back in one step, at once, or none of them. Asks for confirmation on a terminal.
    Rollback(rollback::RollbackArgs),
    /// Replace the routes of the serving revision with new ones of the same revision.
    ///
    /// A few at a time, a new one first, or as the policy's rolling update allows. Use it
    /// when replicas have to start again, for example to read new secrets.
    Restart(restart::RestartArgs),
    /// Take one route out: a new one takes its place first.
    Drain(drain::DrainArgs),
    /// Pause the rollout and its deadlines.
    Pause(pause::PauseArgs),
    /// End a pause.
    Resume(resume::ResumeArgs),
    /// Delete a deployment: its routes are drained, its name is free at once.
    Delete(delete::DeleteArgs),
    /// List the history of a deployment, newest first.
    History(history::HistoryArgs),
    /// List the routes of a deployment, oldest first.
    Routes(routes::RoutesArgs),
    /// List the revisions of a deployment, newest first.
    Revisions(revisions::RevisionsArgs),
    /// Show the traffic table of a deployment: the routes that get requests.
    ///
    /// The table is for callers with the role proxy.
    Traffic(traffic::TrafficArgs),
}

/// Runs the command.
pub(crate) fn run(args: DeploymentArgs) -> Result<ExitCode, DeploymentError> {
    let session = CliSession::new(args.server, args.output);
    let about = args.verb.deployment();
    let run = async {
        match dispatch(args.verb, &session).await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => Err(session.diagnosed(error).await.about(about)),
        }
    };
    runtime::single_threaded()
        .map_err(DeploymentError::Runtime)?
        // Boxed: one future for all commands is large for the stack.
        .block_on(Box::pin(run))
}

async fn dispatch(verb: DeploymentVerb, session: &CliSession) -> Result<(), DeploymentError> {
    match verb {
        DeploymentVerb::Create(args) => create::run(*args, session).await,
        DeploymentVerb::Apply(args) => apply::run(args, session).await,
        DeploymentVerb::Export(args) => export::run(args, session).await,
        DeploymentVerb::Update(args) => update::run(*args, session).await,
        DeploymentVerb::Get(args) => get::run(args, session).await,
        DeploymentVerb::List(args) => list::run(args, session).await,
        DeploymentVerb::Status(args) => status::run(args, session).await,
        DeploymentVerb::Scale(args) => scale::run(args, session).await,
        DeploymentVerb::Traffic(args) => traffic::run(args, session).await,
        DeploymentVerb::Watch(args) => watch::run(args, session).await,
        DeploymentVerb::Activate(args) => activate::run(args, session).await,
        DeploymentVerb::Promote(args) => promote::run(args, session).await,
        DeploymentVerb::Advance(args) => advance::run(args, session).await,
        DeploymentVerb::Abort(args) => abort::run(args, session).await,
        DeploymentVerb::Rollback(args) => rollback::run(args, session).await,
        DeploymentVerb::Restart(args) => restart::run(args, session).await,
        DeploymentVerb::Drain(args) => drain::run(args, session).await,
        DeploymentVerb::Pause(args) => pause::run(args, session).await,
        DeploymentVerb::Resume(args) => resume::run(args, session).await,
        DeploymentVerb::Delete(args) => delete::run(args, session).await,
        DeploymentVerb::History(args) => history::run(args, session).await,
        DeploymentVerb::Routes(args) => routes::run(args, session).await,
        DeploymentVerb::Revisions(args) => revisions::run(args, session).await,
    }
}

impl DeploymentVerb {
    /// The deployment that the command names. None if it names none, or several.
    fn deployment(&self) -> Option<String> {
        Some(match self {
            Self::Create(args) => args.name.to_string(),
            Self::Get(args) => args.deployment.clone(),
            // `apply` adds the name to its errors itself, since it has to read the file first.
            Self::Apply(_) | Self::List(_) => return None,
            Self::Export(args) => args.deployment.clone(),
            Self::Update(args) => args.deployment.clone(),
            Self::Status(args) => args.deployment.clone(),
            Self::Scale(args) => args.deployment.clone(),
            Self::Traffic(args) => args.deployment.clone(),
            Self::Watch(args) => args.deployment.clone(),
            Self::Activate(args) => args.deployment.clone(),
            // The refusal of a set names its members itself.
            Self::Promote(args) if !args.others.is_empty() => return None,
            Self::Rollback(args) if !args.others.is_empty() => return None,
            Self::Promote(args) => args.deployment.clone(),
            Self::Advance(args) => args.deployment.clone(),
            Self::Abort(args) => args.deployment.clone(),
            Self::Rollback(args) => args.deployment.clone(),
            Self::Restart(args) => args.deployment.clone(),
            Self::Drain(args) => args.deployment.clone(),
            Self::Pause(args) => args.deployment.clone(),
            Self::Resume(args) => args.deployment.clone(),
            Self::Delete(args) => args.deployment.clone(),
            Self::History(args) => args.deployment.clone(),
            Self::Routes(args) => args.deployment.clone(),
            Self::Revisions(args) => args.deployment.clone(),
        })
    }
}
