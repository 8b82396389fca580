//! The reports that the server has not acknowledged.
//!
//! The statuses of a route are sent in order, one in a call, and its health only
//! when none of its statuses waits. Statuses come first, unless the server has put all
//! of them off: then other routes' health goes on. Otherwise the server would see a transition that
//! was not made (RUNNING must come before TERMINATED), or the health of a route that
//! it does not know to run. A newer report of the same status, or of health, replaces
//! the waiting one.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use viridian_proto::v1::{RouteHealthReport, RouteStatus, RouteStatusReport};

/// The waiting reports. Routes add them, and the reporter sends them.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Mutex<ReportQueue>,
    changed: Notify,
}

impl Outbox {
    /// Adds a status after the waiting ones of the same route.
    pub(crate) fn report_status(&self, report: RouteStatusReport) {
        self.queue().push_status(report);
        self.changed.notify_one();
    }

    /// Replaces every waiting report of the route by this status. For the answer to
    /// STOP: the route is TERMINATING on the server, which refuses earlier statuses.
    pub(crate) fn report_only_status(&self, report: RouteStatusReport) {
        let mut queue = self.queue();
        queue.remove_route(&report.route_id);
        queue.push_status(report);
        drop(queue);
        self.changed.notify_one();
    }

    /// Adds the health of a route.
    pub(crate) fn report_health(&self, report: RouteHealthReport) {
        self.queue().push_health(report);
        self.changed.notify_one();
    }

    /// Returns what to send next, at most `limit` reports; `None` when nothing waits.
    /// The reports keep waiting until they are [settled](Self::settle).
    pub(crate) fn next_batch(&self, limit: usize) -> Option<ReportBatch> {
        self.queue().next_batch(limit)
    }

    /// Removes the reports of a batch, except those at an index that `again` selects,
    /// and returns how many stay. Reports that replaced them meanwhile stay too.
    pub(crate) fn settle(&self, batch: &ReportBatch, again: impl Fn(usize) -> bool) -> usize {
        self.queue().settle(batch, again)
    }

    /// Returns once something was added since the last call.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn queue(&self) -> MutexGuard<'_, ReportQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reports of one call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ReportBatch {
    Statuses(Vec<NumberedReport<RouteStatusReport>>),
    Health(Vec<NumberedReport<RouteHealthReport>>),
}

impl ReportBatch {
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

/// A report and its number. Without the number a report that was sent would look the
/// same as an equal one that was added while it was under way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NumberedReport<R> {
    number: u64,
    pub(crate) report: R,
}

#[derive(Debug, Default)]
struct ReportQueue {
    last_number: u64,
    /// In the order of sending.
    statuses: Vec<NumberedReport<RouteStatusReport>>,
    /// By route.
    health: BTreeMap<String, NumberedReport<RouteHealthReport>>,
    /// Whether the server has just put off every status that waits.
    statuses_put_off: bool,
}

