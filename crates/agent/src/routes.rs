//! The routes of this agent: which run, which have ended, and what an assignment
//! does to each.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tokio::{
    sync::mpsc,
    task::{Id, JoinError, JoinSet},
};
use tracing::{info, warn};
use viridian_proto::v1::{Assignment, AssignmentAction, RouteStatus, RouteStatusReport};

use crate::route::{self, AgentContext, Command, RouteOutcome, RouteSpec};

/// All routes that the server has assigned to this agent.
///
/// The server repeats an assignment until it has the report that answers it, so an
/// assignment may arrive after its answer was sent. Ended routes are therefore kept
/// for a while: they are reported again, not started again.
#[derive(Debug)]
pub(crate) struct LocalRoutes {
    context: Arc<AgentContext>,
    alive: HashMap<String, LiveRoute>,
    ended: EndedRoutes,
    tasks: JoinSet<RouteOutcome>,
    by_task: HashMap<Id, String>,
}

#[derive(Debug)]
struct LiveRoute {
    commands: mpsc::UnboundedSender<Command>,
    stop: Option<StopReason>,
}

/// Who requested the end of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopReason {
    Assignment,
    Shutdown,
}

impl LocalRoutes {
    pub(crate) fn new(context: Arc<AgentContext>) -> Self {
        Self {
            context,
            alive: HashMap::new(),
            ended: EndedRoutes::default(),
            tasks: JoinSet::new(),
            by_task: HashMap::new(),
        }
    }

    /// Reports the ends of the routes of an earlier agent. The server refuses
    /// TERMINATED for a route that was never reported RUNNING. It assigns such a route
    /// again, and gets FAILED_TO_START.
    pub(crate) fn report_lost(&mut self, route_ids: &[String]) {
        for route_id in route_ids {
            info!(route_id, "route ended with an earlier agent");
            let report = RouteStatusReport {
                failure: LOST_WITH_AGENT.into(),
                ..terminated(route_id.clone())
            };
            self.ended.insert(RouteStatusReport {
                status: RouteStatus::FailedToStart.into(),
                ..report.clone()
            });
            self.context.outbox.report_status(report);
        }
    }

    /// Carries out an assignment. Idempotent.
    pub(crate) fn accept(&mut self, assignment: Assignment) {
        let action = assignment.action();
        let Some(route) = assignment.route else {
            return warn!("an assignment has no route");
        };
        match action {
            AssignmentAction::Start => self.start(RouteSpec::new(
                route,
                assignment.revision,
                assignment.secret_environ,
            )),
            AssignmentAction::Stop => self.stop(&route.id),
            AssignmentAction::Unspecified => {
                warn!(route_id = route.id, "an assignment has an unknown action");
            }
        }
    }

    /// Waits for the end of a route and reports it. Returns `false` when no route runs.
    /// Cancel safe.
    pub(crate) async fn next_end(&mut self) -> bool {
        let (task, outcome) = match self.tasks.join_next_with_id().await {
            None => return false,
            Some(Ok((task, outcome))) => (task, outcome),
            // A panic ends one route, not the agent.
            Some(Err(error)) => (error.id(), outcome_of_panic(&error)),
        };
        if let Some(route_id) = self.by_task.remove(&task) {
            self.end(route_id, &outcome);
        }
        true
    }

    /// Stops all routes, because the agent shuts down.
    pub(crate) async fn stop_all(&mut self) {
        for alive in self.alive.values_mut() {
            alive.stop(StopReason::Shutdown);
        }
        while self.next_end().await {}
    }

    fn start(&mut self, spec: RouteSpec) {
        if let Some(alive) = self.alive.get(&spec.route_id) {
            // It fails only when the route has just ended, which is reported.
            let _ = alive.commands.send(Command::Report);
        } else if let Some(report) = self.ended.get(&spec.route_id) {
            self.context.outbox.report_status(report.clone());
        } else {
            let route_id = spec.route_id.clone();
            info!(route_id, "starting route");
            let (commands, inbox) = mpsc::unbounded_channel();
            let context = Arc::clone(&self.context);
            let task = self.tasks.spawn(route::run(context, spec, inbox));
            self.by_task.insert(task.id(), route_id.clone());
            self.alive.insert(
                route_id,
                LiveRoute {
                    commands,
                    stop: None,
                },
            );
        }
    }

    fn stop(&mut self, route_id: &str) {
        if let Some(alive) = self.alive.get_mut(route_id) {
            info!(route_id, "stopping route");
            return alive.stop(StopReason::Assignment);
        }
        // The server waits for this answer, also for a route that this agent never had.
        let report = match self.ended.get(route_id) {
            Some(report) => RouteStatusReport {
                status: RouteStatus::Terminated.into(),
                ..report.clone()
            },
            None => terminated(route_id.to_owned()),
        };
        self.ended.insert(report.clone());
        self.context.outbox.report_only_status(report);
    }

