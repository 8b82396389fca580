//! `viridian deployment export`.

use clap::Args;
use viridian_proto::v1::DeploymentSubStep;

use super::{CliSession, DeploymentError, read, session, settings};
use crate::output::{self, OutputFormat};

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    pub(super) deployment: String,
}

pub(super) async fn run(args: ExportArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let deployment = read::deployment(&mut client, &args.deployment).await?;
    // The one that `apply` compares a file with.
    let is_going_back = deployment.sub_step() == DeploymentSubStep::RollingBack;
    let newest = match deployment.deploying_revision_id.as_str() {
        deploying if deploying.is_empty() || is_going_back => &deployment.current_revision_id,
        deploying => deploying,
    };
    let spec = if newest.is_empty() {
        None
    } else {
        read::revision(&mut client, &deployment.id, newest)
            .await?
            .spec
    };
    let manifest = settings::manifest(&deployment, spec.as_ref())?;
    let format = match session.format {
        OutputFormat::Json => OutputFormat::Json,
        // A file has no other form.
        OutputFormat::Yaml | OutputFormat::Table => OutputFormat::Yaml,
    };
    session::write(&output::value(format, &manifest)?.unwrap_or_default())
}
