//! `viridian deployment rollback`.

use clap::Args;
use viridian_client::{WaitGoal, unary};
use viridian_proto::v1::RollbackDeploymentRequest;

use super::{DeploymentError, Session, change::ChangeArgs, wait::WaitArgs};

#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The deployment: its UUID, or PROJECT/NAME.
    pub(super) deployment: String,
    /// The revision to go back to, by UUID or number [default: the one before].
    #[arg(long)]
    revision: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(args: RollbackArgs, session: &Session) -> Result<(), DeploymentError> {
    let request = RollbackDeploymentRequest {
        deployment: args.deployment,
        revision: args.revision.unwrap_or_default(),
        request_id: args.change.request_id,
        expected_generation: args.change.expected_generation,
        reason: args.change.reason,
    };
    let mut client = session.connect().await?;
    let mut reply = unary(client.rollback_deployment(request)).await?;
    let deployment = reply.deployment.ok_or(DeploymentError::EmptyReply)?;
    let deployment = if args.wait.is_asked() {
        let goal = WaitGoal::of_activation(&deployment);
        session
            .wait_for(&mut client, &deployment, &args.wait, &goal)
            .await?
    } else {
        deployment
    };
    reply.deployment = Some(deployment.clone());
    let headline = headline(reply.instant);
    session
        .show_about(
            "RollbackDeploymentResponse",
            &reply,
            &mut client,
            &deployment,
            headline,
        )
        .await
}

fn headline(instant: bool) -> &'static str {
    if instant {
        "The traffic is back at the revision before, whose routes were kept."
    } else {
        "The revision before is deployed again: none of its routes was kept."
    }
}