    fn end(&mut self, route_id: String, outcome: &RouteOutcome) {
        info!(route_id, %outcome, "route ended");
        let stop = self.alive.remove(&route_id).and_then(|alive| alive.stop);
        let report = last_report(route_id, outcome, stop);
        self.ended.insert(report.clone());
        match stop {
            Some(StopReason::Assignment) => self.context.outbox.report_only_status(report),
            Some(StopReason::Shutdown) | None => self.context.outbox.report_status(report),
        }
    }
}

impl LiveRoute {
    /// An assignment overrides a shutdown: the route is TERMINATING on the server, which
    /// accepts only TERMINATED.
    fn stop(&mut self, reason: StopReason) {
        if self.stop != Some(StopReason::Assignment) {
            self.stop = Some(reason);
        }
        // It fails only when the route has just ended.
        let _ = self.commands.send(Command::Stop);
    }
}

/// Returns the report for a route that ended. A route that the server stopped has not
/// failed, however it ended. A route that never ran is FAILED_TO_START, unless the
/// server stopped it.
fn last_report(
    route_id: String,
    outcome: &RouteOutcome,
    stop: Option<StopReason>,
) -> RouteStatusReport {
    let report = terminated(route_id);
    let (status, failure) = match (stop, outcome) {
        (Some(StopReason::Assignment), _) => return report,
        (_, RouteOutcome::NotStarted { reason }) => (RouteStatus::FailedToStart, reason.clone()),
        (_, RouteOutcome::StoppedAtStart) => (RouteStatus::FailedToStart, AGENT_SHUT_DOWN.into()),
        (Some(StopReason::Shutdown), RouteOutcome::Ended(_)) => {
            (RouteStatus::Terminated, AGENT_SHUT_DOWN.into())
        }
        (None, RouteOutcome::Ended(ending)) => (RouteStatus::Terminated, ending.to_string()),
    };
    RouteStatusReport {
        status: status.into(),
        failure,
        ..report
    }
}

fn terminated(route_id: String) -> RouteStatusReport {
    RouteStatusReport {
        route_id,
        status: RouteStatus::Terminated.into(),
        ..Default::default()
    }
}

/// A panic in the task of a route stops its process too.
fn outcome_of_panic(error: &JoinError) -> RouteOutcome {
    warn!(%error, "the task of a route panicked");
    RouteOutcome::Ended(crate::protocol::ProcessEnd::SupervisorLost)
}

/// The last reports of the most recently ended routes.
#[derive(Debug, Default)]
struct EndedRoutes {
    reports: HashMap<String, RouteStatusReport>,
    /// Oldest first.
    order: VecDeque<String>,
}

impl EndedRoutes {
    fn get(&self, route_id: &str) -> Option<&RouteStatusReport> {
        self.reports.get(route_id)
    }

    fn insert(&mut self, report: RouteStatusReport) {
        let route_id = report.route_id.clone();
        if self.reports.insert(route_id.clone(), report).is_none() {
            self.order.push_back(route_id);
        }
        if self.order.len() > MAX_ENDED_ROUTES
            && let Some(oldest) = self.order.pop_front()
        {
            self.reports.remove(&oldest);
        }
    }
}

const AGENT_SHUT_DOWN: &str = "the agent was shut down";
const LOST_WITH_AGENT: &str = "it ended with the agent that ran it";
/// An assignment crosses its answer within moments. No machine ends more routes in them.
const MAX_ENDED_ROUTES: usize = 10_000;

#[cfg(test)]
mod tests {
    use crate::protocol::ProcessEnd;

    use super::*;

    #[test]
    fn the_last_report_tells_a_failure_from_a_requested_end() {
        let crash = RouteOutcome::Ended(ProcessEnd::Exited { code: 3 });
        let not_started = RouteOutcome::NotStarted {
            reason: "no such file".into(),
        };
        let stop = Some(StopReason::Assignment);
        let shutdown = Some(StopReason::Shutdown);
        let cases = [
            (
                &crash,
                None,
                RouteStatus::Terminated,
                "exited with status 3",
            ),
            (&crash, stop, RouteStatus::Terminated, ""),
            (&crash, shutdown, RouteStatus::Terminated, AGENT_SHUT_DOWN),
            (
                &not_started,
                None,
                RouteStatus::FailedToStart,
                "no such file",
            ),
            (&not_started, stop, RouteStatus::Terminated, ""),
            (
                &RouteOutcome::StoppedAtStart,
                shutdown,
                RouteStatus::FailedToStart,
                AGENT_SHUT_DOWN,
            ),
        ];
        for (outcome, stop, status, failure) in cases {
            let report = last_report("a".into(), outcome, stop);
            assert_eq!(
                (report.status(), report.failure.as_str()),
                (status, failure)
            );
        }
    }

    #[test]
    fn the_ended_routes_are_bounded() {
        let mut ended = EndedRoutes::default();
        for route in 0..=MAX_ENDED_ROUTES {
            ended.insert(terminated(route.to_string()));
            ended.insert(terminated(route.to_string()));
        }
        assert!(ended.get("0").is_none());
        assert!(ended.get("1").is_some());
        assert_eq!(ended.reports.len(), MAX_ENDED_ROUTES);
    }
}
