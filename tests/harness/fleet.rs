use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::task::JoinHandle;
use tonic::Status;
use viridian_proto::v1::{
    Assignment, AssignmentAction, ReportResult, RouteHealthReport, RouteHealthStatus, RouteStatus,
    RouteStatusReport, WatchAssignmentsRequest, watch_assignments_response::Payload,
};

use super::{Api, eventually};

/// What becomes of a route that is to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing: the scheduler takes its time.
    Pending,
    /// It cannot be started.
    FailsToStart,
    /// It runs, and the health checker says this of it.
    Runs(RouteHealthStatus),
}

/// A scheduler and a health checker that have no processes: it does as told with
/// what is to be started, and ends at once what is to be stopped.
pub(crate) struct Fleet {
    book: Arc<Mutex<Book>>,
    worker: JoinHandle<()>,
}

#[derive(Default)]
struct Book {
    /// By revision number; the last one stays. HEALTHY when there is none.
    fates: HashMap<i64, VecDeque<Fate>>,
    /// When the order to stop a route came.
    stops: HashMap<String, Instant>,
    /// Distinguishes addresses.
    started: u16,
}

impl Fleet {
    /// Takes the assignments of a group from now on.
    pub(crate) fn start(api: &Api, group: &str) -> Self {
        let book = Arc::default();
        let worker = work(api.clone(), group.to_owned(), Arc::clone(&book));
        Self {
            book,
            worker: tokio::spawn(async move {
                // Ends with the server; a test that still needs it fails.
                let _: Result<(), Status> = worker.await;
            }),
        }
    }

    /// What becomes of the routes of a revision, one after the other; the last
    /// fate is that of all further ones.
    pub(crate) fn plan(&self, revision: i64, fates: impl IntoIterator<Item = Fate>) {
        lock(&self.book)
            .fates
            .insert(revision, fates.into_iter().collect());
    }

    /// When the order to stop a route came, if it did.
    pub(crate) fn stop_of(&self, route_id: &str) -> Option<Instant> {
        lock(&self.book).stops.get(route_id).copied()
    }

    /// Waits for the order to stop a route.
    pub(crate) async fn stopped(&self, route_id: &str) -> Instant {
        eventually(format_args!("STOP for {route_id}"), async || {
            self.stop_of(route_id)
        })
        .await
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

async fn work(api: Api, group: String, book: Arc<Mutex<Book>>) -> Result<(), Status> {
    let request = WatchAssignmentsRequest {
        resource_group: group,
    };
    let mut stream = api.routes().watch_assignments(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        if let Some(Payload::Assignment(assignment)) = message.payload {
            carry_out(&api, &book, assignment).await?;
        }
    }
    Ok(())
}

async fn carry_out(api: &Api, book: &Mutex<Book>, assignment: Assignment) -> Result<(), Status> {
    let action = assignment.action();
    let route = assignment.route.expect("an assignment is about a route");
    let revision = assignment.revision.expect("a route has a revision");
    let mut report = RouteStatusReport {
        route_id: route.id.clone(),
        ..RouteStatusReport::default()
    };
    if action == AssignmentAction::Stop {
        lock(book)
            .stops
            .entry(route.id)
            .or_insert_with(Instant::now);
        report.set_status(RouteStatus::Terminated);
        return api.report(vec![report]).await.map(applied);
    }
    let fate = lock(book).next_fate(revision.number);
    match fate {
        Fate::Pending => Ok(()),
        Fate::FailsToStart => {
            report.set_status(RouteStatus::FailedToStart);
            report.failure = "no such image".to_owned();
            api.report(vec![report]).await.map(applied)
        }
        Fate::Runs(health) => {
            report.set_status(RouteStatus::Running);
            report.session_id = format!("session-{}", route.id);
            report.address = lock(book).next_address();
            api.report(vec![report]).await.map(applied)?;
            let seen = RouteHealthReport {
                route_id: route.id,
                health: health.into(),
                observed_at: None,
            };
            api.report_health(vec![seen]).await.map(applied)
        }
    }
}

impl Book {
    fn next_fate(&mut self, revision: i64) -> Fate {
        let healthy = Fate::Runs(RouteHealthStatus::Healthy);
        let Some(fates) = self.fates.get_mut(&revision) else {
            return healthy;
        };
        match fates.len() {
            0 => healthy,
            1 => fates[0],
            _ => fates.pop_front().unwrap_or(healthy),
        }
    }

    fn next_address(&mut self) -> String {
        self.started += 1;
        format!("127.0.0.1:{}", 10_000 + self.started)
    }
}

/// A scheduler's own reports are refused only when a route was drained between
/// its order and its report; then another order follows.
fn applied(results: Vec<ReportResult>) {
    for result in results {
        assert!(
            result.applied || result.error.contains("TERMINAT"),
            "{result:?}"
        );
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
