//! `viridian deployment apply`: what a file says, in as many calls as it takes.

use std::{fs, io, path::PathBuf};

use clap::Args;
use tonic::Code;
use viridian_client::{CallError, WaitGoal, unary};
use viridian_proto::v1::{
    ActivateRevisionRequest, CreateDeploymentRequest, CreateRevisionRequest, Deployment,
    RevisionSpec, UpdateDeploymentRequest,
};

use super::{
    DeploymentError, Session, read,
    session::Client,
    settings::{ChangePlan, DeploymentSettings, PlanAction, PresentSettings},
    wait::WaitArgs,
};

#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// The YAML file, or - for stdin. docs/deployment.yaml has all that it may say.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Change nothing; show what would change.
    #[arg(long)]
    dry_run: bool,
    /// Give up another revision that is being deployed, if there is one.
    #[arg(long)]
    supersede: bool,
    /// Why, for the history.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Why a file says nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: io::Error },
    #[error("{file} is no YAML: {source}")]
    Yaml {
        file: String,
        source: Box<serde_saphyr::Error>,
    },
    #[error("{file} does not say which deployment: it needs project and name")]
    NoName { file: String },
}

/// What is there, and what its newest revision runs.
struct FoundDeployment {
    deployment: Deployment,
    spec: Option<RevisionSpec>,
}

pub(super) async fn run(args: ApplyArgs, session: &Session) -> Result<(), DeploymentError> {
    let settings = settings(&args)?;
    let name = settings.deployment();
    apply(args, &settings, session)
        .await
        .map_err(|error| error.about(Some(name)))
}

async fn apply(
    args: ApplyArgs,
    settings: &DeploymentSettings,
    session: &Session,
) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let found = find(&mut client, &settings.deployment()).await?;
    let present = match &found {
        Some(found) => Some(PresentSettings::new(
            &found.deployment,
            found.spec.as_ref(),
        )?),
        None => None,
    };
    let plan = settings.plan(&settings.deployment(), present.as_ref())?;
    if let Some(change) = plan.impossible().filter(|_| found.is_some()) {
        let path = change.path.clone();
        return Err(DeploymentError::Settled { path });
    }
    if args.dry_run {
        return session.show_value(&plan.value(), |style| plan.text(style));
    }
    let applied = match (found, present) {
        (Some(found), Some(present)) => {
            change(
                &mut client,
                &args,
                settings,
                &plan,
                (found.deployment, present),
            )
            .await?
        }
        _ => create(&mut client, &args, settings).await?,
    };
    let goal = if plan.action == PlanAction::Create || plan.changes_revision() {
        WaitGoal::of_activation
    } else {
        |_: &Deployment| WaitGoal::Settled
    };
    session
        .finish(&mut client, Some(applied), &args.wait, goal)
        .await
}

async fn create(
    client: &mut Client,
    args: &ApplyArgs,
    settings: &DeploymentSettings,
) -> Result<Deployment, DeploymentError> {
    let request = CreateDeploymentRequest {
        reason: args.reason.clone(),
        ..settings.creation()
    };
    let reply = unary(client.create_deployment(request)).await?;
    reply.deployment.ok_or(DeploymentError::EmptyReply)
}

/// Each call is refused if anyone has changed the deployment since the look.
async fn change(
    client: &mut Client,
    args: &ApplyArgs,
    settings: &DeploymentSettings,
    plan: &ChangePlan,
    (mut deployment, present): (Deployment, PresentSettings),
) -> Result<Deployment, DeploymentError> {
    if plan.changes_settings() {
        let request = UpdateDeploymentRequest {
            deployment: deployment.id.clone(),
            expected_generation: Some(deployment.generation),
            reason: args.reason.clone(),
            ..settings.update(&present)
        };
        let reply = unary(client.update_deployment(request)).await?;
        deployment = reply.deployment.ok_or(DeploymentError::EmptyReply)?;
    }
    if plan.changes_revision() {
        deployment = revise(client, args, settings, deployment).await?;
    }
    Ok(deployment)
}

/// Deploys what the file has to run, as a new revision.
async fn revise(
    client: &mut Client,
    args: &ApplyArgs,
    settings: &DeploymentSettings,
    deployment: Deployment,
) -> Result<Deployment, DeploymentError> {
    let supersede = args.supersede && !deployment.deploying_revision_id.is_empty();
    let request = CreateRevisionRequest {
        deployment: deployment.id.clone(),
        expected_generation: Some(deployment.generation),
        reason: args.reason.clone(),
        activate: !supersede,
        ..settings.new_revision()
    };
    let reply = unary(client.create_revision(request)).await?;
    let deployment = reply.deployment.ok_or(DeploymentError::EmptyReply)?;
    if !supersede {
        return Ok(deployment);
    }
    let request = ActivateRevisionRequest {
        deployment: deployment.id,
        revision: reply.revision.ok_or(DeploymentError::EmptyReply)?.id,
        supersede,
        expected_generation: Some(deployment.generation),
        reason: args.reason.clone(),
        ..ActivateRevisionRequest::default()
    };
    let reply = unary(client.activate_revision(request)).await?;
    reply.deployment.ok_or(DeploymentError::EmptyReply)
}

async fn find(client: &mut Client, name: &str) -> Result<Option<FoundDeployment>, DeploymentError> {
    let deployment = match read::deployment(client, name).await {
        Ok(deployment) => deployment,
        Err(DeploymentError::Call(CallError::Refused(status)))
            if status.code() == Code::NotFound =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let newest = match deployment.deploying_revision_id.as_str() {
        "" => &deployment.current_revision_id,
        deploying => deploying,
    };
    let spec = if newest.is_empty() {
        None
    } else {
        read::revision(client, &deployment.id, newest).await?.spec
    };
    Ok(Some(FoundDeployment { deployment, spec }))
}

fn settings(args: &ApplyArgs) -> Result<DeploymentSettings, DeploymentError> {
    let file = args.file.display().to_string();
    let text = match file.as_str() {
        "-" => io::read_to_string(io::stdin()),
        _ => fs::read_to_string(&args.file),
    };
    let text = text.map_err(|source| FileError::Read {
        file: file.clone(),
        source,
    })?;
    let yaml = serde_saphyr::from_str(&text).map_err(|source| FileError::Yaml {
        file: file.clone(),
        source: Box::new(source),
    })?;
    let settings = DeploymentSettings::parse(&yaml)?;
    if !settings.has_name() {
        return Err(FileError::NoName { file }.into());
    }
    Ok(settings)
}
