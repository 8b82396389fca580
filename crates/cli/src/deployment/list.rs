//! `viridian deployment list`.

use clap::Args;
use viridian_proto::v1::{Deployment, ListDeploymentsRequest, ListDeploymentsResponse};

use super::{Client, DeploymentError, connect, show, write};
use crate::{
    client::{CallError, answer},
    output::{self, Format},
    server::ServerArgs,
};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those of this project.
    #[arg(long)]
    project: Option<String>,
    /// Only those whose labels match: a=b,c!=d,e in (f,g),!h
    #[arg(long)]
    selector: Option<String>,
}

pub(super) async fn run(
    args: ListArgs,
    server: &ServerArgs,
    format: Format,
) -> Result<(), DeploymentError> {
    let deployments = every_page(&mut connect(server).await?, args).await?;
    write(&match format {
        Format::Table => show::many(&deployments),
        Format::Json => output::json(
            "ListDeploymentsResponse",
            &ListDeploymentsResponse {
                deployments,
                next_page_token: String::new(),
            },
        )?,
    })
}

async fn every_page(client: &mut Client, args: ListArgs) -> Result<Vec<Deployment>, CallError> {
    let mut request = ListDeploymentsRequest {
        project: args.project.unwrap_or_default(),
        label_selector: args.selector.unwrap_or_default(),
        page_size: PAGE_SIZE,
        ..ListDeploymentsRequest::default()
    };
    let mut deployments = Vec::new();
    loop {
        let page = answer(client.list_deployments(request.clone())).await?;
        deployments.extend(page.deployments);
        if page.next_page_token.is_empty() {
            return Ok(deployments);
        }
        request.page_token = page.next_page_token;
    }
}

/// Small enough that a page of deployments with many labels fits into one gRPC
/// message of 4 MiB.
const PAGE_SIZE: i32 = 200;
