//! `viridian deployment rollback`.

use clap::Args;
use viridian_client::WaitGoal;
use viridian_proto::v1::{Deployment, RollbackDeploymentRequest, RollbackDeploymentResponse};

use super::{
    CliSession, DeploymentError, abort, calls,
    change::ChangeArgs,
    give_up, question, read,
    session::DeploymentReply,
    sets::DeploymentSet,
    show::{self, OutputStyle, RevisionNames},
    wait::{WaitArgs, WaitEnd},
};
use crate::{enum_names::qualified_name, names, table::counted};

#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    /// More deployments: all go back in one step, or none if any is refused or would have to
    /// start routes first.
    #[arg(
        value_name = "DEPLOYMENT",
        add = names::deployments(),
        conflicts_with_all = [
            "revision", "expected_revision", "gated", "expected_generation", "wait"
        ]
    )]
    pub(super) others: Vec<String>,
    /// Revision to roll back to: its number or UUID [default: what served before; a second
    /// roll-back leads further back. During a rollout, the one that serves, which gives the
    /// rollout up].
    #[arg(long, add = names::revisions())]
    revision: Option<String>,
    /// Fail unless this revision serves or is being deployed: its number or UUID [default: the
    /// one that is to be left].
    #[arg(long, value_name = "REVISION", add = names::revisions())]
    expected_revision: Option<String>,
    /// Wait for a promotion as the policy says, instead of switching by itself.
    #[arg(long)]
    gated: bool,
    /// Show what the roll-back would do, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation. Without a terminal there is no question.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(args: RollbackArgs, session: &CliSession) -> Result<(), DeploymentError> {
    if !args.others.is_empty() {
        let set = DeploymentSet {
            names: [vec![args.deployment], args.others].concat(),
            dry_run: args.dry_run,
            yes: args.yes,
            change: args.change,
        };
        return set.roll_back(session).await;
    }
    let mut client = session.connect().await?;
    let seen = read::deployment(&mut client, &args.deployment).await?;
    let ask = !args.yes && !args.dry_run && question::can_ask();
    let gives_up = give_up::is_way_back(&seen, args.revision.as_deref());
    if ask && gives_up {
        abort::confirm(&mut client, &seen).await?;
    } else if ask && seen.deploying_revision_id.is_empty() {
        let revisions = read::revision_names(&mut client, &seen.id).await?;
        question::ask(&question_text(&seen, args.revision.as_deref(), &revisions))?;
    }
    let request = RollbackDeploymentRequest {
        expected_revision: expected_revision(&args, &seen),
        deployment: args.deployment,
        revision: args.revision.unwrap_or_default(),
        gated: args.gated,
        validate_only: args.dry_run,
        ..RollbackDeploymentRequest::default()
    };
    let mut reply = calls::roll_back(&mut client, request, args.change).await?;
    let headline = match give_up::headline(&reply, args.dry_run && gives_up) {
        Some(headline) => headline.to_owned(),
        None => headline(&reply, args.dry_run, session.style),
    };
    let deployment = reply.deployment.take().ok_or(DeploymentError::EmptyReply)?;
    let end = if args.dry_run {
        WaitEnd::at_once(deployment)
    } else {
        let goal = match gives_up {
            true => WaitGoal::Settled,
            false => WaitGoal::of_activation(&deployment),
        };
        session.wait_if_asked(deployment, &args.wait, &goal).await?
    };
    // The output shows the deployment as it is after the wait.
    reply.deployment = Some(end.deployment.clone());
    let reply = DeploymentReply {
        message: "RollbackDeploymentResponse",
        reply: &reply,
        deployment: &end.deployment,
        headline: &headline,
    };
    session.show_reply(&mut client, &reply).await?;
    session.check_end(&mut client, end).await
}

/// The revision that is to be left: the named one, or the one that was seen to be on its way,
/// or to serve.
fn expected_revision(args: &RollbackArgs, seen: &Deployment) -> String {
    match &args.expected_revision {
        Some(named) => named.clone(),
        // A repeat with a request id must be the same request, so that no revision may be
        // added to it: another one could serve by now.
        None if !args.change.request_id.is_empty() => String::new(),
        None if !seen.deploying_revision_id.is_empty() => seen.deploying_revision_id.clone(),
        None => seen.current_revision_id.clone(),
    }
}

fn question_text(seen: &Deployment, revision: Option<&str>, revisions: &RevisionNames) -> String {
    let to = match revision {
        None => "the revision that served before".to_owned(),
        Some(revision) => format!("revision {revision}"),
    };
    format!(
        "Roll {} back from revision {} to {to}?",
        qualified_name(seen),
        revisions.name(&seen.current_revision_id),
    )
}

/// What the roll-back did or would do, and what still serves.
fn headline(reply: &RollbackDeploymentResponse, dry_run: bool, style: OutputStyle) -> String {
    let revision = reply.revision_number;
    let deployment = reply.deployment.as_ref();
    let serves = deployment.map_or(0, |it| it.current_revision_number);
    let kept = match reply.kept_route_ids.len() {
        0 => "none of its routes were retained".to_owned(),
        1 => "1 of its routes was retained".to_owned(),
        count => format!("{count} of its routes were retained"),
    };
    match (reply.instant, dry_run) {
        (true, false) => {
            "Traffic is back on the previous revision, whose routes were retained.".to_owned()
        }
        (false, false) => format!(
            "The previous revision is being deployed again: {kept}. \
             Revision {serves} serves until revision {revision} is ready."
        ),
        (true, true) => format!(
            "Would give the traffic back to revision {revision} at once, to {}.",
            counted(reply.kept_route_ids.len() as u64, "retained route"),
        ),
        (false, true) => {
            let waits = match reply.blockers.is_empty() {
                true => String::new(),
                false => format!(
                    " It would wait for:\n{}",
                    show::blockers(&reply.blockers, style)
                ),
            };
            format!(
                "Would deploy revision {revision} again: {kept}. \
                 Revision {serves} would serve until it is ready.{waits}"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::show::fixture, *};

    #[test]
    fn b2_the_question_names_what_serves() {
        let revisions = RevisionNames::new(&fixture::revisions());
        let question = |revision| question_text(&fixture::at_the_gate(), revision, &revisions);
        assert_eq!(
            question(None),
            "Roll shop/cart back from revision 1 (cart:1) to the revision that served before?"
        );
        assert_eq!(
            question(Some("7")),
            "Roll shop/cart back from revision 1 (cart:1) to revision 7?"
        );
    }

    #[test]
    fn b3_the_headline_says_what_still_serves() {
        let reply = |instant, kept: usize| RollbackDeploymentResponse {
            deployment: Some(Deployment {
                current_revision_number: 3,
                ..Deployment::default()
            }),
            instant,
            kept_route_ids: vec!["r".to_owned(); kept],
            revision_number: 2,
            ..RollbackDeploymentResponse::default()
        };
        for (instant, kept, dry_run, expected) in [
            (
                false,
                0,
                false,
                "The previous revision is being deployed again: none of its routes were retained. \
                 Revision 3 serves until revision 2 is ready.",
            ),
            (
                false,
                1,
                true,
                "Would deploy revision 2 again: 1 of its routes was retained. \
                 Revision 3 would serve until it is ready.",
            ),
            (
                true,
                2,
                true,
                "Would give the traffic back to revision 2 at once, to 2 retained routes.",
            ),
        ] {
            let said = headline(&reply(instant, kept), dry_run, fixture::plain());
            assert_eq!(said, expected);
        }
    }
}
