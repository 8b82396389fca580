//! `viridian deployment drain`.

use clap::Args;
use viridian_client::{WaitGoal, unary};
use viridian_proto::v1::{DrainRouteRequest, ListRoutesRequest, Route, RouteStatus};

use super::{CliSession, DeploymentError, change::ChangeArgs, question, read, wait::WaitArgs};
use crate::names;

#[derive(Debug, Args)]
pub(super) struct DrainArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    /// The route: its UUID, or a part of its beginning or end that no other route has.
    ///
    /// `routes` and the live view show it.
    #[arg(add = names::routes())]
    route: String,
    /// Do not ask for confirmation. Without a terminal there is no question.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(args: DrainArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let request = ListRoutesRequest {
        deployment: args.deployment.clone(),
        statuses: [RouteStatus::Provisioning, RouteStatus::Running]
            .map(i32::from)
            .to_vec(),
        ..ListRoutesRequest::default()
    };
    let routes = read::routes(&mut client, request).await?;
    let route = named(&routes, &args.route, &args.deployment)?;
    if !args.yes && question::can_ask() {
        question::ask(&format!(
            "Drain route {} of {}? A new one takes its place first.",
            route.id, args.deployment
        ))?;
    }
    let request = DrainRouteRequest {
        route_id: route.id.clone(),
        request_id: args.change.request_id,
        expected_generation: args.change.expected_generation,
        reason: args.change.reason,
    };
    let drained = unary(client.drain_route(request)).await?.deployment;
    session
        .finish(&mut client, drained, &args.wait, |_| WaitGoal::Settled)
        .await
}

/// The one route whose id begins or ends with this text, or, as narrow tables show it, has
/// these two parts around an ellipsis.
fn named<'a>(
    routes: &'a [Route],
    text: &str,
    deployment: &str,
) -> Result<&'a Route, DeploymentError> {
    let matches = |id: &str| match text.split_once('…') {
        Some((head, tail)) => id.starts_with(head) && id.ends_with(tail),
        None => id.starts_with(text) || id.ends_with(text),
    };
    let exact = routes.iter().find(|it| it.id == text);
    let mut found = routes.iter().filter(|it| matches(&it.id));
    match (exact, found.next(), found.next()) {
        (Some(route), ..) | (None, Some(route), None) => Ok(route),
        (None, found, _) => Err(DeploymentError::RouteNotFound {
            route: text.to_owned(),
            deployment: deployment.to_owned(),
            is_ambiguous: found.is_some(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_named_by_what_tells_it_from_others() {
        let route = |id: &str| Route {
            id: id.to_owned(),
            ..Route::default()
        };
        let routes = [
            route("01a2-11-aa"),
            route("01a2-22-ab"),
            route("01a2-33-bb"),
        ];
        let find = |text: &str| named(&routes, text, "a/b").map(|it| it.id.as_str());
        for text in ["01a2-22-ab", "ab", "01a2-22", "01…ab"] {
            assert_eq!(find(text).ok(), Some("01a2-22-ab"), "{text}");
        }
        for (text, says) in [("01a2", "more than one route"), ("zz", "no live route")] {
            let error = find(text).expect_err(text).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