impl ReportQueue {
    fn push_status(&mut self, report: RouteStatusReport) {
        self.statuses_put_off = false;
        // The server refuses the health of a route that does not run.
        if report.status() != RouteStatus::Running {
            self.health.remove(&report.route_id);
        }
        let report = self.number(report);
        // The newest address and session count, in the place of the first report.
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

    fn number<R>(&mut self, report: R) -> NumberedReport<R> {
        self.last_number += 1;
        let number = self.last_number;
        NumberedReport { number, report }
    }

    fn remove_route(&mut self, route_id: &str) {
        self.statuses
            .retain(|waiting| waiting.report.route_id != route_id);
        self.health.remove(route_id);
    }

    /// Statuses first: the health of a route must not overtake its status.
    fn next_batch(&mut self, limit: usize) -> Option<ReportBatch> {
        let mut routes = HashSet::new();
        // One that waits for something else to happen must not hold back all health.
        if std::mem::take(&mut self.statuses_put_off)
            && let Some(health) = self.health_batch(limit)
        {
            return Some(health);
        }
        let statuses: Vec<_> = self
            .statuses
            .iter()
            .filter(|waiting| routes.insert(waiting.report.route_id.as_str()))
            .take(limit)
            .cloned()
            .collect();
        if !statuses.is_empty() {
            return Some(ReportBatch::Statuses(statuses));
        }
        self.health_batch(limit)
    }

    /// The health of routes none of whose statuses waits.
    fn health_batch(&self, limit: usize) -> Option<ReportBatch> {
        let waits = |route: &String| {
            let mut statuses = self.statuses.iter();
            statuses.any(|waiting| waiting.report.route_id == *route)
        };
        let health = self.health.iter().filter(|(route, _)| !waits(route));
        let health: Vec<_> = health.map(|(_, it)| it.clone()).take(limit).collect();
        (!health.is_empty()).then_some(ReportBatch::Health(health))
    }

    fn settle(&mut self, batch: &ReportBatch, again: impl Fn(usize) -> bool) -> usize {
        let numbers = batch.numbers();
        let settled: HashSet<_> = (0..)
            .zip(&numbers)
            .filter_map(|(index, number)| (!again(index)).then_some(*number))
            .collect();
        match batch {
            ReportBatch::Statuses(_) => {
                self.statuses_put_off = settled.is_empty();
                self.statuses
                    .retain(|waiting| !settled.contains(&waiting.number));
            }
            ReportBatch::Health(_) => self
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
        let mut queue = ReportQueue::default();
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
        let mut queue = ReportQueue::default();
        queue.push_health(seen("a", Unhealthy));
        queue.push_status(status("a", Running));
        queue.push_health(seen("a", Healthy));

        assert_eq!(statuses(&queue.next_batch(1000)), [status("a", Running)]);
        settle_next(&mut queue);
        assert_eq!(health(&queue.next_batch(1000)), [seen("a", Healthy)]);
    }

    #[test]
    fn a_report_that_is_added_during_a_call_is_kept() {
        let mut queue = ReportQueue::default();
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
    fn a_report_that_may_be_applied_later_stays() {
        let mut queue = ReportQueue::default();
        for route in ["a", "b", "c"] {
            queue.push_status(status(route, Running));
        }
        let sent = queue.next_batch(1000).expect("they wait");
        assert_eq!(queue.settle(&sent, |index| index == 1), 1);
        assert_eq!(statuses(&queue.next_batch(1000)), [status("b", Running)]);
        settle_next(&mut queue);
        assert_eq!(queue.next_batch(1000), None);
    }

    /// As of a route whose address another one still has.
    #[test]
    fn a1_a_status_that_is_put_off_holds_back_no_other_route() {
        let mut queue = ReportQueue::default();
        queue.push_status(status("a", Running));
        queue.push_health(seen("a", Healthy));
        queue.push_health(seen("b", Healthy));
        let sent = queue.next_batch(1000).expect("one waits");
        assert_eq!(queue.settle(&sent, |_| true), 1);
        assert_eq!(health(&queue.next_batch(1000)), [seen("b", Healthy)]);
        let again = queue.next_batch(1000);
        assert_eq!(statuses(&again), [status("a", Running)], "in turn");
    }

    #[test]
    fn an_end_removes_the_waiting_health() {
        let mut queue = ReportQueue::default();
        queue.push_health(seen("a", Healthy));
        queue.push_status(status("a", Terminated));
        settle_next(&mut queue);
        assert_eq!(queue.next_batch(1000), None);
    }

    #[test]
    fn a_repeat_replaces_the_waiting_report() {
        let mut queue = ReportQueue::default();
        queue.push_status(status("a", Running));
        let newer = RouteStatusReport {
            address: "127.0.0.1:1".into(),
            ..status("a", Running)
        };
        queue.push_status(newer.clone());
        assert_eq!(statuses(&queue.next_batch(1000)), [newer]);
    }

    #[test]
    fn the_answer_to_stop_replaces_all_other_reports() {
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
        let mut queue = ReportQueue::default();
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
            ..Default::default()
        }
    }

    fn statuses(batch: &Option<ReportBatch>) -> Vec<RouteStatusReport> {
        match batch {
            Some(ReportBatch::Statuses(reports)) => {
                reports.iter().map(|r| r.report.clone()).collect()
            }
            other => panic!("not a batch of statuses: {other:?}"),
        }
    }

    fn health(batch: &Option<ReportBatch>) -> Vec<RouteHealthReport> {
        match batch {
            Some(ReportBatch::Health(reports)) => {
                reports.iter().map(|r| r.report.clone()).collect()
            }
            other => panic!("not a batch of health: {other:?}"),
        }
    }

    fn settle_next(queue: &mut ReportQueue) {
        let batch = queue.next_batch(1000).expect("one waits");
        queue.settle(&batch, |_| false);
    }
}
