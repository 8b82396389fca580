//! A scripted server: it hands out the assignments of a test, applies reports by the
//! rules of the contract, and records them.

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};
use viridian_proto::v1::{
    Assignment, AssignmentAction, HealthCheck, ListAssignmentsRequest, ListAssignmentsResponse,
    ReportResult, ReportRouteHealthRequest, ReportRouteHealthResponse, ReportRouteStatusesRequest,
    ReportRouteStatusesResponse, Revision, RevisionSpec, Route, RouteHealthStatus,
    RouteServiceListRoutesRequest, RouteServiceListRoutesResponse, RouteStatus, RouteStatusReport,
    WatchAssignmentsRequest, WatchAssignmentsResponse, WatchRoutesRequest, WatchRoutesResponse,
    route_service_server::{RouteService, RouteServiceServer},
    watch_assignments_response::Payload,
};

use crate::support::WAIT_TIMEOUT;

/// The server. Its state survives [`ScriptedServer::kill`].
pub(crate) struct ScriptedServer {
    script: ServerScript,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

/// A route id. A call with a report about it is refused as a whole.
pub(crate) const MALFORMED: &str = "malformed";

/// A report that the server applied.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ReceivedReport {
    Status(RouteStatusReport),
    Health(String, RouteHealthStatus),
}

impl ReceivedReport {
    fn route_id(&self) -> &str {
        match self {
            Self::Status(report) => &report.route_id,
            Self::Health(route_id, _) => route_id,
        }
    }
}

