//! `viridian deployment apply`: makes a deployment match a file, in as many calls as it
//! takes.

use std::path::PathBuf;

use clap::Args;
use tonic::Code;
use viridian_client::{CallError, WaitGoal, unary};
use viridian_proto::v1::{
    ActivateRevisionRequest, CreateDeploymentRequest, CreateRevisionRequest, Deployment,
    RevisionSpec, UpdateDeploymentRequest,
};

use super::{
    CliSession, DeploymentError,
    read::{self, DeploymentClient},
    settings::{ChangePlan, DeploymentSettings, PlanAction, PresentSettings},
    wait::WaitArgs,
};

#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// YAML file with the settings, or - for stdin. docs/deployment.yaml shows all
    /// settings.
    ///
    /// A setting that the file leaves out keeps its value, or gets its default in a
    /// new deployment.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Replace a rollout that is still running.
    ///
    /// Without it, a new revision is refused while another one is being deployed.
    #[arg(long)]
    supersede: bool,
    /// Why you make this change. The history of the deployment shows it.
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

/// An existing deployment, and what its newest revision runs.
struct FoundDeployment {
    deployment: Deployment,
    spec: Option<RevisionSpec>,
}

/// The calls of one `apply`.
struct ApplyRun<'a> {
    client: &'a mut DeploymentClient,
    args: &'a ApplyArgs,
    settings: &'a DeploymentSettings,
}

pub(super) async fn run(args: ApplyArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let settings = DeploymentSettings::read(&args.file)?;
    let name = settings.deployment();
    apply(&args, &settings, session)
        .await
        .map_err(|error| error.about(Some(name)))
}

async fn apply(
    args: &ApplyArgs,
    settings: &DeploymentSettings,
    session: &CliSession,
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
    // A new deployment gets its metadata from the file: only an existing one cannot change it.
    if let Some(change) = plan.impossible().filter(|_| found.is_some()) {
        let path = change.path.clone();
        return Err(DeploymentError::Immutable { path });
    }
    // Only now: what cannot be done is an error in a dry run too.
    if args.dry_run {
        return session.show_value(&plan.value(), |style| plan.text(style));
    }
    let mut run = ApplyRun {
        client: &mut client,
        args,
        settings,
    };
    let applied = match (found, present) {
        (Some(found), Some(present)) => run.change(found.deployment, &plan, &present).await?,
        _ => run.create().await?,
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

impl ApplyRun<'_> {
    async fn create(&mut self) -> Result<Deployment, DeploymentError> {
        let request = CreateDeploymentRequest {
            reason: self.args.reason.clone(),
            ..self.settings.creation()
        };
        let reply = unary(self.client.create_deployment(request)).await?;
        reply.deployment.ok_or(DeploymentError::EmptyReply)
    }

    /// Changes the settings first, then the revision.
    async fn change(
        &mut self,
        mut deployment: Deployment,
        plan: &ChangePlan,
        present: &PresentSettings,
    ) -> Result<Deployment, DeploymentError> {
        if plan.changes_settings() {
            let request = UpdateDeploymentRequest {
                deployment: deployment.id.clone(),
                // The plan was made from this generation: if anyone has changed the
                // deployment since, the call is refused.
                expected_generation: Some(deployment.generation),
                reason: self.args.reason.clone(),
                ..self.settings.update(present)?
            };
            let reply = unary(self.client.update_deployment(request)).await?;
            deployment = reply.deployment.ok_or(DeploymentError::EmptyReply)?;
        }
        // After the settings, so that the rollout that begins here goes by the new policy.
        if plan.changes_revision() {
            deployment = self.deploy(deployment).await?;
        }
        Ok(deployment)
    }

    /// Creates the revision of the file, and activates it.
    async fn deploy(&mut self, deployment: Deployment) -> Result<Deployment, DeploymentError> {
        // CreateRevision cannot supersede: then a second call activates the revision.
        let supersede = self.args.supersede && !deployment.deploying_revision_id.is_empty();
        let request = CreateRevisionRequest {
            deployment: deployment.id.clone(),
            // Of the reply to the update, if there was one: that has moved the generation.
            expected_generation: Some(deployment.generation),
            reason: self.args.reason.clone(),
            activate: !supersede,
            ..self.settings.new_revision()
        };
        let reply = unary(self.client.create_revision(request)).await?;
        let deployment = reply.deployment.ok_or(DeploymentError::EmptyReply)?;
        if !supersede {
            return Ok(deployment);
        }
        let request = ActivateRevisionRequest {
            deployment: deployment.id,
            revision: reply.revision.ok_or(DeploymentError::EmptyReply)?.id,
            supersede,
            expected_generation: Some(deployment.generation),
            reason: self.args.reason.clone(),
            ..ActivateRevisionRequest::default()
        };
        let reply = unary(self.client.activate_revision(request)).await?;
        reply.deployment.ok_or(DeploymentError::EmptyReply)
    }
}

/// The deployment of this name. None if there is none.
async fn find(
    client: &mut DeploymentClient,
    name: &str,
) -> Result<Option<FoundDeployment>, DeploymentError> {
    let deployment = match read::deployment(client, name).await {
        Ok(deployment) => deployment,
        Err(DeploymentError::Call(CallError::Refused(status)))
            if status.code() == Code::NotFound =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    // Not the current one during a rollout: a second run of
    // the same file would deploy it once more.
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
