//! `RouteService`.

use std::{collections::HashSet, pin::Pin, time::Duration};

use tokio::{sync::broadcast::error::RecvError, time::sleep};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use viridian_proto::v1::{self, route_service_server::RouteService};
use viridian_store::{Action, OpenAssignments, ReportError, StoreError, Touched};
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

/// The open assignments first, then each new one, woken by commits of this
/// process, by the time when the next STOP may be handed out, or by the slow
/// poll.
fn watch(
    shared: Shared,
    group: String,
) -> impl Stream<Item = Result<v1::WatchAssignmentsResponse, Status>> {
    async_stream::try_stream! {
        // Armed before the first look, so that nothing falls between.
        let mut commits = shared.database().subscribe();
        let mut sent: HashSet<(RouteId, Action)> = HashSet::new();
        let mut quiet = tokio::time::Instant::now();
        loop {
            let looked = shared.database().open_assignments(&group, MAX_OPEN).await;
            let OpenAssignments { open, next } = looked.map_err(|error| store(&error))?;
            let known = open.iter().map(|open| (open.route.view.id, open.action)).collect();
            for open in open {
                if !sent.contains(&(open.route.view.id, open.action)) {
                    yield assigned(open);
                    quiet = tokio::time::Instant::now();
                }
            }
            sent = known;
            let until_next = next.unwrap_or(POLL).min(POLL);
            let stopping = tokio::select! {
                () = shared.stopping() => true,
                () = relevant(&mut commits, &group) => false,
                () = sleep(until_next) => false,
            };
            if stopping {
                Err(shutting_down())?;
            }
            if quiet.elapsed() >= HEARTBEAT {
                yield heartbeat(&shared).await?;
                quiet = tokio::time::Instant::now();
            }
        }
    }
}

/// Resolves when a commit of this process may have new assignments.
async fn relevant(commits: &mut tokio::sync::broadcast::Receiver<Touched>, group: &str) {
    loop {
        match commits.recv().await {
            Ok(touched) if touched.resource_group.as_deref() == Some(group) => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn assigned(open: viridian_store::Assignment) -> v1::WatchAssignmentsResponse {
    let payload = v1::watch_assignments_response::Payload::Assignment(assignment(open));
    v1::WatchAssignmentsResponse {
        payload: Some(payload),
    }
}

async fn heartbeat(shared: &Shared) -> Result<v1::WatchAssignmentsResponse, Status> {
    let now = shared
        .database()
        .now()
        .await
        .map_err(|error| store(&error))?;
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
const MAX_OPEN: u32 = 10_000;
const POLL: Duration = Duration::from_secs(2);
const HEARTBEAT: Duration = Duration::from_secs(15);
