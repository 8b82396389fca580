//! `viridian deployment list`.

use clap::Args;
use viridian_proto::v1::{
    DeploymentAvailability, DeploymentLifecycle, ListDeploymentsRequest, ListDeploymentsResponse,
};

use super::{CliSession, DeploymentError, read, show};
use crate::{enum_names, names};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Show only deployments of this project.
    #[arg(long, add = names::projects())]
    project: Option<String>,
    /// Show only deployments in this lifecycle, like deploying; may be repeated
    /// [default: all but destroyed].
    #[arg(long = "lifecycle", value_name = "LIFECYCLE", value_parser = enum_names::parse_lifecycle)]
    lifecycles: Vec<DeploymentLifecycle>,
    /// Show only deployments that serve like this: available, degraded, unavailable,
    /// or idle; may be repeated.
    #[arg(
        long = "availability",
        value_name = "AVAILABILITY",
        value_parser = enum_names::parse_availability
    )]
    availabilities: Vec<DeploymentAvailability>,
    /// Show only deployments whose labels match all conditions, like tier=web,
    /// tier!=db, tier in (web,db), tier, or !tier, separated by commas.
    #[arg(short = 'l', long)]
    selector: Option<String>,
}

pub(super) async fn run(args: ListArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let request = ListDeploymentsRequest {
        project: args.project.unwrap_or_default(),
        lifecycles: args.lifecycles.iter().map(|&it| it.into()).collect(),
        availabilities: args.availabilities.iter().map(|&it| it.into()).collect(),
        label_selector: args.selector.unwrap_or_default(),
        ..ListDeploymentsRequest::default()
    };
    let deployments = read::deployments(&mut client, request).await?;
    let all = ListDeploymentsResponse {
        deployments,
        next_page_token: String::new(),
    };
    session.show("ListDeploymentsResponse", &all, |style| {
        show::many(&all.deployments, style)
    })
}
