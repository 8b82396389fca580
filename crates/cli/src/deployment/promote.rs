//! `viridian deployment promote`.

use clap::Args;
use viridian_client::{WaitGoal, unary};
use viridian_proto::v1::{Deployment, PromoteDeploymentRequest, PromoteDeploymentResponse};

use super::{
    CliSession, DeploymentError,
    change::ChangeArgs,
    question,
    read::{self, DeploymentClient},
    session::DeploymentReply,
    sets::DeploymentSet,
    show::{self, OutputStyle, RevisionNames},
    wait::WaitArgs,
};
use crate::{enum_names::qualified_name, names, table::counted};

#[derive(Debug, Args)]
pub(super) struct PromoteArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    /// More deployments: all are promoted in one step, or none if any is refused.
    #[arg(
        value_name = "DEPLOYMENT",
        add = names::deployments(),
        conflicts_with_all = ["expected_revision", "expected_generation", "wait"]
    )]
    pub(super) others: Vec<String>,
    /// Fail unless this revision is being deployed: its number or UUID [default: the
    /// revision that is being deployed now].
    #[arg(long, value_name = "REVISION", add = names::revisions())]
    expected_revision: Option<String>,
    /// Show what the promotion would do or what blocks it, and change nothing.
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

pub(super) async fn run(args: PromoteArgs, session: &CliSession) -> Result<(), DeploymentError> {
    if !args.others.is_empty() {
        let set = DeploymentSet {
            names: [vec![args.deployment], args.others].concat(),
            dry_run: args.dry_run,
            yes: args.yes,
            change: args.change,
        };
        return set.promote(session).await;
    }
    let mut client = session.connect().await?;
    let mut request = PromoteDeploymentRequest {
        deployment: args.deployment,
        expected_revision: args.expected_revision.unwrap_or_default(),
        validate_only: args.dry_run,
        request_id: args.change.request_id,
        expected_generation: args.change.expected_generation,
        reason: args.change.reason,
    };
    if !args.dry_run {
        confirm_revision(&mut client, &mut request, args.yes).await?;
    }
    let mut reply = unary(client.promote_deployment(request)).await?;
    if args.dry_run {
        return show(&mut client, session, &reply, true).await;
    }
    let promoted = reply.deployment.take().ok_or(DeploymentError::EmptyReply)?;
    // The reply describes the state after the switch: the current revision is the promoted one.
    let goal = WaitGoal::Serves(promoted.current_revision_id.clone());
    let end = session.wait_if_asked(promoted, &args.wait, &goal).await?;
    reply.deployment = Some(end.deployment.clone());
    show(&mut client, session, &reply, false).await?;
    session.check_end(&mut client, end).await
}

/// Sets the expected revision to the one that is being deployed now, so that no other one
/// is promoted, and asks for confirmation.
async fn confirm_revision(
    client: &mut DeploymentClient,
    request: &mut PromoteDeploymentRequest,
    yes: bool,
) -> Result<(), DeploymentError> {
    let ask = !yes && question::can_ask();
    // A repeat with a request id must be the same request, so that no revision may be
    // added to it: another one could be deploying by now.
    let named = !request.expected_revision.is_empty() || !request.request_id.is_empty();
    if named && !ask {
        return Ok(());
    }
    let deployment = read::deployment(client, &request.deployment).await?;
    // Nothing is being deployed: the server refuses the call, and says so.
    if deployment.deploying_revision_id.is_empty() {
        return Ok(());
    }
    if !named {
        request
            .expected_revision
            .clone_from(&deployment.deploying_revision_id);
    }
    if ask {
        // The question shows the number and the program of the revision, not its id.
        let revisions = read::revision_names(client, &deployment.id).await?;
        question::ask(&question_text(&deployment, &revisions))?;
    }
    Ok(())
}

fn question_text(deployment: &Deployment, revisions: &RevisionNames) -> String {
    let (green, blue) = (
        deployment.green.unwrap_or_default(),
        deployment.blue.unwrap_or_default(),
    );
    format!(
        "Promote {} to revision {}? {} of {} green routes are ready, and take over the traffic of {}.",
        qualified_name(deployment),
        revisions.name(&deployment.deploying_revision_id),
        green.ready,
        deployment.target_replicas,
        counted(blue.active_traffic.try_into().unwrap_or_default(), "route"),
    )
}

async fn show(
    client: &mut DeploymentClient,
    session: &CliSession,
    reply: &PromoteDeploymentResponse,
    dry_run: bool,
) -> Result<(), DeploymentError> {
    let deployment = reply.deployment.as_ref();
    let deployment = deployment.ok_or(DeploymentError::EmptyReply)?;
    let headline = describe(reply, dry_run, session.style);
    let reply = DeploymentReply {
        message: "PromoteDeploymentResponse",
        reply,
        deployment,
        headline: &headline,
    };
    session.show_reply(client, &reply).await
}

/// What the promotion did or would do, or what blocks it.
fn describe(reply: &PromoteDeploymentResponse, dry_run: bool, style: OutputStyle) -> String {
    if !reply.blockers.is_empty() {
        return format!(
            "Cannot be promoted now:\n{}",
            show::blockers(&reply.blockers, style)
        );
    }
    let gained = counted(reply.promoted_route_ids.len() as u64, "route");
    let lost = counted(reply.drained_route_ids.len() as u64, "route");
    // All routes of a canary have a share before.
    let has_share = reply.promoted_route_ids.is_empty() && !reply.drained_route_ids.is_empty();
    match (has_share, dry_run) {
        (true, true) => format!("Would take the rest of the traffic from {lost}."),
        (true, false) => format!("Took the rest of the traffic from {lost}."),
        (false, true) => format!("Would give traffic to {gained}, and take it from {lost}."),
        (false, false) => format!("Gave traffic to {gained}, and took it from {lost}."),
    }
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{Deployment, PromoteDeploymentResponse};

    use super::{super::show::fixture, RevisionNames, describe, question_text};

    #[test]
    fn the_question_names_the_revision() {
        let revisions = RevisionNames::new(&fixture::revisions());
        assert_eq!(
            question_text(&fixture::at_the_gate(), &revisions),
            "Promote shop/cart to revision 2 (cart:2)? 3 of 3 green routes are ready, and take \
             over the traffic of 3 routes."
        );
    }

    #[test]
    fn the_headline_counts_the_routes_that_switch() {
        let reply = PromoteDeploymentResponse {
            deployment: Some(Deployment::default()),
            promoted_route_ids: vec!["a".to_owned(), "b".to_owned()],
            drained_route_ids: vec!["c".to_owned()],
            blockers: Vec::new(),
        };
        assert_eq!(
            describe(&reply, false, fixture::plain()),
            "Gave traffic to 2 routes, and took it from 1 route."
        );
        assert_eq!(
            describe(&reply, true, fixture::plain()),
            "Would give traffic to 2 routes, and take it from 1 route."
        );
        let canary = PromoteDeploymentResponse {
            promoted_route_ids: Vec::new(),
            ..reply
        };
        assert_eq!(
            describe(&canary, false, fixture::plain()),
            "Took the rest of the traffic from 1 route."
        );
        assert_eq!(
            describe(&canary, true, fixture::plain()),
            "Would take the rest of the traffic from 1 route."
        );
    }

    #[test]
    fn the_headline_lists_the_blockers() {
        let reply = PromoteDeploymentResponse {
            blockers: fixture::provisioning().blockers,
            ..PromoteDeploymentResponse::default()
        };
        insta::assert_snapshot!("not_promoted", describe(&reply, true, fixture::plain()));
    }
}
