//! `viridian deployment activate`.

use clap::{ArgGroup, Args};
use viridian_client::{WaitGoal, unary};
use viridian_proto::v1::{
    ActivateRevisionRequest, CreateRevisionRequest, CreateRevisionResponse, Deployment,
    RevisionSpec,
};

use super::{
    CliSession, DeploymentError, calls,
    change::ChangeArgs,
    give_up,
    read::{self, DeploymentClient},
    session::DeploymentReply,
    spec_change::SpecChangeArgs,
    wait::WaitArgs,
};
use crate::names;

// The group is what a usage error shows: a revision, or what a new one changes.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what")
    .args(["revision", "image", "environ", "environ_from", "removed", "health_path", "health_interval", "command"])
    .required(true)
    .multiple(true))]
pub(super) struct ActivateArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    /// Existing revision to deploy: its number or UUID. For a new revision, name what it
    /// changes instead.
    #[arg(long, conflicts_with = "new_revision", add = names::revisions())]
    revision: Option<String>,
    /// Replace a rollout that is still running.
    ///
    /// Without it, the call fails while another revision is being deployed.
    #[arg(long)]
    supersede: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    spec: SpecChangeArgs,
}

/// What an activation has led to.
struct Activated {
    deployment: Deployment,
    /// A sentence above the output; empty for none.
    headline: String,
    goal: WaitGoal,
}

pub(super) async fn run(args: ActivateArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let ActivateArgs {
        deployment,
        revision,
        supersede,
        change,
        wait,
        spec,
    } = args;
    // clap requires either a revision, or what a new one changes.
    let activated = match revision {
        Some(revision) => {
            deploy_existing(&mut client, deployment, revision, supersede, change).await?
        }
        None => deploy_new(&mut client, &deployment, spec, supersede, change).await?,
    };
    let Activated {
        deployment,
        headline,
        goal,
    } = activated;
    let end = session.wait_if_asked(deployment, &wait, &goal).await?;
    let reply = DeploymentReply {
        message: "Deployment",
        reply: &end.deployment,
        deployment: &end.deployment,
        headline: &headline,
    };
    session.show_reply(&mut client, &reply).await?;
    session.check_end(&mut client, end).await
}

impl Activated {
    fn new(deployment: Deployment, headline: String) -> Self {
        Self {
            goal: WaitGoal::of_activation(&deployment),
            deployment,
            headline,
        }
    }

    /// The rollout of another revision has ended for the one that serves.
    fn given_up(deployment: Deployment) -> Self {
        Self {
            deployment,
            headline: "The current revision is the same: the rollout was given up.".to_owned(),
            // The rollout that ends is another one's.
            goal: WaitGoal::Settled,
        }
    }
}

const SAME_ON_ITS_WAY: &str = "Nothing to do: the same revision is being deployed.";

/// Deploys an existing revision. The one that is on its way is nothing to do; the one that
/// serves takes the place of a rollout by its end.
async fn deploy_existing(
    client: &mut DeploymentClient,
    reference: String,
    revision: String,
    supersede: bool,
    change: ChangeArgs,
) -> Result<Activated, DeploymentError> {
    // A repeat with a request id must be the same request, whatever was seen.
    if change.request_id.is_empty() {
        let seen = read::deployment(client, &reference).await?;
        if give_up::deploys(&seen, &revision) {
            return Ok(Activated::new(seen, SAME_ON_ITS_WAY.to_owned()));
        }
        if supersede && give_up::is_way_back(&seen, Some(&revision)) {
            let aborted = calls::abort(client, seen.id, seen.deploying_revision_id, change);
            let aborted = aborted.await?.ok_or(DeploymentError::EmptyReply)?;
            return Ok(Activated::given_up(aborted));
        }
    }
    let activated = activate(client, reference, revision, supersede, change).await?;
    Ok(Activated::new(activated, String::new()))
}

/// Deploys a new revision: what the flags name, and else what serves.
async fn deploy_new(
    client: &mut DeploymentClient,
    reference: &str,
    flags: SpecChangeArgs,
    supersede: bool,
    change: ChangeArgs,
) -> Result<Activated, DeploymentError> {
    let before = read::deployment(client, reference).await?;
    let serving = serving_spec(client, &before).await?;
    if serving.is_none() && !flags.names_program() {
        return Err(DeploymentError::NothingToRun);
    }
    let only_if_changed = !flags.replace;
    let base = serving.filter(|_| only_if_changed).unwrap_or_default();
    let request = CreateRevisionRequest {
        deployment: before.id.clone(),
        spec: Some(flags.change(base)),
        activate: true,
        expected_generation: expected_generation(&change, &before),
        request_id: change.request_id,
        reason: change.reason,
        supersede,
        only_if_changed,
    };
    let reply = unary(client.create_revision(request)).await?;
    outcome(&before, reply)
}

/// What serves. None before the first revision.
async fn serving_spec(
    client: &mut DeploymentClient,
    deployment: &Deployment,
) -> Result<Option<RevisionSpec>, DeploymentError> {
    match deployment.current_revision_id.as_str() {
        "" => Ok(None),
        current => Ok(read::revision(client, &deployment.id, current).await?.spec),
    }
}

/// The settings that are kept were read at this generation. A repeat with a request id
/// must be the same request, whatever was read.
fn expected_generation(change: &ChangeArgs, read: &Deployment) -> Option<i64> {
    let named = change.expected_generation;
    match change.request_id.as_str() {
        "" => named.or(Some(read.generation)),
        _ => named,
    }
}

/// What the server made of the call: a new revision, or nothing but the end of another
/// rollout, or nothing at all.
fn outcome(
    before: &Deployment,
    reply: CreateRevisionResponse,
) -> Result<Activated, DeploymentError> {
    let deployment = reply.deployment.ok_or(DeploymentError::EmptyReply)?;
    if reply.created {
        return Ok(Activated::new(deployment, String::new()));
    }
    let revision = reply.revision.ok_or(DeploymentError::EmptyReply)?.id;
    let deploying = &before.deploying_revision_id;
    if revision == *deploying {
        Ok(Activated::new(deployment, SAME_ON_ITS_WAY.to_owned()))
    } else if deploying.is_empty() {
        let text = "Nothing to do: the current revision is the same.".to_owned();
        Ok(Activated::new(deployment, text))
    } else {
        Ok(Activated::given_up(deployment))
    }
}

async fn activate(
    client: &mut DeploymentClient,
    deployment: String,
    revision: String,
    supersede: bool,
    change: ChangeArgs,
) -> Result<Deployment, DeploymentError> {
    let request = ActivateRevisionRequest {
        deployment,
        revision,
        supersede,
        request_id: change.request_id,
        expected_generation: change.expected_generation,
        reason: change.reason,
    };
    let reply = unary(client.activate_revision(request)).await?;
    reply.deployment.ok_or(DeploymentError::EmptyReply)
}
