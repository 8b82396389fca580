//! `viridian deployment abort`.

use clap::Args;
use viridian_client::WaitGoal;

use super::{CliSession, DeploymentError, calls, change::ChangeArgs, wait::WaitArgs};
use crate::names;

#[derive(Debug, Args)]
pub(super) struct AbortArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(args: AbortArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let aborted = calls::abort(&mut client, args.deployment, args.change).await?;
    session
        .finish(&mut client, aborted, &args.wait, |_| WaitGoal::Settled)
        .await
}
