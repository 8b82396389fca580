//! `viridian deployment scale`.

use clap::Args;
use prost_types::FieldMask;
use viridian_client::{WaitGoal, unary};
use viridian_proto::v1::UpdateDeploymentRequest;

use super::{CliSession, DeploymentError, change::ChangeArgs, wait::WaitArgs};

use crate::names;

#[derive(Debug, Args)]
pub(super) struct ScaleArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    /// Number of replicas of the serving revision.
    ///
    /// With 0 it serves nothing, and a rollout waits until it has replicas again.
    #[arg(required_unless_present = "replicas_flag")]
    replicas: Option<i32>,
    /// The same as a flag.
    #[arg(long = "replicas", value_name = "NUMBER", conflicts_with = "replicas")]
    replicas_flag: Option<i32>,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(args: ScaleArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    // clap requires one of the two.
    let replicas = args.replicas.or(args.replicas_flag);
    let request = UpdateDeploymentRequest {
        deployment: args.deployment,
        target_replicas: replicas.unwrap_or_default(),
        update_mask: Some(FieldMask {
            paths: vec!["target_replicas".to_owned()],
        }),
        request_id: args.change.request_id,
        expected_generation: args.change.expected_generation,
        reason: args.change.reason,
        ..UpdateDeploymentRequest::default()
    };
    let scaled = unary(client.update_deployment(request)).await?.deployment;
    session
        .finish(&mut client, scaled, &args.wait, |_| WaitGoal::Settled)
        .await
}
