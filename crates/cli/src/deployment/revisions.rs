//! `viridian deployment revisions`.

use clap::Args;
use viridian_proto::v1::ListRevisionsResponse;

use super::{CliSession, DeploymentError, read, show};

use crate::names;

#[derive(Debug, Args)]
pub(super) struct RevisionsArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
}

pub(super) async fn run(args: RevisionsArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let revisions = read::revisions(&mut client, &args.deployment).await?;
    let deployment = read::deployment(&mut client, &args.deployment).await?;
    let all = ListRevisionsResponse {
        revisions,
        next_page_token: String::new(),
    };
    session.show("ListRevisionsResponse", &all, |style| {
        show::revisions(&deployment, &all.revisions, style)
    })
}
