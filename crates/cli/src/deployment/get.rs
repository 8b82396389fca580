//! `viridian deployment get`.

use clap::Args;

use super::{CliSession, DeploymentError, read};

use crate::names;

#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
}

pub(super) async fn run(args: GetArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let deployment = read::deployment(&mut client, &args.deployment).await?;
    session.show_deployment(&mut client, Some(deployment)).await
}
