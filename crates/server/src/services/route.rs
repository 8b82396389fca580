//! `RouteService`.

mod hand_out;

use std::pin::{Pin, pin};

use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use viridian_proto::v1::{
    self, route_service_server::RouteService, watch_assignments_response::Payload,
};
use viridian_store::{ReportError, StoreError};
use viridian_strategy::RouteId;

use self::hand_out::hand_out;
use crate::{
    convert::{
        Violations,
        deployment::parse_resource_group,
        route::{parse_healths, parse_statuses, result},
    },
    error::store,
    paging::PageRequest,
    scope::Scope,
    services::{
        group_routes::{self, RouteStream},
        pacing::{StreamPacer, StreamTurn},
    },
    state::ServerState,
};

/// `RouteService`, on a database.
pub(crate) struct RouteApi(pub(crate) ServerState);

type AssignmentStream =
    Pin<Box<dyn Stream<Item = Result<v1::WatchAssignmentsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl RouteService for RouteApi {
    async fn list_assignments(
        &self,
        request: Request<v1::ListAssignmentsRequest>,
    ) -> Result<Response<v1::ListAssignmentsResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        let mut violations = Violations::default();
        let group = parse_resource_group(message.resource_group, &mut violations);
        let page = PageRequest::parse(
            message.page_size,
            &message.page_token,
            &["assignments", &group],
            scope.seal(),
            &mut violations,
        );
        violations.finish()?;
        scope.check_resource_group(&group)?;
        let mut page = page.builder();
        while let Some((after, limit)) = page.next_chunk() {
            let projects = scope.projects().clone();
            let open = scope
                .database()
                .list_assignments(&group, projects, after, limit);
            let open = open.await.map_err(|error| store(&error))?;
            let positions: Vec<_> = open.iter().map(|it| it.position()).collect();
            let ready = hand_out(&scope, &open).await?;
            page.extend_with(positions.into_iter().zip(ready));
        }
        let (assignments, next_page_token) = page.finish();
        Ok(Response::new(v1::ListAssignmentsResponse {
            assignments,
            next_page_token,
        }))
    }

    type WatchAssignmentsStream = AssignmentStream;

    async fn watch_assignments(
        &self,
        request: Request<v1::WatchAssignmentsRequest>,
    ) -> Result<Response<AssignmentStream>, Status> {
        let (scope, message) = self.0.open(request)?;
        let mut violations = Violations::default();
        let group = parse_resource_group(message.resource_group, &mut violations);
        violations.finish()?;
        scope.check_resource_group(&group)?;
        Ok(Response::new(Box::pin(watch(scope, &group))))
    }

    async fn list_routes(
        &self,
        request: Request<v1::RouteServiceListRoutesRequest>,
    ) -> Result<Response<v1::RouteServiceListRoutesResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        group_routes::list(&scope, message).await.map(Response::new)
    }

    type WatchRoutesStream = RouteStream;

    async fn watch_routes(
        &self,
        request: Request<v1::WatchRoutesRequest>,
    ) -> Result<Response<RouteStream>, Status> {
        let (scope, message) = self.0.open(request)?;
        let watch = group_routes::watch(&scope, message).await;
        watch.map(Response::new)
    }

    async fn report_route_statuses(
        &self,
        request: Request<v1::ReportRouteStatusesRequest>,
    ) -> Result<Response<v1::ReportRouteStatusesResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        let mut violations = Violations::default();
        let reports = parse_statuses(&message.reports, &mut violations);
        violations.finish()?;
        let (reports, refused) = split(&scope, reports, |report| report.route).await?;
        let outcomes = scope.database().report_statuses(reports).await;
        let ids = message.reports.into_iter().map(|report| report.route_id);
        let results = results(ids, refused, outcomes)?;
        Ok(Response::new(v1::ReportRouteStatusesResponse { results }))
    }

    async fn report_route_health(
        &self,
        request: Request<v1::ReportRouteHealthRequest>,
    ) -> Result<Response<v1::ReportRouteHealthResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        let mut violations = Violations::default();
        let reports = parse_healths(&message.reports, &mut violations);
        violations.finish()?;
        let (reports, refused) = split(&scope, reports, |report| report.route).await?;
        let outcomes = scope.database().report_health(reports).await;
        let ids = message.reports.into_iter().map(|report| report.route_id);
        let results = results(ids, refused, outcomes)?;
        Ok(Response::new(v1::ReportRouteHealthResponse { results }))
    }
}

type ReportOutcomes = Result<Vec<Result<(), ReportError>>, StoreError>;

/// Splits off the reports on routes that are not the caller's, each with its place among
/// all. Of another project there are no routes to the caller.
async fn split<R>(
    scope: &Scope,
    reports: Vec<R>,
    route: impl Fn(&R) -> RouteId,
) -> Result<(Vec<R>, Vec<(usize, ReportError)>), Status> {
    let ids: Vec<RouteId> = reports.iter().map(route).collect();
    let hidden = scope.hidden_routes(&ids).await?;
    let foreign = scope.foreign_routes(&ids).await?;
    let refusal = |id: RouteId| {
        if hidden.contains(&id) {
            return Some(ReportError::UnknownRoute(id));
        }
        foreign.contains(&id).then_some(ReportError::OtherGroup(id))
    };
    let own = reports.into_iter().zip(&ids);
    let own = own.filter(|(_, id)| refusal(**id).is_none());
    let own = own.map(|(report, _)| report).collect();
    let places = ids.iter().copied().enumerate();
    let refused = places.filter_map(|(place, id)| Some((place, refusal(id)?)));
    Ok((own, refused.collect()))
}

/// One result a report, in their order.
fn results(
    ids: impl Iterator<Item = String>,
    refused: Vec<(usize, ReportError)>,
    outcomes: ReportOutcomes,
) -> Result<Vec<v1::ReportResult>, Status> {
    let mut outcomes = outcomes.map_err(|error| store(&error))?;
    // In ascending order, so that each insertion moves the later ones to their place.
    for (place, error) in refused {
        outcomes.insert(place, Err(error));
    }
    Ok(ids
        .zip(outcomes)
        .map(|(id, outcome)| result(id, outcome))
        .collect())
}

/// The open assignments first, then each new one.
fn watch(
    scope: Scope,
    group: &str,
) -> impl Stream<Item = Result<v1::WatchAssignmentsResponse, Status>> + use<> {
    let mut watch = scope.feeds().assignments().watch(group, scope.projects());
    async_stream::try_stream! {
        let mut pacer = StreamPacer::new(scope.clone());
        loop {
            let mut next = pin!(watch.next());
            let assignments = loop {
                match pacer.next(next.as_mut()).await? {
                    StreamTurn::Ready(assignments) => break assignments,
                    StreamTurn::Heartbeat(time) => yield heartbeat(time),
                }
            };
            // As they are taken, and a few at once: what a route runs may have 64 KiB, and its
            // secrets more.
            for part in assignments.chunks(MAX_HANDED_OUT) {
                for new in hand_out(&scope, part).await?.into_iter().flatten() {
                    yield response(Payload::Assignment(new));
                    pacer.note_sent();
                }
            }
        }
    }
}

fn heartbeat(time: prost_types::Timestamp) -> v1::WatchAssignmentsResponse {
    response(Payload::Heartbeat(v1::AssignmentHeartbeat {
        time: Some(time),
    }))
}

fn response(payload: Payload) -> v1::WatchAssignmentsResponse {
    v1::WatchAssignmentsResponse {
        payload: Some(payload),
    }
}

/// How many assignments are made ready at once.
const MAX_HANDED_OUT: usize = 4;
