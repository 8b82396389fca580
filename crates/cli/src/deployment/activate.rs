//! `viridian deployment activate`.

use clap::Args;
use viridian_proto::v1::{ActivateRevisionRequest, CreateRevisionRequest, Deployment};

use super::{Client, DeploymentError, change::ChangeArgs, connect, show, spec::SpecArgs};
use crate::{
    client::{CallError, answer},
    output::Format,
    server::ServerArgs,
};

#[derive(Debug, Args)]
pub(super) struct ActivateArgs {
    /// The deployment: its UUID, or PROJECT/NAME.
    deployment: String,
    /// A revision that there is: its UUID, or its number. Without it, an image
    /// or a command makes a new one.
    #[arg(long, conflicts_with = "program", required_unless_present = "program")]
    revision: Option<String>,
    /// Give up the revision that is being deployed, if there is one.
    #[arg(long, conflicts_with = "program")]
    supersede: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    spec: SpecArgs,
}

pub(super) async fn run(
    args: ActivateArgs,
    server: &ServerArgs,
    format: Format,
) -> Result<(), DeploymentError> {
    let mut client = connect(server).await?;
    let deployment = match args.revision.clone() {
        Some(revision) => activate(&mut client, args, revision).await?,
        None => create(&mut client, args).await?,
    };
    show(deployment.as_ref(), format)
}

async fn activate(
    client: &mut Client,
    args: ActivateArgs,
    revision: String,
) -> Result<Option<Deployment>, CallError> {
    let request = ActivateRevisionRequest {
        deployment: args.deployment,
        revision,
        supersede: args.supersede,
        request_id: args.change.request_id,
        expected_generation: args.change.expected_generation,
        reason: args.change.reason,
    };
    Ok(answer(client.activate_revision(request)).await?.deployment)
}

async fn create(client: &mut Client, args: ActivateArgs) -> Result<Option<Deployment>, CallError> {
    let request = CreateRevisionRequest {
        deployment: args.deployment,
        spec: args.spec.into_spec(),
        activate: true,
        request_id: args.change.request_id,
        expected_generation: args.change.expected_generation,
        reason: args.change.reason,
    };
    Ok(answer(client.create_revision(request)).await?.deployment)
}
