//! `RouteService`.

use std::{collections::HashSet, pin::Pin};

use tokio::time::{Instant, sleep_until};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use viridian_proto::v1::{self, route_service_server::RouteService};
use viridian_store::{Action, ReportError, StoreError};
use viridian_strategy::RouteId;

use crate::{
    convert::{
        Violations,
        deployment::parse_resource_group,
        route::{assignment, parse_healths, parse_statuses, result},
        time::timestamp,
    },
    error::{shutting_down, store},
    state::Shared,
    watches::HEARTBEAT,
};

/// `RouteService`, on a database.
pub(crate) struct Routes(pub(crate) Shared);

type Assignments = Pin<Box<dyn Stream<Item = Result<v1::WatchAssignmentsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl RouteService for Routes {
    async fn list_assignments(
        &self,
        request: Request<v1::ListAssignmentsRequest>,
    ) -> Result<Response<v1::ListAssignmentsResponse>, Status> {
        let message = request.into_inner();
        let mut violations = Violations::default();
        let size = match message.page_size {
            0 => DEFAULT_SIZE,
            size => violations.within("page_size", size, 1, MAX_SIZE),
        };
        let group = parse_resource_group(message.resource_group, &mut violations);
        violations.finish()?;
        let open = self.0.database().open_assignments(&group, size).await;
        let open = open.map_err(|error| store(&error))?.open;
        let assignments = open.into_iter().map(assignment).collect();
        Ok(Response::new(v1::ListAssignmentsResponse { assignments }))
    }

    type WatchAssignmentsStream = Assignments;

    async fn watch_assignments(
        &self,
        request: Request<v1::WatchAssignmentsRequest>,
    ) -> Result<Response<Assignments>, Status> {
        let mut violations = Violations::default();
        let group = parse_resource_group(request.into_inner().resource_group, &mut violations);
        violations.finish()?;
        Ok(Response::new(Box::pin(watch(self.0.clone(), group))))
    }

    async fn report_route_statuses(
        &self,
        request: Request<v1::ReportRouteStatusesRequest>,
    ) -> Result<Response<v1::ReportRouteStatusesResponse>, Status> {
        let message = request.into_inner();
        let mut violations = Violations::default();
        let reports = parse_statuses(&message.reports, &mut violations);
        violations.finish()?;
        let outcomes = self.0.database().report_statuses(reports).await;
        let ids = message.reports.into_iter().map(|report| report.route_id);
        let results = results(ids, outcomes)?;
        Ok(Response::new(v1::ReportRouteStatusesResponse { results }))
    }

    async fn report_route_health(
        &self,
        request: Request<v1::ReportRouteHealthRequest>,
    ) -> Result<Response<v1::ReportRouteHealthResponse>, Status> {
        let message = request.into_inner();
        let mut violations = Violations::default();
        let reports = parse_healths(&message.reports, &mut violations);
        violations.finish()?;
        let outcomes = self.0.database().report_health(reports).await;
        let ids = message.reports.into_iter().map(|report| report.route_id);
        let results = results(ids, outcomes)?;
        Ok(Response::new(v1::ReportRouteHealthResponse { results }))
    }
}

/// One result a report, in their order.
fn results(
    ids: impl Iterator<Item = String>,
    outcomes: Result<Vec<Result<(), ReportError>>, StoreError>,
) -> Result<Vec<v1::ReportResult>, Status> {
    let outcomes = outcomes.map_err(|error| store(&error))?;
    Ok(ids
        .zip(outcomes)
        .map(|(id, outcome)| result(id, outcome))
        .collect())
}

/// The open assignments first, then each new one.
fn watch(
    shared: Shared,
    group: String,
) -> impl Stream<Item = Result<v1::WatchAssignmentsResponse, Status>> {
    async_stream::try_stream! {
        let mut feed = shared.watches().assignments.subscribe(&group);
        let mut sent: HashSet<(RouteId, Action)> = HashSet::new();
        let mut quiet = Instant::now();
        loop {
            let woken = tokio::select! {
                () = shared.stopping() => Err(shutting_down()),
                open = feed.next() => Ok(Some(open)),
                () = sleep_until(quiet + HEARTBEAT) => Ok(None),
            };
            let Some(open) = woken? else {
                yield heartbeat(&shared).await?;
                quiet = Instant::now();
                continue;
            };
            for new in open.assignments.iter().filter(|it| !sent.contains(&it.key)) {
                yield assigned(new.message.clone());
                quiet = Instant::now();
            }
            sent = open.assignments.iter().map(|it| it.key).collect();
        }
    }
}

fn assigned(assignment: v1::Assignment) -> v1::WatchAssignmentsResponse {
    let payload = v1::watch_assignments_response::Payload::Assignment(assignment);
    v1::WatchAssignmentsResponse {
        payload: Some(payload),
    }
}

async fn heartbeat(shared: &Shared) -> Result<v1::WatchAssignmentsResponse, Status> {
    let now = shared.watches().clock.now().await;
    let now = now.map_err(|error| store(&error))?;
    let heartbeat = v1::AssignmentHeartbeat {
        time: Some(timestamp(now)),
    };
    let payload = v1::watch_assignments_response::Payload::Heartbeat(heartbeat);
    Ok(v1::WatchAssignmentsResponse {
        payload: Some(payload),
    })
}

const DEFAULT_SIZE: u32 = 100;
const MAX_SIZE: u32 = 500;
