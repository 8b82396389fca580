//! The reports that the server has not answered yet.
//!
//! For each route the statuses are sent in the order in which they came, never
//! two of them in one call, and its health only when none of its statuses is
//! waiting. So a server never sees a move that was not made (RUNNING may not be
//! skipped on the way to TERMINATED), nor the health of a route that it does
//! not know to run. A newer report of the same status, or of health, replaces
//! the one that is waiting.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use viridian_proto::v1::{RouteHealthReport, RouteStatus, RouteStatusReport};

/// The waiting reports, shared by the routes, which write, and the courier.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    changed: Notify,
}

impl Outbox {
    /// Adds a status behind those of the same route that wait.
    pub(crate) fn report_status(&self, report: RouteStatusReport) {
        self.queue().push_status(report);
        self.changed.notify_one();
    }

    /// Adds a status in place of everything of the same route that waits. For
    /// the answer to STOP: the server has already left the statuses before it.
    pub(crate) fn report_only_status(&self, report: RouteStatusReport) {
        let mut queue = self.queue();
        queue.forget(&report.route_id);
        queue.push_status(report);
        drop(queue);
        self.changed.notify_one();
    }

    /// Adds what was seen of a route's health.
    pub(crate) fn report_health(&self, report: RouteHealthReport) {
        self.queue().push_health(report);
        self.changed.notify_one();
    }

    /// What to send next, at most `limit` reports; `None` when nothing waits.
    /// It keeps waiting until it is [settled](Self::settle).
    pub(crate) fn next_batch(&self, limit: usize) -> Option<Batch> {
        self.queue().next_batch(limit)
    }

    /// Removes what was answered, but for the places in the batch that are to be
    /// sent again; gives how many these are. What was replaced meanwhile stays.
    pub(crate) fn settle(&self, batch: &Batch, again: impl Fn(usize) -> bool) -> usize {
        self.queue().settle(batch, again)
    }

    /// Returns once something was added since the last call.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reports of one call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Batch {
    Statuses(Vec<Numbered<RouteStatusReport>>),
    Health(Vec<Numbered<RouteHealthReport>>),
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Statuses(reports) => reports.len(),
            Self::Health(reports) => reports.len(),
        }
    }

    fn numbers(&self) -> Vec<u64> {
        match self {
            Self::Statuses(reports) => reports.iter().map(|report| report.number).collect(),
            Self::Health(reports) => reports.iter().map(|report| report.number).collect(),
        }
    }
}

/// A report and when it came, which tells one that was sent from an equal one
/// that came while it was on its way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Numbered<R> {
    number: u64,
    pub(crate) report: R,
}

#[derive(Debug, Default)]
struct Queue {
    last_number: u64,
    /// In the order in which they are to be sent.
    statuses: Vec<Numbered<RouteStatusReport>>,
    /// By route.
    health: BTreeMap<String, Numbered<RouteHealthReport>>,
}

impl Queue {
    fn push_status(&mut self, report: RouteStatusReport) {
        if report.status() != RouteStatus::Running {
            self.health.remove(&report.route_id);
        }
        let report = self.number(report);
        let replaced = self.statuses.iter_mut().find(|waiting| {
            (&waiting.report.route_id, waiting.report.status)
                == (&report.report.route_id, report.report.status)
        });
        match replaced {
            Some(waiting) => *waiting = report,
            None => self.statuses.push(report),
        }
    }

    fn push_health(&mut self, report: RouteHealthReport) {
        let report = self.number(report);
        self.health.insert(report.report.route_id.clone(), report);
    }

    fn number<R>(&mut self, report: R) -> Numbered<R> {
        self.last_number += 1;
        let number = self.last_number;
        Numbered { number, report }
    }

    fn forget(&mut self, route_id: &str) {
        self.statuses
            .retain(|waiting| waiting.report.route_id != route_id);
        self.health.remove(route_id);
    }

    /// Statuses go first, so no health of a route overtakes one.
    fn next_batch(&self, limit: usize) -> Option<Batch> {
        let mut routes = HashSet::new();
        let statuses: Vec<_> = self
            .statuses
            .iter()
            .filter(|waiting| routes.insert(waiting.report.route_id.as_str()))
            .take(limit)
            .cloned()
            .collect();
        if !statuses.is_empty() {
            return Some(Batch::Statuses(statuses));
        }
        let health: Vec<_> = self.health.values().take(limit).cloned().collect();
        (!health.is_empty()).then_some(Batch::Health(health))
    }

    fn settle(&mut self, batch: &Batch, again: impl Fn(usize) -> bool) -> usize {
        let numbers = batch.numbers();
        let settled: HashSet<_> = (0..)
            .zip(&numbers)
            .filter_map(|(place, number)| (!again(place)).then_some(*number))
            .collect();
        match batch {
            Batch::Statuses(_) => self
                .statuses
                .retain(|waiting| !settled.contains(&waiting.number)),
            Batch::Health(_) => self
                .health
                .retain(|_, waiting| !settled.contains(&waiting.number)),
        }
        numbers.len() - settled.len()
    }
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::RouteHealthStatus::{self, Healthy, Unhealthy};

