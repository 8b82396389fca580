//! `viridian deployment delete`.

use clap::Args;
use viridian_client::{WaitGoal, unary};
use viridian_proto::v1::DeleteDeploymentRequest;

use super::{CliSession, DeploymentError, change::ChangeArgs, question, read, wait::WaitArgs};
use crate::{enum_names::qualified_name, table::counted};

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    pub(super) deployment: String,
    /// Do not ask for confirmation. Without a terminal there is no question.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(args: DeleteArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let mut deployment = args.deployment;
    // Without a question there is nothing to read: a script makes one call only.
    if !args.yes && question::can_ask() {
        let found = read::deployment(&mut client, &deployment).await?;
        let serving = found.blue.unwrap_or_default().active_traffic;
        let name = qualified_name(&found);
        let routes = counted(serving.try_into().unwrap_or_default(), "route");
        question::ask(&format!("Delete {name}? It serves traffic with {routes}."))?;
        // By id: until the answer, another deployment may have taken the name.
        deployment = found.id;
    }
    let request = DeleteDeploymentRequest {
        deployment,
        request_id: args.change.request_id,
        expected_generation: args.change.expected_generation,
        reason: args.change.reason,
        ..DeleteDeploymentRequest::default()
    };
    let reply = unary(client.delete_deployment(request)).await?;
    session
        .finish(&mut client, reply.deployment, &args.wait, |_| {
            WaitGoal::Destroyed
        })
        .await
}
