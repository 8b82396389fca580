//! The routes of this agent: who runs, who has ended, and what an assignment
//! means for each.

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

use crate::route::{self, Machine, Order, Outcome, Work};

/// All routes that this agent has been told of.
///
/// The server sends an assignment again until it has the report that answers
/// it, so one may arrive after its answer was sent. Those that ended are
/// therefore remembered: they are reported again, not started again.
#[derive(Debug)]
pub(crate) struct Routes {
    machine: Arc<Machine>,
    alive: HashMap<String, Alive>,
    ended: Memory,
    tasks: JoinSet<Outcome>,
    by_task: HashMap<Id, String>,
}

#[derive(Debug)]
struct Alive {
    orders: mpsc::UnboundedSender<Order>,
    stop: Option<StopReason>,
}

/// Who asked for the end of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopReason {
    Assignment,
    Shutdown,
}

impl Routes {
    pub(crate) fn new(machine: Arc<Machine>) -> Self {
        Self {
            machine,
            alive: HashMap::new(),
            ended: Memory::default(),
            tasks: JoinSet::new(),
            by_task: HashMap::new(),
        }
    }

    /// Reports the end of routes that an agent before this one ran. One that the
    /// server has not heard to run could not be TERMINATED: it is asked for again,
    /// and has then failed to start.
    pub(crate) fn report_lost(&mut self, route_ids: &[String]) {
        for route_id in route_ids {
            info!(route_id, "route ended with an earlier agent");
            let report = RouteStatusReport {
                failure: LOST.into(),
                ..terminated(route_id.clone())
            };
            self.ended.insert(RouteStatusReport {
                status: RouteStatus::FailedToStart.into(),
                ..report.clone()
            });
            self.machine.outbox.report_status(report);
        }
    }

    /// Does what an assignment asks for, as often as it comes.
    pub(crate) fn accept(&mut self, assignment: Assignment) {
        let action = assignment.action();
        let Some(route) = assignment.route else {
            return warn!("an assignment without a route");
        };
        match action {
            AssignmentAction::Start => self.start(Work::new(route, assignment.revision)),
            AssignmentAction::Stop => self.stop(&route.id),
            AssignmentAction::Unspecified => {
                warn!(route_id = route.id, "an assignment without a known action");
            }
        }
    }

    /// Waits for the end of a route and reports it. Returns `false` when there
    /// is no route. Nothing is lost when this is cancelled.
    pub(crate) async fn next_end(&mut self) -> bool {
        let (task, outcome) = match self.tasks.join_next_with_id().await {
            None => return false,
            Some(Ok((task, outcome))) => (task, outcome),
            Some(Err(error)) => (error.id(), outcome_of_panic(&error)),
        };
        if let Some(route_id) = self.by_task.remove(&task) {
            self.end(route_id, &outcome);
        }
        true
    }

    /// Stops all routes, because the agent stops.
    pub(crate) async fn stop_all(&mut self) {
        for alive in self.alive.values_mut() {
            alive.stop(StopReason::Shutdown);
        }
        while self.next_end().await {}
    }

    fn start(&mut self, work: Work) {
        if let Some(alive) = self.alive.get(&work.route_id) {
            // It fails only when the route has just ended, which is reported.
            let _ = alive.orders.send(Order::Report);
        } else if let Some(report) = self.ended.get(&work.route_id) {
            self.machine.outbox.report_status(report.clone());
        } else {
            let route_id = work.route_id.clone();
            info!(route_id, "starting route");
            let (orders, inbox) = mpsc::unbounded_channel();
            let machine = Arc::clone(&self.machine);
            let task = self.tasks.spawn(route::run(machine, work, inbox));
            self.by_task.insert(task.id(), route_id.clone());
            self.alive.insert(route_id, Alive { orders, stop: None });
        }
    }

    fn stop(&mut self, route_id: &str) {
        if let Some(alive) = self.alive.get_mut(route_id) {
            info!(route_id, "stopping route");
            return alive.stop(StopReason::Assignment);
        }
        let report = match self.ended.get(route_id) {
            Some(report) => RouteStatusReport {
                status: RouteStatus::Terminated.into(),
                ..report.clone()
            },
            None => terminated(route_id.to_owned()),
        };
        self.ended.insert(report.clone());
        self.machine.outbox.report_only_status(report);
    }

