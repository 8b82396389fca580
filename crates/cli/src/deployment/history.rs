//! `viridian deployment history`.

use clap::Args;
use viridian_proto::v1::{ListHistoryRequest, ListHistoryResponse};

use super::{
    CliSession, DeploymentError,
    read::{self, MAX_PAGE_SIZE},
    show,
};

use crate::names;

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    /// Number of entries to show, newest first.
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 20)]
    limit: u32,
    /// Show all entries.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

pub(super) async fn run(args: HistoryArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let mut remaining = if args.all { u32::MAX } else { args.limit };
    let mut all = ListHistoryResponse::default();
    let mut page_token = String::new();
    while remaining > 0 {
        let request = ListHistoryRequest {
            deployment: args.deployment.clone(),
            page_size: i32::try_from(remaining).map_or(MAX_PAGE_SIZE, |it| it.min(MAX_PAGE_SIZE)),
            page_token,
        };
        let page = read::read(client.list_history(request)).await?;
        remaining = remaining.saturating_sub(u32::try_from(page.entries.len()).unwrap_or(u32::MAX));
        all.entries.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    // Scripts can go on from there with the API.
    all.next_page_token = page_token;
    let revisions = read::revision_names(&mut client, &args.deployment).await?;
    session.show_numbered("ListHistoryResponse", &all, &revisions, |style| {
        show::history(&all.entries, &revisions, style)
    })
}
