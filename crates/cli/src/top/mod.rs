//! `viridian top`: what is in motion, and what it waits for.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use viridian_proto::v1::{
    Deployment, DeploymentLifecycle, ListDeploymentsRequest, ListDeploymentsResponse,
};

use crate::{
    deployment::{DeploymentError, Session, read, session::Client, show},
    duration,
    output::Format,
    screen,
    server::ServerArgs,
};

mod live;
mod render;

/// The flags of `viridian top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Only those of this project.
    #[arg(long)]
    project: Option<String>,
    /// How often to look, where it is shown live.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "2s")]
    interval: Duration,
    /// One table, also on a terminal.
    #[arg(long)]
    once: bool,
    /// How to show it; json and yaml are the message as the contract has it.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    #[command(flatten)]
    server: ServerArgs,
}

/// Shows it live on a terminal, else once.
pub(crate) fn run(args: TopArgs) -> Result<ExitCode, DeploymentError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DeploymentError::Runtime)?
        .block_on(Box::pin(watch(args)))?;
    Ok(ExitCode::SUCCESS)
}

async fn watch(args: TopArgs) -> Result<(), DeploymentError> {
    let is_live = args.output == Format::Table && !args.once && screen::is_live();
    let session = Session::new(args.server, args.output);
    let mut client = session.connect().await?;
    let project = args.project.unwrap_or_default();
    let deployments = look(&mut client, &project).await?;
    if is_live {
        let interval = args.interval.max(SHORTEST);
        return live::run(&client, &project, interval, deployments).await;
    }
    let all = ListDeploymentsResponse {
        deployments,
        next_page_token: String::new(),
    };
    session.show("ListDeploymentsResponse", &all, |look| {
        show::top(&all.deployments, look)
    })
}

/// All that is in motion.
async fn look(client: &mut Client, project: &str) -> Result<Vec<Deployment>, DeploymentError> {
    use DeploymentLifecycle::{Deploying, Destroying, Pending};
    let request = ListDeploymentsRequest {
        project: project.to_owned(),
        lifecycles: [Pending, Deploying, Destroying].map(i32::from).to_vec(),
        ..ListDeploymentsRequest::default()
    };
    Ok(show::moving(read::deployments(client, request).await?))
}

/// Nobody sees more, and the server has other things to do.
const SHORTEST: Duration = Duration::from_millis(200);
