//! `viridian deployment delete`.

use clap::Args;
use viridian_client::{WaitGoal, unary};
use viridian_proto::v1::DeleteDeploymentRequest;

use super::{CliSession, DeploymentError, change::ChangeArgs, question, read, wait::WaitArgs};
use crate::{enum_names::qualified_name, names, table::counted};

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    /// Do not ask for confirmation. Without a terminal there is no question.
    #[arg(short, long)]
    yes: bool,
    /// Do not wait for the agents: the deployment is gone at once.
    ///
    /// For agents that are gone, also after a deletion that waits for them. What still
    /// runs of it has to be stopped by hand.
    #[arg(long)]
    force: bool,
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
        let how = match args.force {
            true => " without waiting for its routes",
            false => "",
        };
        match read::deployment(&mut client, &deployment).await {
            Ok(found) => {
                let serving = found.blue.unwrap_or_default().active_traffic;
                let name = qualified_name(&found);
                let routes = counted(serving.try_into().unwrap_or_default(), "route");
                question::ask(&format!(
                    "Delete {name}{how}? It serves traffic with {routes}."
                ))?;
                // By id: until the answer, another deployment may have taken the name.
                deployment = found.id;
            }
            // Its end may have begun, and its name is free since.
            Err(error) if args.force && error.is_not_found() => {
                question::ask(&format!("Delete {deployment}{how}?"))?;
            }
            Err(error) => return Err(error),
        }
    }
    let request = DeleteDeploymentRequest {
        deployment,
        request_id: args.change.request_id,
        expected_generation: args.change.expected_generation,
        reason: args.change.reason,
        force: args.force,
    };
    let reply = unary(client.delete_deployment(request)).await?;
    session
        .finish(&mut client, reply.deployment, &args.wait, |_| {
            WaitGoal::Destroyed
        })
        .await
}