impl ScriptedServer {
    pub(crate) async fn start() -> Self {
        let mut server = Self {
            script: ServerScript::default(),
            // Routes listen on 127.0.0.1. On the same address one could take the port of
            // the server while it is away.
            address: (Ipv4Addr::new(127, 0, 0, 2), 0).into(),
            runtime: None,
        };
        server.resume().await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts all connections, and refuses new ones.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Serves again, at the same address.
    pub(crate) async fn resume(&mut self) {
        let runtime = Runtime::new().expect("a runtime");
        let (script, address) = (self.script.clone(), self.address);
        self.address = runtime
            .spawn(async move {
                let listener = listen(address).await;
                let address = listener.local_addr().expect("an address");
                let service = RouteServiceServer::new(script);
                let serving = Server::builder()
                    .add_service(service)
                    .serve_with_incoming(TcpListenerStream::new(listener));
                tokio::spawn(serving);
                address
            })
            .await
            .expect("it listens");
        self.runtime = Some(runtime);
    }

    /// Assigns the start of a route.
    pub(crate) fn assign_start(&self, route_id: &str, command: &[&str]) {
        let millis = |millis: i32| prost_types::Duration {
            seconds: 0,
            nanos: millis * 1_000_000,
        };
        self.assign(Assignment {
            action: AssignmentAction::Start.into(),
            route: Some(Route {
                id: route_id.into(),
                ..Default::default()
            }),
            revision: Some(Revision {
                number: 7,
                spec: Some(RevisionSpec {
                    command: command.iter().map(|&arg| arg.into()).collect(),
                    environ: BTreeMap::from([("GREETING".into(), "hello".into())]),
                    health_check: Some(HealthCheck {
                        interval: Some(millis(20)),
                        ..Default::default()
                    }),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            deployment: None,
            secret_environ: BTreeMap::from([("PASSWORD".into(), "s3cret".into())]),
        });
    }

    /// Assigns the end of a route.
    pub(crate) fn assign_stop(&self, route_id: &str) {
        self.script.change(|state| {
            state
                .statuses
                .insert(route_id.into(), RouteStatus::Terminating);
        });
        self.assign(Assignment {
            action: AssignmentAction::Stop.into(),
            route: Some(Route {
                id: route_id.into(),
                ..Default::default()
            }),
            revision: None,
            deployment: None,
            secret_environ: BTreeMap::new(),
        });
    }

    fn assign(&self, assignment: Assignment) {
        self.script.change(|state| state.open.push(assignment));
    }

    /// Waits for a report, and removes it and all earlier ones of the same route.
    pub(crate) async fn expect(
        &self,
        what: &str,
        is_it: impl Fn(&ReceivedReport) -> bool,
    ) -> ReceivedReport {
        let mut changes = self.script.0.changes.subscribe();
        let found = timeout(WAIT_TIMEOUT, async {
            loop {
                changes.borrow_and_update();
                let found = self.script.take(&is_it);
                if let Some(seen) = found {
                    return seen;
                }
                changes.changed().await.expect("the script lives");
            }
        });
        found
            .await
            .unwrap_or_else(|_| panic!("no {what} among {:?}", self.reports()))
    }

    /// Waits for a status of a route.
    pub(crate) async fn expect_status(
        &self,
        route_id: &str,
        status: RouteStatus,
    ) -> RouteStatusReport {
        let what = format!("{} of {route_id}", status.as_str_name());
        let is_it = |seen: &ReceivedReport| matches!(seen, ReceivedReport::Status(report) if report.route_id == route_id && report.status() == status);
        match self.expect(&what, is_it).await {
            ReceivedReport::Status(report) => report,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the health of a route.
    pub(crate) async fn expect_health(&self, route_id: &str, health: RouteHealthStatus) {
        let expected = ReceivedReport::Health(route_id.into(), health);
        let what = format!("{} of {route_id}", health.as_str_name());
        self.expect(&what, |seen| *seen == expected).await;
    }

    /// Returns the reports that were not removed yet.
    pub(crate) fn reports(&self) -> Vec<ReceivedReport> {
        self.script.0.state.lock().expect("no panic").seen.clone()
    }

    /// Asserts that no report was refused so far.
    pub(crate) fn assert_none_refused(&self) {
        let state = self.script.0.state.lock().expect("no panic");
        assert_eq!(state.refused, [""; 0]);
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.kill();
    }
}

#[derive(Clone, Default)]
struct ServerScript(Arc<ScriptShared>);

struct ScriptShared {
    state: Mutex<ScriptState>,
    changes: watch::Sender<()>,
}

impl Default for ScriptShared {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changes: watch::Sender::new(()),
        }
    }
}

#[derive(Default)]
struct ScriptState {
    open: Vec<Assignment>,
    statuses: HashMap<String, RouteStatus>,
    seen: Vec<ReceivedReport>,
    refused: Vec<String>,
}

impl ServerScript {
    fn change<T>(&self, change: impl FnOnce(&mut ScriptState) -> T) -> T {
        let result = change(&mut self.0.state.lock().expect("no panic"));
        self.0.changes.send_replace(());
        result
    }

    fn open(&self) -> Vec<Assignment> {
        self.0.state.lock().expect("no panic").open.clone()
    }

    fn take(&self, is_it: impl Fn(&ReceivedReport) -> bool) -> Option<ReceivedReport> {
        let mut state = self.0.state.lock().expect("no panic");
        let position = state.seen.iter().position(is_it)?;
        let found = state.seen.remove(position);
        let mut index = 0;
        state.seen.retain(|seen| {
            index += 1;
            index > position || seen.route_id() != found.route_id()
        });
        Some(found)
    }
}

impl ScriptState {
    fn apply(&mut self, report: &RouteStatusReport) -> Result<(), String> {
        let from = self
            .statuses
            .get(&report.route_id)
            .copied()
            .unwrap_or(RouteStatus::Provisioning);
        let to = report.status();
        let legal = from == to
            || matches!(
                (from, to),
                (
                    RouteStatus::Provisioning,
                    RouteStatus::Running | RouteStatus::FailedToStart
                ) | (
                    RouteStatus::Running | RouteStatus::Terminating,
                    RouteStatus::Terminated
                )
            );
        if !legal {
            let (from, to) = (from.as_str_name(), to.as_str_name());
            return Err(format!("{from} to {to}"));
        }
        self.statuses.insert(report.route_id.clone(), to);
        self.open.retain(|open| {
            open.route
                .as_ref()
                .is_none_or(|route| route.id != report.route_id)
        });
        Ok(())
    }

    fn result(
        &mut self,
        route_id: String,
        outcome: Result<ReceivedReport, String>,
    ) -> ReportResult {
        let (applied, error) = match outcome {
            Ok(seen) => {
                self.seen.push(seen);
                (true, String::new())
            }
            Err(error) => {
                self.refused.push(format!("{route_id}: {error}"));
                (false, error)
            }
        };
        ReportResult {
            route_id,
            applied,
            error,
            retry: false,
        }
    }
}

/// Waits until a killed server has released the address.
async fn listen(address: SocketAddr) -> TcpListener {
    let begun = Instant::now();
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => assert!(begun.elapsed() < WAIT_TIMEOUT, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tonic::async_trait]
impl RouteService for ServerScript {
    type WatchAssignmentsStream = ReceiverStream<Result<WatchAssignmentsResponse, Status>>;

    async fn list_assignments(
        &self,
        _: Request<ListAssignmentsRequest>,
    ) -> Result<Response<ListAssignmentsResponse>, Status> {
        Err(Status::unimplemented("the agent watches"))
    }

    async fn list_routes(
        &self,
        _: Request<RouteServiceListRoutesRequest>,
    ) -> Result<Response<RouteServiceListRoutesResponse>, Status> {
        Err(Status::unimplemented("the agent has its own routes"))
    }

    type WatchRoutesStream = ReceiverStream<Result<WatchRoutesResponse, Status>>;

    async fn watch_routes(
        &self,
        _: Request<WatchRoutesRequest>,
    ) -> Result<Response<Self::WatchRoutesStream>, Status> {
        Err(Status::unimplemented("the agent has its own routes"))
    }

    /// Sends all open assignments at each change: an agent must tolerate repeats.
    async fn watch_assignments(
        &self,
        request: Request<WatchAssignmentsRequest>,
    ) -> Result<Response<Self::WatchAssignmentsStream>, Status> {
        assert_eq!(request.into_inner().resource_group, "default");
        let script = self.clone();
        let mut changes = self.0.changes.subscribe();
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            loop {
                changes.borrow_and_update();
                for open in script.open() {
                    let payload = Some(Payload::Assignment(open));
                    let message = WatchAssignmentsResponse { payload };
                    if sender.send(Ok(message)).await.is_err() {
                        return;
                    }
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn report_route_statuses(
        &self,
        request: Request<ReportRouteStatusesRequest>,
    ) -> Result<Response<ReportRouteStatusesResponse>, Status> {
        let reports = request.into_inner().reports;
        if reports.iter().any(|report| report.route_id == MALFORMED) {
            return Err(Status::invalid_argument("route_id: not a UUID"));
        }
        let results = self.change(|state| {
            reports
                .into_iter()
                .map(|report| {
                    let outcome = state.apply(&report);
                    let route_id = report.route_id.clone();
                    state.result(route_id, outcome.map(|()| ReceivedReport::Status(report)))
                })
                .collect()
        });
        Ok(Response::new(ReportRouteStatusesResponse { results }))
    }

    async fn report_route_health(
        &self,
        request: Request<ReportRouteHealthRequest>,
    ) -> Result<Response<ReportRouteHealthResponse>, Status> {
        let reports = request.into_inner().reports;
        let results = self.change(|state| {
            reports
                .into_iter()
                .map(|report| {
                    let known = state.statuses.contains_key(&report.route_id);
                    let health = report.health();
                    let route_id = report.route_id;
                    let seen = ReceivedReport::Health(route_id.clone(), health);
                    state.result(route_id, known.then_some(seen).ok_or("unknown".into()))
                })
                .collect()
        });
        Ok(Response::new(ReportRouteHealthResponse { results }))
    }
}
