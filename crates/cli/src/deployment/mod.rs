//! The verbs of an operator: `viridian deployment …`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use tonic::{service::interceptor::InterceptedService, transport::Channel};
use viridian_agent::Bearer;
use viridian_proto::v1::{Deployment, deployment_service_client::DeploymentServiceClient};

use crate::{
    client::{self, CallError},
    error::USAGE,
    output::{self, Format, OutputError},
    server::{ServerArgs, Target},
};

mod activate;
mod change;
mod create;
mod get;
mod list;
mod policy;
mod promote;
mod show;
mod spec;
mod watch;

use self::policy::PolicyError;

/// The flags that every verb has.
#[derive(Debug, Args)]
pub(crate) struct DeploymentArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// How to show the result; json is the message as the contract has it.
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "table"
    )]
    output: Format,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a deployment; with an image or a command, it starts at once.
    Create(Box<create::CreateArgs>),
    /// Show one deployment.
    Get(get::GetArgs),
    /// List deployments, oldest first.
    List(list::ListArgs),
    /// Follow a deployment, a change a line.
    Watch(watch::WatchArgs),
    /// Begin to deploy a revision: one that there is, or a new one.
    Activate(activate::ActivateArgs),
    /// Switch all traffic to the revision that is being deployed.
    Promote(promote::PromoteArgs),
}

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeploymentError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("the server's reply to this call is empty")]
    EmptyReply,
    #[error("{deployment} did not come to {until}: {instead}")]
    NotReached {
        deployment: String,
        until: String,
        instead: String,
    },
    #[error("cannot start: {0}")]
    Runtime(#[source] std::io::Error),
}

impl DeploymentError {
    /// 64 and the gRPC code for a refused call, 2 for flags that do not fit, 1
    /// when what was waited for did not come.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Call(error) => error.exit_code(),
            Self::Policy(_) => USAGE,
            Self::EmptyReply | Self::NotReached { .. } | Self::Runtime(_) => 1,
        }
    }
}

impl From<OutputError> for DeploymentError {
    fn from(error: OutputError) -> Self {
        Self::Call(CallError::Output(error))
    }
}

/// Does what the verb says.
pub(crate) fn run(args: DeploymentArgs) -> Result<ExitCode, DeploymentError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DeploymentError::Runtime)?
        .block_on(Box::pin(dispatch(args)))?;
    Ok(ExitCode::SUCCESS)
}

async fn dispatch(args: DeploymentArgs) -> Result<(), DeploymentError> {
    let server = &args.server;
    let format = args.output;
    match args.verb {
        Verb::Create(args) => create::run(*args, server, format).await,
        Verb::Get(args) => get::run(args, server, format).await,
        Verb::List(args) => list::run(args, server, format).await,
        Verb::Watch(args) => watch::run(args, server, format).await,
        Verb::Activate(args) => activate::run(args, server, format).await,
        Verb::Promote(args) => promote::run(args, server, format).await,
    }
}

type Client = DeploymentServiceClient<InterceptedService<Channel, Bearer>>;

async fn connect(server: &ServerArgs) -> Result<Client, CallError> {
    let Target { url, tls, bearer } = server.target()?;
    let channel = client::connect(&url, tls).await?;
    Ok(DeploymentServiceClient::with_interceptor(channel, bearer))
}

/// Shows the deployment that a reply carries.
fn show(deployment: Option<&Deployment>, format: Format) -> Result<(), DeploymentError> {
    let deployment = deployment.ok_or(DeploymentError::EmptyReply)?;
    write(&match format {
        Format::Table => show::one(deployment),
        Format::Json => output::json("Deployment", deployment)?,
    })
}

fn write(text: &str) -> Result<(), DeploymentError> {
    Ok(output::line(text).map_err(OutputError::Write)?)
}
