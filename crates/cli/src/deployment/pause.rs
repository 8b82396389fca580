//! `viridian deployment pause`.

use clap::Args;
use viridian_client::unary;
use viridian_proto::v1::PauseDeploymentRequest;

use super::{DeploymentError, Session, change::ChangeArgs};

#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    /// The deployment: its UUID, or PROJECT/NAME.
    pub(super) deployment: String,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(args: PauseArgs, session: &Session) -> Result<(), DeploymentError> {
    let request = PauseDeploymentRequest {
        deployment: args.deployment,
        request_id: args.change.request_id,
        expected_generation: args.change.expected_generation,
        reason: args.change.reason,
    };
    let mut client = session.connect().await?;
    let reply = unary(client.pause_deployment(request)).await?;
    session.show_deployment(&mut client, reply.deployment).await
}
