//! `viridian deployment pause`.

use clap::Args;

use super::{CliSession, DeploymentError, calls, change::ChangeArgs};

use crate::names;

#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(args: PauseArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let paused = calls::pause(&mut client, args.deployment, args.change).await?;
    session.show_deployment(&mut client, paused).await
}
