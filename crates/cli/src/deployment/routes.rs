//! `viridian deployment routes`.

use clap::Args;
use viridian_proto::v1::{ListRoutesRequest, ListRoutesResponse, RouteStatus};

use super::{CliSession, DeploymentError, read, show};
use crate::{enum_names, names};

#[derive(Debug, Args)]
pub(super) struct RoutesArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    /// Show only routes of this revision: its number or UUID.
    #[arg(long, add = names::revisions())]
    revision: Option<String>,
    /// Show only routes with this status, like running; may be repeated [default: all
    /// but terminated].
    #[arg(
        long = "status",
        value_name = "STATUS",
        value_parser = enum_names::parse_status,
        conflicts_with = "all"
    )]
    statuses: Vec<RouteStatus>,
    /// Also show routes that have ended.
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(args: RoutesArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let statuses = match (args.all, args.statuses.as_slice()) {
        (true, _) => &[],
        (false, []) => SHOWN_STATUSES.as_slice(),
        (false, named) => named,
    };
    let request = ListRoutesRequest {
        deployment: args.deployment.clone(),
        statuses: statuses.iter().map(|&it| it.into()).collect(),
        revision: args.revision.unwrap_or_default(),
        ..ListRoutesRequest::default()
    };
    let mut client = session.connect().await?;
    let routes = read::routes(&mut client, request).await?;
    let all = ListRoutesResponse {
        routes,
        next_page_token: String::new(),
    };
    let deployment = read::deployment(&mut client, &args.deployment).await?;
    let revisions = read::revision_names(&mut client, &deployment.id).await?;
    session.show_numbered("ListRoutesResponse", &all, &revisions, |style| {
        show::routes(&deployment, &all.routes, &revisions, style)
    })
}

/// Without a flag: present routes, and those that failed to start, which need attention.
const SHOWN_STATUSES: [RouteStatus; 4] = [
    RouteStatus::Provisioning,
    RouteStatus::Running,
    RouteStatus::Terminating,
    RouteStatus::FailedToStart,
];
