use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use tokio::task::JoinHandle;
use tonic::Status;
use viridian_proto::v1::{
    Assignment, AssignmentAction, ReportResult, RouteHealthReport, RouteHealthStatus, RouteStatus,
    RouteStatusReport, WatchAssignmentsRequest, watch_assignments_response::Payload,
};

use super::{Api, eventually};

/// What the scheduler does with a route that is to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouteBehavior {
    /// Nothing: the route stays PROVISIONING.
    Pending,
    /// It reports FAILED_TO_START.
    FailsToStart,
    /// It reports RUNNING, and this health.
    Runs(RouteHealthStatus),
}

/// A scheduler and health checker without processes. It reports every route to start by
/// a script, and every route to stop as TERMINATED at once.
pub(crate) struct ScriptedScheduler {
    state: Arc<Mutex<SchedulerState>>,
    worker: JoinHandle<()>,
}

#[derive(Default)]
struct SchedulerState {
    /// By revision number. The last one stays; without any, routes become HEALTHY.
    behaviors: HashMap<i64, VecDeque<RouteBehavior>>,
    /// When the assignment to stop a route came.
    stops: HashMap<String, Instant>,
}

impl ScriptedScheduler {
    /// Takes the assignments of a resource group.
    pub(crate) fn start(api: &Api, group: &str) -> Self {
        let state = Arc::default();
        let worker = work(api.clone(), group.to_owned(), Arc::clone(&state));
        Self {
            state,
            worker: tokio::spawn(async move {
                // It ends with the server. A test that still needs it fails.
                let _: Result<(), Status> = worker.await;
            }),
        }
    }

    /// Scripts the routes of a revision, one after the other. The last behavior applies
    /// to all further routes.
    pub(crate) fn plan(&self, revision: i64, behaviors: impl IntoIterator<Item = RouteBehavior>) {
        lock(&self.state)
            .behaviors
            .insert(revision, behaviors.into_iter().collect());
    }

    /// Returns when the assignment to stop a route came, if it did.
    pub(crate) fn stop_of(&self, route_id: &str) -> Option<Instant> {
        lock(&self.state).stops.get(route_id).copied()
    }

    /// Waits for the assignment to stop a route.
    pub(crate) async fn stopped(&self, route_id: &str) -> Instant {
        eventually(format_args!("STOP for {route_id}"), async || {
            self.stop_of(route_id)
        })
        .await
    }
}

impl Drop for ScriptedScheduler {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

async fn work(api: Api, group: String, state: Arc<Mutex<SchedulerState>>) -> Result<(), Status> {
    let request = WatchAssignmentsRequest {
        resource_group: group,
    };
    let mut stream = api.routes().watch_assignments(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        if let Some(Payload::Assignment(assignment)) = message.payload {
            carry_out(&api, &state, assignment).await?;
        }
    }
    Ok(())
}

async fn carry_out(
    api: &Api,
    state: &Mutex<SchedulerState>,
    assignment: Assignment,
) -> Result<(), Status> {
    let action = assignment.action();
    let route = assignment.route.expect("an assignment is about a route");
    let revision = assignment.revision.expect("a route has a revision");
    let mut report = RouteStatusReport {
        route_id: route.id.clone(),
        ..RouteStatusReport::default()
    };
    if action == AssignmentAction::Stop {
        lock(state)
            .stops
            .entry(route.id)
            .or_insert_with(Instant::now);
        report.set_status(RouteStatus::Terminated);
        return api.report(vec![report]).await.map(applied);
    }
    let behavior = lock(state).next_fate(revision.number);
    match behavior {
        RouteBehavior::Pending => Ok(()),
        RouteBehavior::FailsToStart => {
            report.set_status(RouteStatus::FailedToStart);
            report.failure = "no such image".to_owned();
            api.report(vec![report]).await.map(applied)
        }
        RouteBehavior::Runs(health) => {
            report.set_status(RouteStatus::Running);
            report.session_id = format!("session-{}", route.id);
            report.address = next_address();
            api.report(vec![report]).await.map(applied)?;
            let seen = RouteHealthReport {
                route_id: route.id,
                health: health.into(),
                ..RouteHealthReport::default()
            };
            api.report_health(vec![seen]).await.map(applied)
        }
    }
}

impl SchedulerState {
    fn next_fate(&mut self, revision: i64) -> RouteBehavior {
        let healthy = RouteBehavior::Runs(RouteHealthStatus::Healthy);
        let Some(behaviors) = self.behaviors.get_mut(&revision) else {
            return healthy;
        };
        match behaviors.len() {
            0 => healthy,
            1 => behaviors[0],
            _ => behaviors.pop_front().unwrap_or(healthy),
        }
    }
}

/// One that no other route of a deployment has, whichever scheduler starts it.
fn next_address() -> String {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    format!("127.0.0.1:{}", 10_000 + number % 50_000)
}

/// Asserts that reports were applied. One may be refused if its route was drained
/// between assignment and report; another assignment follows then.
fn applied(results: Vec<ReportResult>) {
    for result in results {
        assert!(
            result.applied || result.error.contains("TERMINAT"),
            "{result:?}"
        );
    }
}

fn lock(state: &Mutex<SchedulerState>) -> MutexGuard<'_, SchedulerState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
