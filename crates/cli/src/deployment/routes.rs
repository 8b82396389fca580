//! `viridian deployment routes`.

use clap::Args;
use viridian_proto::v1::{ListRoutesRequest, ListRoutesResponse, RouteStatus};

use super::{DeploymentError, Session, read, show};
use crate::enum_names;

#[derive(Debug, Args)]
pub(super) struct RoutesArgs {
    /// The deployment: its UUID, or PROJECT/NAME.
    pub(super) deployment: String,
    /// Only those of this revision, by UUID or number.
    #[arg(long)]
    revision: Option<String>,
    /// Only those of this status, like running; may be repeated [default: all but
    /// terminated].
    #[arg(
        long = "status",
        value_name = "STATUS",
        value_parser = enum_names::parse_status,
        conflicts_with = "all"
    )]
    statuses: Vec<RouteStatus>,
    /// Show those that ended, too.
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(args: RoutesArgs, session: &Session) -> Result<(), DeploymentError> {
    let statuses = match (args.all, args.statuses.as_slice()) {
        (true, _) => &[],
        (false, []) => NOT_OVER.as_slice(),
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
    let revisions = read::names(&mut client, &deployment.id).await?;
    session.show("ListRoutesResponse", &all, |style| {
        show::routes(&deployment, &all.routes, &revisions, style)
    })
}

/// Those that are there, and those that never came, which are a reason to look.
const NOT_OVER: [RouteStatus; 4] = [
    RouteStatus::Provisioning,
    RouteStatus::Running,
    RouteStatus::Terminating,
    RouteStatus::FailedToStart,
];
