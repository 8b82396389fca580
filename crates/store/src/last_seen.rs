//! When each route was last reported to this process.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use viridian_strategy::{RouteId, Timestamp};

use crate::record::LastReport;

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
    /// Records that the status of a route was reported, by the database's time.
    pub(crate) fn record_status(&self, route: RouteId, now: Timestamp) {
        self.times().entry(route).or_default().status = Some(now);
    }

    /// Records when the health of a route was observed, by the database's time.
    pub(crate) fn record_health(&self, route: RouteId, at: Timestamp, now: Timestamp) {
        let mut times = self.times();
        let health = &mut times.entry(route).or_default().health;
        // A late report must not make it older. A time in the future is from before the clock
        // was set back.
        *health = health.filter(|&known| known <= now).max(Some(at));
    }

    /// When the health of a route was last observed, if that is not written down.
    pub(crate) fn last_health(&self, route: RouteId) -> Option<Timestamp> {
        self.times().get(&route)?.health
    }

    /// When a route was last reported. None if that is written down, or nothing was.
    pub(crate) fn last(&self, route: RouteId) -> Option<Timestamp> {
        let times = self.times();
        let RouteTimes { status, health } = times.get(&route)?;
        (*status).max(*health)
    }

    /// The times to write down.
    pub(crate) fn begin_flush(&self) -> Flush {
        let times = self.times();
        Flush(times.iter().map(|(&id, &times)| (id, times)).collect())
    }

    /// Removes what was written down. Times that are newer than the flush stay.
    pub(crate) fn end_flush(&self, written: &Flush) {
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
    /// The times to write down, but for those that are later than now: they are from before
    /// the clock was set back, and would make a health look fresh once it has caught up.
    pub(crate) fn reports(&self, now: Timestamp) -> Vec<LastReport> {
        let report = |&(route, RouteTimes { status, health })| LastReport {
            route,
            status: status.filter(|&at| at <= now),
            health: health.filter(|&at| at <= now),
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
        last_seen.record_status(route, begin);
        last_seen.record_health(route, begin + SECOND, begin + SECOND);
        assert_eq!(last_seen.last(route), Some(begin + SECOND));
        let flush = last_seen.begin_flush();
        let report = LastReport {
            route,
            status: Some(begin),
            health: Some(begin + SECOND),
        };
        assert_eq!(flush.reports(begin + SECOND), [report]);
        let before = LastReport {
            health: None,
            ..report
        };
        assert_eq!(flush.reports(begin), [before], "the clock was set back");
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
        last_seen.record_health(route, begin, begin);
        let flush = last_seen.begin_flush();
        last_seen.record_health(route, begin + SECOND, begin + SECOND);
        last_seen.end_flush(&flush);
        assert_eq!(last_seen.last(route), Some(begin + SECOND));
    }

    const SECOND: Duration = Duration::from_secs(1);
}
