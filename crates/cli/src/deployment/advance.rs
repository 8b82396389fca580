//! `viridian deployment advance`.

use clap::Args;
use viridian_client::{WaitGoal, unary};
use viridian_proto::v1::{AdvanceDeploymentRequest, Deployment};

use super::{
    CliSession, DeploymentError,
    change::ChangeArgs,
    question,
    read::{self, DeploymentClient},
    show,
    wait::WaitArgs,
};
use crate::{enum_names::qualified_name, names, permille::to_words};

#[derive(Debug, Args)]
pub(super) struct AdvanceArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    /// Leave out the steps up to the last one. That one is held as the policy says.
    #[arg(long)]
    to_last: bool,
    /// Fail unless this is the present step [default: the step that is held now].
    #[arg(long, value_name = "NUMBER")]
    expected_step: Option<i32>,
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

pub(super) async fn run(args: AdvanceArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let mut request = AdvanceDeploymentRequest {
        deployment: args.deployment,
        expected_revision: args.expected_revision.unwrap_or_default(),
        expected_step: args.expected_step,
        to_last: args.to_last,
        request_id: args.change.request_id,
        expected_generation: args.change.expected_generation,
        reason: args.change.reason,
    };
    confirm_step(&mut client, &mut request, args.yes).await?;
    let reply = unary(client.advance_deployment(request)).await?;
    let advanced = reply.deployment.ok_or(DeploymentError::EmptyReply)?;
    let headline = headline(&advanced, args.to_last);
    session
        .finish_with(&mut client, advanced, &headline, &args.wait, |it| {
            WaitGoal::Advanced {
                revision: it.deploying_revision_id.clone(),
                step: it.step,
            }
        })
        .await
}

/// Sets the expected revision and step to those that are seen, so that no other step is left,
/// and asks for confirmation.
async fn confirm_step(
    client: &mut DeploymentClient,
    request: &mut AdvanceDeploymentRequest,
    yes: bool,
) -> Result<(), DeploymentError> {
    let ask = !yes && question::can_ask();
    // A repeat with a request id must be the same request, so that nothing is added to it.
    let is_fixed = !request.request_id.is_empty()
        || !request.expected_revision.is_empty() && request.expected_step.is_some();
    if is_fixed && !ask {
        return Ok(());
    }
    let seen = read::deployment(client, &request.deployment).await?;
    // No step is held: the server refuses the call, and says why.
    if seen.deploying_revision_id.is_empty() || seen.step == 0 {
        return Ok(());
    }
    if request.request_id.is_empty() {
        if request.expected_revision.is_empty() {
            request
                .expected_revision
                .clone_from(&seen.deploying_revision_id);
        }
        // A second call that comes late leaves no further step.
        request.expected_step.get_or_insert(seen.step);
    }
    if ask {
        question::ask(&question(&seen, request.to_last))?;
    }
    Ok(())
}

/// Which step is to be left, and what comes then.
pub(super) fn question(seen: &Deployment, to_last: bool) -> String {
    let step = show::step_of_steps(seen).unwrap_or_else(|| "0".to_owned());
    format!(
        "Advance {} past step {step}? {}",
        qualified_name(seen),
        next(seen, to_last)
    )
}

/// What was left, and what comes then.
fn headline(advanced: &Deployment, to_last: bool) -> String {
    let step = show::step_of_steps(advanced).unwrap_or_else(|| "0".to_owned());
    format!("Step {step} is over. {}", next(advanced, to_last))
}

/// The share that comes next, or the promotion.
fn next(deployment: &Deployment, to_last: bool) -> String {
    let steps = show::steps(deployment);
    // Steps count from 1, so that the number of the present one is the index of the next.
    let present = usize::try_from(deployment.step).unwrap_or_default();
    let index = match to_last && present < steps.len() {
        true => steps.len() - 1,
        false => present,
    };
    let revision = deployment.deploying_revision_number;
    match steps.get(index) {
        Some(step) => format!(
            "Revision {revision} gets {} of the traffic once its routes are ready.",
            to_words(step.weight_permille)
        ),
        None => format!("All routes of revision {revision} are started, for its promotion."),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::show::fixture, *};

    #[test]
    fn a_question_names_the_step_and_the_next_share() {
        let mut seen = fixture::canary();
        assert_eq!(
            question(&seen, false),
            "Advance shop/cart past step 2 of 3? Revision 2 gets 50 % of the traffic once its \
             routes are ready."
        );
        seen.step = 1;
        for (to_last, share) in [(false, "25 %"), (true, "50 %")] {
            let headline = headline(&seen, to_last);
            let start = format!("Step 1 of 3 is over. Revision 2 gets {share} of");
            assert!(headline.starts_with(&start), "{headline}");
        }
        seen.step = 3;
        for to_last in [false, true] {
            assert_eq!(
                headline(&seen, to_last),
                "Step 3 of 3 is over. All routes of revision 2 are started, for its promotion."
            );
        }
    }
}
