//! `viridian deployment restart`.

use clap::Args;
use viridian_client::{WaitGoal, unary};
use viridian_proto::v1::{Deployment, RestartDeploymentRequest};

use super::{CliSession, DeploymentError, change::ChangeArgs, question, read, wait::WaitArgs};
use crate::{enum_names::qualified_name, names, table::counted};

#[derive(Debug, Args)]
pub(super) struct RestartArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    /// Do not ask for confirmation. Without a terminal there is no question.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(args: RestartArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    if !args.yes && question::can_ask() {
        let deployment = read::deployment(&mut client, &args.deployment).await?;
        question::ask(&question_text(&deployment))?;
    }
    let request = RestartDeploymentRequest {
        deployment: args.deployment,
        request_id: args.change.request_id,
        expected_generation: args.change.expected_generation,
        reason: args.change.reason,
    };
    let restarted = unary(client.restart_deployment(request)).await?.deployment;
    session
        .finish(&mut client, restarted, &args.wait, |_| WaitGoal::Settled)
        .await
}

fn question_text(deployment: &Deployment) -> String {
    let serving = deployment.blue.unwrap_or_default().active_traffic;
    format!(
        "Restart {}? {} of revision {} {}, step by step.",
        qualified_name(deployment),
        counted(serving.try_into().unwrap_or_default(), "route"),
        deployment.current_revision_number,
        if serving == 1 {
            "is replaced by a new one"
        } else {
            "are replaced by new ones"
        }
    )
}

#[cfg(test)]
mod tests {
    use super::{super::show::fixture, question_text};

    #[test]
    fn the_question_says_what_is_replaced() {
        assert_eq!(
            question_text(&fixture::at_the_gate()),
            "Restart shop/cart? 3 routes of revision 1 are replaced by new ones, step by step."
        );
    }
}
