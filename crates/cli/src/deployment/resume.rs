//! `viridian deployment resume`.

use clap::Args;
use viridian_client::{WaitGoal, unary};
use viridian_proto::v1::ResumeDeploymentRequest;

use super::{DeploymentError, Session, change::ChangeArgs, wait::WaitArgs};

#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// The deployment: its UUID, or PROJECT/NAME.
    pub(super) deployment: String,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(args: ResumeArgs, session: &Session) -> Result<(), DeploymentError> {
    let request = ResumeDeploymentRequest {
        deployment: args.deployment,
        request_id: args.change.request_id,
        expected_generation: args.change.expected_generation,
        reason: args.change.reason,
    };
    let mut client = session.connect().await?;
    let reply = unary(client.resume_deployment(request)).await?;
    session
        .finish(&mut client, reply.deployment, &args.wait, |_| {
            WaitGoal::Settled
        })
        .await
}