    fn end(&mut self, route_id: String, outcome: &Outcome) {
        info!(route_id, %outcome, "route ended");
        let stop = self.alive.remove(&route_id).and_then(|alive| alive.stop);
        let report = last_report(route_id, outcome, stop);
        self.ended.insert(report.clone());
        match stop {
            Some(StopReason::Assignment) => self.machine.outbox.report_only_status(report),
            Some(StopReason::Shutdown) | None => self.machine.outbox.report_status(report),
        }
    }
}

impl Alive {
    /// An assignment is the stronger reason: the server has already left the
    /// statuses before TERMINATING.
    fn stop(&mut self, reason: StopReason) {
        if self.stop != Some(StopReason::Assignment) {
            self.stop = Some(reason);
        }
        // It fails only when the route has just ended.
        let _ = self.orders.send(Order::Stop);
    }
}

/// What to report of a route that ended. One that was told to stop by the
/// server has not failed, however it ended. One that never ran cannot be
/// TERMINATED, unless the server asked for it.
fn last_report(route_id: String, outcome: &Outcome, stop: Option<StopReason>) -> RouteStatusReport {
    let report = terminated(route_id);
    let (status, failure) = match (stop, outcome) {
        (Some(StopReason::Assignment), _) => return report,
        (_, Outcome::NotStarted { reason }) => (RouteStatus::FailedToStart, reason.clone()),
        (_, Outcome::StoppedAtStart) => (RouteStatus::FailedToStart, SHUT_DOWN.into()),
        (Some(StopReason::Shutdown), Outcome::Ended(_)) => {
            (RouteStatus::Terminated, SHUT_DOWN.into())
        }
        (None, Outcome::Ended(ending)) => (RouteStatus::Terminated, ending.to_string()),
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

/// A panic in the task of a route, whose process went with it.
fn outcome_of_panic(error: &JoinError) -> Outcome {
    warn!(%error, "the task of a route failed");
    Outcome::Ended(crate::protocol::Ending::SupervisorLost)
}

/// The last reports of the routes that ended last.
#[derive(Debug, Default)]
struct Memory {
    reports: HashMap<String, RouteStatusReport>,
    /// Oldest first.
    order: VecDeque<String>,
}

impl Memory {
    fn get(&self, route_id: &str) -> Option<&RouteStatusReport> {
        self.reports.get(route_id)
    }

    fn insert(&mut self, report: RouteStatusReport) {
        let route_id = report.route_id.clone();
        if self.reports.insert(route_id.clone(), report).is_none() {
            self.order.push_back(route_id);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.reports.remove(&oldest);
        }
    }
}

const SHUT_DOWN: &str = "the agent was shut down";
const LOST: &str = "it ended with the agent that ran it";
/// An assignment overtakes its answer by moments: this many ends fit in them.
const REMEMBERED: usize = 10_000;

#[cfg(test)]
mod tests {
    use crate::protocol::Ending;

    use super::*;

    #[test]
    fn the_last_report_tells_a_failure_from_an_end_that_was_asked_for() {
        let crash = Outcome::Ended(Ending::Exited { code: 3 });
        let not_started = Outcome::NotStarted {
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
            (&crash, shutdown, RouteStatus::Terminated, SHUT_DOWN),
            (
                &not_started,
                None,
                RouteStatus::FailedToStart,
                "no such file",
            ),
            (&not_started, stop, RouteStatus::Terminated, ""),
            (
                &Outcome::StoppedAtStart,
                shutdown,
                RouteStatus::FailedToStart,
                SHUT_DOWN,
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
    fn the_memory_is_bounded() {
        let mut memory = Memory::default();
        for route in 0..=REMEMBERED {
            memory.insert(terminated(route.to_string()));
            memory.insert(terminated(route.to_string()));
        }
        assert!(memory.get("0").is_none());
        assert!(memory.get("1").is_some());
        assert_eq!(memory.reports.len(), REMEMBERED);
    }
}
