//! `viridian deployment delete`.

use clap::Args;
use viridian_client::{WaitGoal, unary};
use viridian_proto::v1::DeleteDeploymentRequest;

use super::{DeploymentError, Session, change::ChangeArgs, question, read, wait::WaitArgs};

use crate::enum_names::qualified_name;

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// The deployment: its UUID, or PROJECT/NAME.
    pub(super) deployment: String,
    /// Do not ask. Nobody is asked where there is no terminal.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(args: DeleteArgs, session: &Session) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let mut deployment = args.deployment;
    if !args.yes && question::someone_is_there() {
        let found = read::deployment(&mut client, &deployment).await?;
        let serve = found.blue.unwrap_or_default().active_traffic;
        let name = qualified_name(&found);
        question::ask(&format!("Delete {name} for good? {serve} routes serve it."))?;
        // The name may be another's by now.
        deployment = found.id;
    }
    let request = DeleteDeploymentRequest {
        deployment,
        request_id: args.change.request_id,
        expected_generation: args.change.expected_generation,
        reason: args.change.reason,
    };
    let reply = unary(client.delete_deployment(request)).await?;
    session
        .finish(&mut client, reply.deployment, &args.wait, |_| {
            WaitGoal::Destroyed
        })
        .await
}
