//! `viridian top`: the deployments in progress, and those that serve badly.

use std::{collections::HashSet, process::ExitCode, time::Duration};

use clap::Args;
use viridian_proto::v1::{
    Deployment, DeploymentAvailability, DeploymentLifecycle, ListDeploymentsRequest,
    ListDeploymentsResponse,
};

use crate::{
    deployment::{
        CliSession, DeploymentError,
        read::{self, DeploymentClient},
        show,
    },
    duration, names,
    output::OutputFormat,
    runtime, screen,
    server_args::ServerArgs,
};

mod live;
mod render;

/// The flags of `viridian top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Show only deployments of this project.
    #[arg(long, add = names::projects())]
    project: Option<String>,
    /// Show only deployments whose labels match all conditions, as in `deployment list`.
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// How often to update the live table. At least 200ms.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "2s")]
    interval: Duration,
    /// Print the table once and exit, also on a terminal.
    #[arg(long)]
    once: bool,
    /// Output format; json and yaml are the ListDeploymentsResponse of the API.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: OutputFormat,
    #[command(flatten)]
    server: ServerArgs,
}

/// Shows a live table on a terminal, else prints one.
pub(crate) fn run(args: TopArgs) -> Result<ExitCode, DeploymentError> {
    runtime::single_threaded()
        .map_err(DeploymentError::Runtime)?
        .block_on(Box::pin(watch(args)))?;
    Ok(ExitCode::SUCCESS)
}

async fn watch(args: TopArgs) -> Result<(), DeploymentError> {
    let is_live = args.output == OutputFormat::Table && !args.once && screen::is_live();
    let session = CliSession::new(args.server, args.output);
    let mut client = session.connect().await?;
    let selection = ListDeploymentsRequest {
        project: args.project.unwrap_or_default(),
        label_selector: args.selector.unwrap_or_default(),
        ..ListDeploymentsRequest::default()
    };
    // Read before the screen opens: the first failure is an ordinary error.
    let deployments = match read_in_progress(&mut client, &selection).await {
        Ok(deployments) => deployments,
        Err(error) => return Err(session.diagnosed(error).await),
    };
    if is_live {
        let interval = args.interval.max(MIN_INTERVAL);
        return live::run(&client, &selection, interval, deployments).await;
    }
    let all = ListDeploymentsResponse {
        deployments,
        next_page_token: String::new(),
    };
    session.show("ListDeploymentsResponse", &all, |style| {
        show::in_progress_table(&all.deployments, style)
    })
}

/// The deployments in progress and those that serve badly, which come first.
async fn read_in_progress(
    client: &mut DeploymentClient,
    selection: &ListDeploymentsRequest,
) -> Result<Vec<Deployment>, DeploymentError> {
    use DeploymentAvailability::{Degraded, Unavailable};
    use DeploymentLifecycle::{Deploying, Destroying, Pending, Ready};
    let moving = ListDeploymentsRequest {
        lifecycles: [Pending, Deploying, Destroying].map(i32::from).to_vec(),
        ..selection.clone()
    };
    // Those that are READY and serve well are nearly all: they are not read.
    let serving_badly = ListDeploymentsRequest {
        lifecycles: vec![Ready.into()],
        availabilities: [Degraded, Unavailable].map(i32::from).to_vec(),
        ..selection.clone()
    };
    let mut deployments = read::deployments(client, moving).await?;
    deployments.extend(read::deployments(client, serving_badly).await?);
    // One that became READY between the two reads is in both.
    let mut seen = HashSet::new();
    deployments.retain(|it| seen.insert(it.id.clone()));
    Ok(show::in_progress(deployments))
}

/// Faster updates cannot be seen, and would load the server.
const MIN_INTERVAL: Duration = Duration::from_millis(200);
