//! `viridian deployment activate`.

use clap::Args;
use viridian_client::{WaitGoal, unary};
use viridian_proto::v1::{ActivateRevisionRequest, CreateRevisionRequest};

use super::{CliSession, DeploymentError, change::ChangeArgs, spec::SpecArgs, wait::WaitArgs};

#[derive(Debug, Args)]
pub(super) struct ActivateArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    pub(super) deployment: String,
    /// Existing revision to deploy: its number or UUID. For a new revision, give an
    /// image or a command instead.
    #[arg(long, conflicts_with = "program", required_unless_present = "program")]
    revision: Option<String>,
    /// Replace a rollout that is still running.
    ///
    /// Without it, the call fails while another revision is being deployed.
    #[arg(long, conflicts_with = "program")]
    supersede: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    spec: SpecArgs,
}

pub(super) async fn run(args: ActivateArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let ActivateArgs {
        deployment,
        revision,
        supersede,
        change,
        wait,
        spec,
    } = args;
    let mut client = session.connect().await?;
    // clap requires either a revision, or an image or a command.
    let activated = match revision {
        Some(revision) => {
            let request = ActivateRevisionRequest {
                deployment,
                revision,
                supersede,
                request_id: change.request_id,
                expected_generation: change.expected_generation,
                reason: change.reason,
            };
            unary(client.activate_revision(request)).await?.deployment
        }
        None => {
            let request = CreateRevisionRequest {
                deployment,
                spec: spec.into_spec(),
                activate: true,
                request_id: change.request_id,
                expected_generation: change.expected_generation,
                reason: change.reason,
                ..CreateRevisionRequest::default()
            };
            unary(client.create_revision(request)).await?.deployment
        }
    };
    session
        .finish(&mut client, activated, &wait, WaitGoal::of_activation)
        .await
}
