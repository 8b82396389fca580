//! `viridian deployment rollback`.

use clap::Args;
use viridian_client::WaitGoal;

use super::{
    CliSession, DeploymentError, calls, change::ChangeArgs, give_up, read,
    session::DeploymentReply, wait::WaitArgs,
};
use crate::names;

#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    /// Revision to roll back to: its number or UUID [default: the previous one; during a
    /// rollout, the one that serves, which gives the rollout up].
    #[arg(long, add = names::revisions())]
    revision: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(args: RollbackArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let seen = read::deployment(&mut client, &args.deployment).await?;
    if give_up::is_way_back(&seen, args.revision.as_deref()) {
        return give_up::run(&mut client, session, seen, args.change, &args.wait).await;
    }
    let revision = args.revision.unwrap_or_default();
    let mut reply = calls::roll_back(&mut client, args.deployment, revision, args.change).await?;
    let deployment = reply.deployment.take().ok_or(DeploymentError::EmptyReply)?;
    let goal = WaitGoal::of_activation(&deployment);
    let end = session.wait_if_asked(deployment, &args.wait, &goal).await?;
    // The output shows the deployment as it is after the wait.
    reply.deployment = Some(end.deployment.clone());
    let reply = DeploymentReply {
        message: "RollbackDeploymentResponse",
        reply: &reply,
        deployment: &end.deployment,
        headline: headline(reply.instant),
    };
    session.show_reply(&mut client, &reply).await?;
    session.check_end(&mut client, end).await
}

fn headline(instant: bool) -> &'static str {
    if instant {
        "Traffic is back on the previous revision, whose routes were retained."
    } else {
        "The previous revision is being deployed again: none of its routes were retained."
    }
}
