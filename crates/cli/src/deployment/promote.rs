//! `viridian deployment promote`.

use clap::Args;
use viridian_proto::v1::{PromoteDeploymentRequest, PromoteDeploymentResponse};

use super::{DeploymentError, change::ChangeArgs, connect, show, write};
use crate::{
    client::answer,
    output::{self, Format},
    server::ServerArgs,
};

#[derive(Debug, Args)]
pub(super) struct PromoteArgs {
    /// The deployment: its UUID, or PROJECT/NAME.
    deployment: String,
    /// Refuse unless this revision, by UUID or number, is being deployed.
    #[arg(long, value_name = "REVISION")]
    expected_revision: Option<String>,
    /// Change nothing; say what a promotion would do, or what is in its way.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(
    args: PromoteArgs,
    server: &ServerArgs,
    format: Format,
) -> Result<(), DeploymentError> {
    let dry_run = args.dry_run;
    let request = PromoteDeploymentRequest {
        deployment: args.deployment,
        expected_revision: args.expected_revision.unwrap_or_default(),
        validate_only: dry_run,
        request_id: args.change.request_id,
        expected_generation: args.change.expected_generation,
        reason: args.change.reason,
    };
    let reply = answer(connect(server).await?.promote_deployment(request)).await?;
    write(&match format {
        Format::Table => describe(&reply, dry_run)?,
        Format::Json => output::json("PromoteDeploymentResponse", &reply)?,
    })
}

fn describe(reply: &PromoteDeploymentResponse, dry_run: bool) -> Result<String, DeploymentError> {
    let deployment = reply
        .deployment
        .as_ref()
        .ok_or(DeploymentError::EmptyReply)?;
    let head = if !reply.blockers.is_empty() {
        format!(
            "Cannot be promoted now:\n{}",
            show::blockers(&reply.blockers)
        )
    } else {
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
    };
    Ok(format!("{head}\n\n{}", show::one(deployment)))
}

fn routes(count: usize) -> String {
    match count {
        1 => "1 route".to_owned(),
        _ => format!("{count} routes"),
    }
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{Blocker, BlockerCode, Deployment, PromoteDeploymentResponse};

    use super::describe;

    fn first_lines(reply: &PromoteDeploymentResponse, dry_run: bool) -> String {
        let text = describe(reply, dry_run).expect("a deployment");
        text.split("\n\n").next().unwrap_or_default().to_owned()
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
            first_lines(&reply, false),
            "Takes traffic now: 2 routes; without it: 1 route."
        );
        assert_eq!(
            first_lines(&reply, true),
            "Would take traffic: 2 routes; without it: 1 route."
        );
    }

    #[test]
    fn says_what_is_in_the_way() {
        let reply = PromoteDeploymentResponse {
            deployment: Some(Deployment::default()),
            blockers: vec![Blocker {
                code: BlockerCode::GreenUnhealthy.into(),
                message: "2 of 3 green routes are ready".to_owned(),
                until_time: None,
            }],
            ..PromoteDeploymentResponse::default()
        };
        assert_eq!(
            first_lines(&reply, true),
            "Cannot be promoted now:\n2 of 3 green routes are ready (GREEN_UNHEALTHY)"
        );
    }
}
