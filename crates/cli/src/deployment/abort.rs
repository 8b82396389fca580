//! `viridian deployment abort`.

use clap::Args;
use viridian_client::WaitGoal;
use viridian_proto::v1::Deployment;

use super::{
    CliSession, DeploymentError, calls,
    change::ChangeArgs,
    give_up, question,
    read::{self, DeploymentClient},
    show::RevisionNames,
    wait::WaitArgs,
};
use crate::{enum_names::qualified_name, names};

#[derive(Debug, Args)]
pub(super) struct AbortArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    /// Fail unless this revision is being deployed: its number or UUID [default: the
    /// revision that is being deployed now].
    #[arg(long, value_name = "REVISION", add = names::revisions())]
    expected_revision: Option<String>,
    /// Do not ask for confirmation. Without a terminal there is no question.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(args: AbortArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let mut expected = args.expected_revision.unwrap_or_default();
    let ask = !args.yes && question::can_ask();
    // A repeat with a request id must be the same request, so that nothing is added to it.
    let is_fixed = !expected.is_empty() || !args.change.request_id.is_empty();
    if ask || !is_fixed {
        let deployment = read::deployment(&mut client, &args.deployment).await?;
        if !is_fixed {
            expected.clone_from(&deployment.deploying_revision_id);
        }
        // Nothing is being deployed: the server refuses the call, and says so.
        if ask && !deployment.deploying_revision_id.is_empty() {
            confirm(&mut client, &deployment).await?;
        }
    }
    let aborted = calls::abort(&mut client, args.deployment, expected, args.change).await?;
    let aborted = aborted.ok_or(DeploymentError::EmptyReply)?;
    let headline = give_up::gave_up_headline(Some(&aborted));
    session
        .finish_with(&mut client, aborted, &headline, &args.wait, |_| {
            WaitGoal::Settled
        })
        .await
}

/// Asks whether to give up the rollout.
pub(super) async fn confirm(
    client: &mut DeploymentClient,
    deployment: &Deployment,
) -> Result<(), DeploymentError> {
    let revisions = read::revision_names(client, &deployment.id).await?;
    question::ask(&question_text(deployment, &revisions))
}

fn question_text(deployment: &Deployment, revisions: &RevisionNames) -> String {
    format!(
        "Give up the rollout of revision {} of {}? Revision {} keeps serving.",
        revisions.name(&deployment.deploying_revision_id),
        qualified_name(deployment),
        revisions.name(&deployment.current_revision_id),
    )
}

#[cfg(test)]
mod tests {
    use super::{super::show::fixture, *};

    #[test]
    fn b2_the_question_names_what_is_given_up_and_what_stays() {
        let revisions = RevisionNames::new(&fixture::revisions());
        assert_eq!(
            question_text(&fixture::at_the_gate(), &revisions),
            "Give up the rollout of revision 2 (cart:2) of shop/cart? Revision 1 (cart:1) keeps \
             serving."
        );
    }
}