    use super::*;
    use RouteStatus::{Running, Terminated};

    #[test]
    fn running_comes_before_terminated_in_a_call_of_its_own() {
        let mut queue = Queue::default();
        queue.push_status(status("a", Running));
        queue.push_status(status("a", Terminated));
        queue.push_status(status("b", Running));

        let running = [status("a", Running), status("b", Running)];
        assert_eq!(statuses(&queue.next_batch(1000)), running);
        assert_eq!(statuses(&queue.next_batch(1000)), running, "not answered");
        settle_next(&mut queue);
        assert_eq!(statuses(&queue.next_batch(1000)), [status("a", Terminated)]);
        settle_next(&mut queue);
        assert_eq!(queue.next_batch(1000), None);
    }

    #[test]
    fn health_waits_for_the_statuses_and_the_newest_wins() {
        let mut queue = Queue::default();
        queue.push_health(seen("a", Unhealthy));
        queue.push_status(status("a", Running));
        queue.push_health(seen("a", Healthy));

        assert_eq!(statuses(&queue.next_batch(1000)), [status("a", Running)]);
        settle_next(&mut queue);
        assert_eq!(health(&queue.next_batch(1000)), [seen("a", Healthy)]);
    }

    #[test]
    fn what_comes_while_a_call_is_out_is_not_lost() {
        let mut queue = Queue::default();
        queue.push_status(status("a", Running));
        let sent = queue.next_batch(1000).expect("one waits");
        queue.push_status(status("a", Running));
        queue.settle(&sent, |_| false);
        assert_eq!(statuses(&queue.next_batch(1000)), [status("a", Running)]);
        settle_next(&mut queue);

        queue.push_health(seen("a", Healthy));
        let sent = queue.next_batch(1000).expect("one waits");
        queue.push_health(seen("a", Unhealthy));
        queue.settle(&sent, |_| false);
        assert_eq!(health(&queue.next_batch(1000)), [seen("a", Unhealthy)]);
    }

    #[test]
    fn what_may_be_applied_later_waits_on() {
        let mut queue = Queue::default();
        for route in ["a", "b", "c"] {
            queue.push_status(status(route, Running));
        }
        let sent = queue.next_batch(1000).expect("they wait");
        assert_eq!(queue.settle(&sent, |place| place == 1), 1);
        assert_eq!(statuses(&queue.next_batch(1000)), [status("b", Running)]);
        settle_next(&mut queue);
        assert_eq!(queue.next_batch(1000), None);
    }

    #[test]
    fn an_end_takes_the_health_with_it() {
        let mut queue = Queue::default();
        queue.push_health(seen("a", Healthy));
        queue.push_status(status("a", Terminated));
        settle_next(&mut queue);
        assert_eq!(queue.next_batch(1000), None);
    }

    #[test]
    fn a_repeat_replaces_what_waits() {
        let mut queue = Queue::default();
        queue.push_status(status("a", Running));
        let newer = RouteStatusReport {
            address: "127.0.0.1:1".into(),
            ..status("a", Running)
        };
        queue.push_status(newer.clone());
        assert_eq!(statuses(&queue.next_batch(1000)), [newer]);
    }

    #[test]
    fn the_answer_to_stop_stands_alone() {
        let outbox = Outbox::default();
        outbox.report_status(status("a", Running));
        outbox.report_health(seen("a", Healthy));
        outbox.report_only_status(status("a", Terminated));
        assert_eq!(
            statuses(&outbox.next_batch(1000)),
            [status("a", Terminated)]
        );
    }

    #[test]
    fn a_batch_is_bounded() {
        let mut queue = Queue::default();
        for route in 0..25 {
            queue.push_status(status(&route.to_string(), Running));
        }
        let mut sizes = Vec::new();
        while let Some(batch) = queue.next_batch(10) {
            sizes.push(batch.len());
            queue.settle(&batch, |_| false);
        }
        assert_eq!(sizes, [10, 10, 5]);
    }

    fn status(route_id: &str, status: RouteStatus) -> RouteStatusReport {
        RouteStatusReport {
            route_id: route_id.into(),
            status: status.into(),
            ..Default::default()
        }
    }

    fn seen(route_id: &str, health: RouteHealthStatus) -> RouteHealthReport {
        RouteHealthReport {
            route_id: route_id.into(),
            health: health.into(),
            observed_at: None,
        }
    }

    fn statuses(batch: &Option<Batch>) -> Vec<RouteStatusReport> {
        match batch {
            Some(Batch::Statuses(reports)) => reports.iter().map(|r| r.report.clone()).collect(),
            other => panic!("not a batch of statuses: {other:?}"),
        }
    }

    fn health(batch: &Option<Batch>) -> Vec<RouteHealthReport> {
        match batch {
            Some(Batch::Health(reports)) => reports.iter().map(|r| r.report.clone()).collect(),
            other => panic!("not a batch of health: {other:?}"),
        }
    }

    fn settle_next(queue: &mut Queue) {
        let batch = queue.next_batch(1000).expect("one waits");
        queue.settle(&batch, |_| false);
    }
}
