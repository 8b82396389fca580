//! `viridian deployment list`.

use clap::Args;
use viridian_proto::v1::{DeploymentLifecycle, ListDeploymentsRequest, ListDeploymentsResponse};

use super::{
    DeploymentError, Session,
    read::{PAGE_SIZE, every_page},
    show,
};
use crate::{client::answer, names};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those of this project.
    #[arg(long)]
    project: Option<String>,
    /// Only those in this lifecycle, like deploying; may be repeated [default: all
    /// but destroyed].
    #[arg(long = "lifecycle", value_name = "LIFECYCLE", value_parser = names::parse_lifecycle)]
    lifecycles: Vec<DeploymentLifecycle>,
    /// Only those whose labels match: a=b,c!=d,e in (f,g),!h
    #[arg(long)]
    selector: Option<String>,
}

pub(super) async fn run(args: ListArgs, session: &Session) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let request = ListDeploymentsRequest {
        project: args.project.unwrap_or_default(),
        lifecycles: args.lifecycles.iter().map(|&it| it.into()).collect(),
        label_selector: args.selector.unwrap_or_default(),
        page_size: PAGE_SIZE,
        ..ListDeploymentsRequest::default()
    };
    let deployments = every_page(async |page_token| {
        let request = ListDeploymentsRequest {
            page_token,
            ..request.clone()
        };
        let page = answer(client.list_deployments(request)).await?;
        Ok((page.deployments, page.next_page_token))
    })
    .await?;
    let all = ListDeploymentsResponse {
        deployments,
        next_page_token: String::new(),
    };
    session.show("ListDeploymentsResponse", &all, |look| {
        show::many(&all.deployments, look)
    })
}
