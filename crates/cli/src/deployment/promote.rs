//! `viridian deployment promote`.

use clap::Args;
use viridian_client::{WaitGoal, unary};
use viridian_proto::v1::{Deployment, PromoteDeploymentRequest, PromoteDeploymentResponse};

use super::{
    DeploymentError, Session,
    change::ChangeArgs,
    question, read,
    session::Client,
    show::{self, OutputStyle, RevisionNames},
    wait::WaitArgs,
};

use crate::enum_names::qualified_name;

#[derive(Debug, Args)]
pub(super) struct PromoteArgs {
    /// The deployment: its UUID, or PROJECT/NAME.
    pub(super) deployment: String,
    /// Refuse unless this revision, by UUID or number, is being deployed [default:
    /// the one that is].
    #[arg(long, value_name = "REVISION")]
    expected_revision: Option<String>,
    /// Change nothing; say what a promotion would do, or what is in its way.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask. Nobody is asked where there is no terminal.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(args: PromoteArgs, session: &Session) -> Result<(), DeploymentError> {
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
        name_revision(&mut client, &mut request, args.yes).await?;
    }
    let mut reply = unary(client.promote_deployment(request)).await?;
    if args.wait.is_asked() && !args.dry_run {
        let promoted = reply.deployment.ok_or(DeploymentError::EmptyReply)?;
        let goal = WaitGoal::Serves(promoted.current_revision_id.clone());
        let deployment = session.wait_for(&mut client, &promoted, &args.wait, &goal);
        reply.deployment = Some(deployment.await?);
    }
    show(&mut client, session, &reply, args.dry_run).await
}

/// Has the promotion be of the revision that is being deployed now, and of no
/// other, and asks whether that one is meant.
async fn name_revision(
    client: &mut Client,
    request: &mut PromoteDeploymentRequest,
    yes: bool,
) -> Result<(), DeploymentError> {
    let ask = !yes && question::someone_is_there();
    // A repeat must be the same request, whatever is being deployed by now.
    let named = !request.expected_revision.is_empty() || !request.request_id.is_empty();
    if named && !ask {
        return Ok(());
    }
    let deployment = read::deployment(client, &request.deployment).await?;
    // Nothing is being deployed: the refusal says so.
    if deployment.deploying_revision_id.is_empty() {
        return Ok(());
    }
    if !named {
        request
            .expected_revision
            .clone_from(&deployment.deploying_revision_id);
    }
    if ask {
        let revisions = read::names(client, &deployment.id).await?;
        question::ask(&ask_for(&deployment, &revisions))?;
    }
    Ok(())
}

fn ask_for(deployment: &Deployment, revisions: &RevisionNames) -> String {
    let (green, blue) = (
        deployment.green.unwrap_or_default(),
        deployment.blue.unwrap_or_default(),
    );
    format!(
        "Promote {} to revision {}? {} of {} green routes are ready, and take the traffic of {}.",
        qualified_name(deployment),
        revisions.name(&deployment.deploying_revision_id),
        green.ready,
        deployment.target_replicas,
        routes(usize::try_from(blue.active_traffic).unwrap_or_default()),
    )
}

async fn show(
    client: &mut Client,
    session: &Session,
    reply: &PromoteDeploymentResponse,
    dry_run: bool,
) -> Result<(), DeploymentError> {
    let deployment = reply.deployment.as_ref();
    let deployment = deployment.ok_or(DeploymentError::EmptyReply)?;
    let headline = describe(reply, dry_run, session.style);
    session
        .show_about(
            "PromoteDeploymentResponse",
            reply,
            client,
            deployment,
            &headline,
        )
        .await
}

/// What a promotion did, would do, or what is in its way.
fn describe(reply: &PromoteDeploymentResponse, dry_run: bool, style: OutputStyle) -> String {
    if !reply.blockers.is_empty() {
        return format!(
            "Cannot be promoted now:\n{}",
            show::blockers(&reply.blockers, style)
        );
    }
    format!(
        "{} {}; without it: {}.",
        if dry_run {
            "Would take traffic:"
        } else {
            "Takes traffic now:"
        },
        routes(reply.promoted_route_ids.len()),
        routes(reply.drained_route_ids.len()),
    )
}

fn routes(count: usize) -> String {
    match count {
        1 => "1 route".to_owned(),
        _ => format!("{count} routes"),
    }
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{Deployment, PromoteDeploymentResponse};

    use super::{super::show::fixture, RevisionNames, ask_for, describe};

    #[test]
    fn the_question_names_the_revision() {
        let revisions = RevisionNames::new(&fixture::revisions());
        assert_eq!(
            ask_for(&fixture::at_the_gate(), &revisions),
            "Promote shop/cart to revision 2 (cart:2)? 3 of 3 green routes are ready, and take \
             the traffic of 3 routes."
        );
    }

    #[test]
    fn says_how_many_routes_switched() {
        let reply = PromoteDeploymentResponse {
            deployment: Some(Deployment::default()),
            promoted_route_ids: vec!["a".to_owned(), "b".to_owned()],
            drained_route_ids: vec!["c".to_owned()],
            blockers: Vec::new(),
        };
        assert_eq!(
            describe(&reply, false, fixture::plain()),
            "Takes traffic now: 2 routes; without it: 1 route."
        );
        assert_eq!(
            describe(&reply, true, fixture::plain()),
            "Would take traffic: 2 routes; without it: 1 route."
        );
    }

    #[test]
    fn says_what_is_in_the_way() {
        let reply = PromoteDeploymentResponse {
            blockers: fixture::provisioning().blockers,
            ..PromoteDeploymentResponse::default()
        };
        insta::assert_snapshot!("not_promoted", describe(&reply, true, fixture::plain()));
    }
}
