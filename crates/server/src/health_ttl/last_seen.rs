//! When each route was last reported to this server.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use viridian_store::LastReport;
use viridian_strategy::{RouteId, Timestamp};

/// The times of reports that are not written down yet. A report that changes nothing is
/// recorded here, and costs no transaction.
#[derive(Debug, Default)]
pub(crate) struct LastSeen(Mutex<HashMap<RouteId, RouteTimes>>);

/// The times that one flush writes down.
pub(crate) struct Flush(Vec<(RouteId, RouteTimes)>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RouteTimes {
    status: Option<Timestamp>,
    health: Option<Timestamp>,
}

impl LastSeen {
    /// Records that the status of some routes was reported, by the database's time.
    pub(crate) fn record_statuses(&self, routes: &[RouteId], now: Timestamp) {
        let mut times = self.times();
        for &route in routes {
            times.entry(route).or_default().status = Some(now);
        }
    }

    /// Records that the health of some routes was reported, by the database's time.
    pub(crate) fn record_health(&self, routes: &[RouteId], now: Timestamp) {
        let mut times = self.times();
        for &route in routes {
            times.entry(route).or_default().health = Some(now);
        }
    }

    /// When a route was last reported. None if that is written down, or nothing was.
    pub(crate) fn last(&self, route: RouteId) -> Option<Timestamp> {
        let times = self.times();
        let RouteTimes { status, health } = times.get(&route)?;
        (*status).max(*health)
    }

    /// The times to write down.
    pub(super) fn begin_flush(&self) -> Flush {
        let times = self.times();
        Flush(times.iter().map(|(&id, &times)| (id, times)).collect())
    }

    /// Removes what was written down. Times that are newer than the flush stay.
    pub(super) fn end_flush(&self, written: &Flush) {
        let mut times = self.times();
        for (id, flushed) in &written.0 {
            // A newer time came during the flush: it must be written down too.
            if times.get(id) == Some(flushed) {
                times.remove(id);
            }
        }
    }

    fn times(&self) -> MutexGuard<'_, HashMap<RouteId, RouteTimes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flush {
    pub(super) fn reports(&self) -> Vec<LastReport> {
        let report = |&(route, RouteTimes { status, health })| LastReport {
            route,
            status,
            health,
        };
        self.0.iter().map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_report_is_known_until_it_is_written_down() {
        let (last_seen, route, begin) = (
            LastSeen::default(),
            RouteId(Uuid::nil()),
            Timestamp::from_micros(0),
        );
        assert_eq!(last_seen.last(route), None);
        last_seen.record_statuses(&[route], begin);
        last_seen.record_health(&[route], begin + SECOND);
        assert_eq!(last_seen.last(route), Some(begin + SECOND));
        let flush = last_seen.begin_flush();
        let report = LastReport {
            route,
            status: Some(begin),
            health: Some(begin + SECOND),
        };
        assert_eq!(flush.reports(), [report]);
        last_seen.end_flush(&flush);
        assert_eq!(last_seen.last(route), None);
    }

    #[test]
    fn a_report_during_a_flush_is_written_down_by_the_next_one() {
        let (last_seen, route, begin) = (
            LastSeen::default(),
            RouteId(Uuid::nil()),
            Timestamp::from_micros(0),
        );
        last_seen.record_health(&[route], begin);
        let flush = last_seen.begin_flush();
        last_seen.record_health(&[route], begin + SECOND);
        last_seen.end_flush(&flush);
        assert_eq!(last_seen.last(route), Some(begin + SECOND));
    }

    const SECOND: Duration = Duration::from_secs(1);
}
