use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::{sleep, timeout};
use tonic::Status;
use viridian_proto::v1::{
    Assignment, AssignmentAction, RouteHealthReport, RouteHealthStatus, RouteStatus,
    RouteStatusReport, WatchAssignmentsRequest, watch_assignments_response::Payload,
};

use super::{Api, ServerUrls};

/// A scheduler and a health checker of one group. It goes from server to server,
/// by itself and when one is gone, and says what it has to say until someone has
/// heard it.
pub(crate) struct RandomAgent {
    group: String,
    server_urls: ServerUrls,
    rng: StdRng,
    state: SharedAgentState,
}

/// What an agent knows, for those who look at it meanwhile.
pub(crate) type SharedAgentState = Arc<Mutex<AgentState>>;

#[derive(Default)]
pub(crate) struct AgentState {
    /// The routes that run.
    running: BTreeSet<String>,
    /// Those that could not be started.
    failed: HashSet<String>,
    /// Of which revisions one could not be started.
    stumbled: HashSet<String>,
    /// What nobody has heard yet, the newest of each route.
    statuses: BTreeMap<String, RouteStatusReport>,
    healthy: BTreeSet<String>,
    connections: usize,
}

impl RandomAgent {
    pub(crate) fn new(group: &str, server_urls: ServerUrls, seed: u64) -> Self {
        Self {
            group: group.to_owned(),
            server_urls,
            rng: StdRng::seed_from_u64(seed),
            state: Arc::default(),
        }
    }

    pub(crate) fn state(&self) -> SharedAgentState {
        Arc::clone(&self.state)
    }

    /// Works for ever.
    pub(crate) async fn work(mut self) {
        loop {
            if let Ok(api) = self.server_urls.any(&mut self.rng).await {
                // However it ends, it goes on elsewhere.
                let _ = self.serve(&api).await;
            }
            sleep(PAUSE).await;
        }
    }

    async fn serve(&mut self, api: &Api) -> Result<(), Status> {
        let request = WatchAssignmentsRequest {
            resource_group: self.group.clone(),
        };
        let stream = api.routes().watch_assignments(request).await?.into_inner();
        let mut stream = stream.ready_chunks(BATCH);
        lock_agent(&self.state).connections += 1;
        for _ in 0..self.rng.random_range(20..200) {
            let next = stream.next();
            let chunk = if lock_agent(&self.state).has_all_said() {
                next.await
            } else {
                // What is held by others is said again.
                timeout(PAUSE, next).await.unwrap_or(Some(Vec::new()))
            };
            let Some(chunk) = chunk else { break };
            for message in chunk {
                if let Some(Payload::Assignment(assignment)) = message?.payload {
                    lock_agent(&self.state).take(assignment);
                }
            }
            self.say(api).await?;
        }
        Ok(())
    }

    async fn say(&self, api: &Api) -> Result<(), Status> {
        let statuses: Vec<_> = {
            let state = lock_agent(&self.state);
            state.statuses.values().take(BATCH).cloned().collect()
        };
        if !statuses.is_empty() {
            let results = api.report(statuses.clone()).await?;
            let mut state = lock_agent(&self.state);
            for (report, result) in statuses.into_iter().zip(results) {
                if result.retry {
                    continue;
                }
                // One that was drained in the meantime is to be stopped, which
                // another assignment says.
                assert!(
                    result.applied || result.error.contains("TERMINAT"),
                    "{result:?}"
                );
                if result.applied && report.status() == RouteStatus::Running {
                    state.healthy.insert(report.route_id.clone());
                }
                if state.statuses.get(&report.route_id) == Some(&report) {
                    state.statuses.remove(&report.route_id);
                }
            }
        }
        let healthy: Vec<_> = {
            let state = lock_agent(&self.state);
            state.healthy.iter().take(BATCH).cloned().collect()
        };
        if !healthy.is_empty() {
            let report = |id: &String| RouteHealthReport {
                route_id: id.clone(),
                health: RouteHealthStatus::Healthy.into(),
                ..RouteHealthReport::default()
            };
            let results = api.report_health(healthy.iter().map(report).collect());
            let results = results.await?;
            let mut state = lock_agent(&self.state);
            for (id, result) in healthy.into_iter().zip(results) {
                if !result.retry {
                    state.healthy.remove(&id);
                }
            }
        }
        Ok(())
    }
}

impl AgentState {
    /// The routes that run.
    pub(crate) fn running(&self) -> &BTreeSet<String> {
        &self.running
    }

    /// How often it found a server.
    pub(crate) fn connections(&self) -> usize {
        self.connections
    }

    fn has_all_said(&self) -> bool {
        self.statuses.is_empty() && self.healthy.is_empty()
    }

    /// An assignment may come more than once: what was done is not done again.
    fn take(&mut self, assignment: Assignment) {
        let action = assignment.action();
        let route = assignment.route.expect("an assignment is about a route");
        let revision = assignment.revision.expect("a route has a revision");
        let mut report = RouteStatusReport {
            route_id: route.id.clone(),
            ..RouteStatusReport::default()
        };
        match action {
            AssignmentAction::Stop => {
                self.running.remove(&route.id);
                self.healthy.remove(&route.id);
                report.set_status(RouteStatus::Terminated);
            }
            AssignmentAction::Start => {
                let image = revision.spec.expect("a revision says what it runs").image;
                if self.starts(&route.id, &revision.id, &image) {
                    report.set_status(RouteStatus::Running);
                    report.session_id = format!("session-{}", route.id);
                    report.address = format!("{}.test:80", route.id);
                } else {
                    report.set_status(RouteStatus::FailedToStart);
                    report.failure = "no such image".to_owned();
                }
            }
            AssignmentAction::Unspecified => panic!("it says what to do"),
        }
        self.statuses.insert(route.id, report);
    }

    /// Whether a route can be started, which never changes.
    fn starts(&mut self, route: &str, revision: &str, image: &str) -> bool {
        if self.running.contains(route) || self.failed.contains(route) {
            return self.running.contains(route);
        }
        let fails = match image {
            FAILS => true,
            FAILS_ONCE => self.stumbled.insert(revision.to_owned()),
            _ => false,
        };
        if fails {
            self.failed.insert(route.to_owned());
        } else {
            self.running.insert(route.to_owned());
        }
        !fails
    }
}

pub(crate) fn lock_agent(state: &SharedAgentState) -> MutexGuard<'_, AgentState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Images, by what becomes of their routes.
pub(crate) const FAILS_ONCE: &str = "registry.test/fails-once:1";
pub(crate) const FAILS: &str = "registry.test/fails:1";

const BATCH: usize = 500;
const PAUSE: Duration = Duration::from_millis(50);
