//! `viridian deployment traffic`.

use clap::Args;
use viridian_proto::v1::GetTrafficRequest;

use super::{CliSession, DeploymentError, read, show};

use crate::names;

#[derive(Debug, Args)]
pub(super) struct TrafficArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
}

pub(super) async fn run(args: TrafficArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut traffic = session.connect_traffic().await?;
    let request = GetTrafficRequest {
        deployment: args.deployment,
    };
    let table = read::read(traffic.get_traffic(request)).await?.table;
    let table = table.ok_or(DeploymentError::EmptyReply)?;
    // A proxy's token may not list revisions: without names the table shows the id.
    let mut client = session.connect().await?;
    let revisions = read::revision_names(&mut client, &table.deployment_id).await;
    let revisions = revisions.unwrap_or_default();
    session.show_numbered("TrafficTable", &table, &revisions, |style| {
        show::traffic_table(&table, &revisions, style)
    })
}
