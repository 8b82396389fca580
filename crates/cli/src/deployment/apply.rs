//! `viridian deployment apply`: makes deployments match a file, each in one call.

use std::path::PathBuf;

use clap::Args;
use viridian_client::{WaitGoal, unary};
use viridian_proto::v1::{ApplyDeploymentRequest, ApplyDeploymentResponse, Deployment};

use super::{
    CliSession, DeploymentError,
    change::ChangeArgs,
    read::DeploymentClient,
    session::{self, DeploymentReply},
    settings::{ChangePlan, DeploymentSettings},
    wait::{WaitArgs, WaitEnd},
};
use crate::{output::OutputFormat, table::counted};

#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// YAML file with the settings, or - for stdin. docs/deployment.yaml shows all
    /// settings.
    ///
    /// A setting that the file leaves out keeps its value, or gets its default in a
    /// new deployment. A file may have several documents, each for a deployment; if the
    /// server refuses one of them, none is applied.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Show what would change, and change nothing.
    ///
    /// It is the same call, and is refused in the same way.
    #[arg(long)]
    dry_run: bool,
    /// Replace a rollout that is still running.
    ///
    /// Without it, a new revision is refused while another one is being deployed. If the
    /// file has the revision that serves, the rollout is aborted.
    #[arg(long)]
    supersede: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(args: ApplyArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let all = DeploymentSettings::read(&args.file)?;
    if all.len() > 1 && !args.change.request_id.is_empty() {
        return Err(DeploymentError::OneRequestId);
    }
    let mut client = session.connect().await?;
    // One call is one deployment. That a later one cannot be applied must be known before the
    // first one is.
    if args.dry_run || all.len() > 1 {
        let plans = validate(&mut client, &args, &all).await?;
        if args.dry_run {
            return show_plans(&plans, session);
        }
    }
    let mut ends = Vec::new();
    for (index, settings) in all.iter().enumerate() {
        separate(index, session)?;
        ends.push(apply(&mut client, &args, settings, session).await?);
    }
    // Only now: that one waits for someone to act keeps no other from being applied.
    for end in ends {
        session.check_end(&mut client, end).await?;
    }
    Ok(())
}

/// What each document would change. If any is refused, all refusals.
async fn validate(
    client: &mut DeploymentClient,
    args: &ApplyArgs,
    all: &[DeploymentSettings],
) -> Result<Vec<ChangePlan>, DeploymentError> {
    let (mut plans, mut refusals) = (Vec::new(), Vec::new());
    for settings in all {
        match call(client, args, settings, true).await {
            Ok(reply) => plans.push(ChangePlan::of_reply(&settings.deployment(), &reply)),
            Err(error) => refusals.push(error),
        }
    }
    match refusals.len() {
        0 => Ok(plans),
        1 => Err(refusals.swap_remove(0)),
        _ => Err(DeploymentError::Several(refusals)),
    }
}

fn show_plans(plans: &[ChangePlan], session: &CliSession) -> Result<(), DeploymentError> {
    for (index, plan) in plans.iter().enumerate() {
        separate(index, session)?;
        session.show_value(&plan.value(), |style| plan.text(style))?;
    }
    Ok(())
}

async fn apply(
    client: &mut DeploymentClient,
    args: &ApplyArgs,
    settings: &DeploymentSettings,
    session: &CliSession,
) -> Result<WaitEnd, DeploymentError> {
    let mut reply = call(client, args, settings, false).await?;
    let deployment = reply.deployment.take().ok_or(DeploymentError::EmptyReply)?;
    let goal = goal(&deployment, &reply);
    let awaited = session.wait_if_asked(deployment, &args.wait, &goal).await;
    let end = awaited.map_err(|error| error.about(Some(settings.deployment())))?;
    let headline = headline(&reply);
    reply.deployment = Some(end.deployment.clone());
    let reply = DeploymentReply {
        message: "ApplyDeploymentResponse",
        reply: &reply,
        deployment: &end.deployment,
        headline: &headline,
    };
    session.show_reply(client, &reply).await?;
    Ok(end)
}

async fn call(
    client: &mut DeploymentClient,
    args: &ApplyArgs,
    settings: &DeploymentSettings,
    validate_only: bool,
) -> Result<ApplyDeploymentResponse, DeploymentError> {
    let request = ApplyDeploymentRequest {
        supersede: args.supersede,
        validate_only,
        request_id: args.change.request_id.clone(),
        expected_generation: args.change.expected_generation,
        reason: args.change.reason.clone(),
        ..settings.application()
    };
    let reply = unary(client.apply_deployment(request)).await;
    reply.map_err(|error| DeploymentError::from(error).about(Some(settings.deployment())))
}

fn goal(deployment: &Deployment, reply: &ApplyDeploymentResponse) -> WaitGoal {
    match reply.activated || reply.created {
        true => WaitGoal::of_activation(deployment),
        false => WaitGoal::Settled,
    }
}

/// What was done, in a sentence.
fn headline(reply: &ApplyDeploymentResponse) -> String {
    let number = reply.revision.as_ref().map_or(0, |it| it.number);
    if reply.created {
        return "Created.".to_owned();
    }
    if reply.changes.is_empty() {
        return "Nothing to do: it matches already.".to_owned();
    }
    let is_setting = |path: &str| !path.starts_with("revision.");
    let settings = reply.changes.iter().filter(|it| is_setting(&it.path));
    let settings = match settings.count() {
        0 => String::new(),
        count => format!(" {} changed.", counted(count as u64, "setting")),
    };
    let revision = match (reply.activated, reply.aborted) {
        (true, _) => format!(" Revision {number} is being deployed."),
        (_, true) => format!(" The rollout was aborted: revision {number} serves."),
        _ => String::new(),
    };
    format!("{revision}{settings}").trim_start().to_owned()
}

/// Separates the outputs of several documents.
fn separate(index: usize, session: &CliSession) -> Result<(), DeploymentError> {
    match (index, session.format) {
        (0, _) | (_, OutputFormat::Json) => Ok(()),
        (_, OutputFormat::Yaml) => session::write("---"),
        (_, OutputFormat::Table) => session::write(""),
    }
}
