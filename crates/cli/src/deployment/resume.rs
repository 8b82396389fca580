//! `viridian deployment resume`.

use clap::Args;
use viridian_client::WaitGoal;

use super::{CliSession, DeploymentError, calls, change::ChangeArgs, wait::WaitArgs};

use crate::names;

#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(args: ResumeArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let resumed = calls::resume(&mut client, args.deployment, args.change).await?;
    session
        .finish(&mut client, resumed, &args.wait, |_| WaitGoal::Settled)
        .await
}
