//! `viridian deployment get`.

use clap::Args;
use viridian_proto::v1::GetDeploymentRequest;

use super::{DeploymentError, connect, show};
use crate::{client::answer, output::Format, server::ServerArgs};

#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// The deployment: its UUID, or PROJECT/NAME.
    deployment: String,
}

pub(super) async fn run(
    args: GetArgs,
    server: &ServerArgs,
    format: Format,
) -> Result<(), DeploymentError> {
    let request = GetDeploymentRequest {
        deployment: args.deployment,
    };
    let reply = answer(connect(server).await?.get_deployment(request)).await?;
    show(reply.deployment.as_ref(), format)
}
