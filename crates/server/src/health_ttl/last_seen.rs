//! When this server last had a report of each route.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use viridian_store::LastReport;
use viridian_strategy::{RouteId, Timestamp};

/// What is not written down yet. Each report is noted here in passing; nothing
/// else happens for one that changes nothing.
#[derive(Debug, Default)]
pub(crate) struct LastSeen(Mutex<HashMap<RouteId, RouteTimes>>);

/// What was to be written down at one moment.
pub(crate) struct Flush(Vec<(RouteId, RouteTimes)>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RouteTimes {
    status: Option<Timestamp>,
    health: Option<Timestamp>,
}

impl LastSeen {
    /// Notes that the status of some routes was reported, by the database's time.
    pub(crate) fn statuses(&self, routes: &[RouteId], now: Timestamp) {
        let mut times = self.times();
        for &route in routes {
            times.entry(route).or_default().status = Some(now);
        }
    }

    /// Notes that the health of some routes was reported, by the database's time.
    pub(crate) fn health(&self, routes: &[RouteId], now: Timestamp) {
        let mut times = self.times();
        for &route in routes {
            times.entry(route).or_default().health = Some(now);
        }
    }

    /// When anything was reported of a route last. None when that is written
    /// down, or nothing ever was.
    pub(crate) fn last(&self, route: RouteId) -> Option<Timestamp> {
        let times = self.times();
        let RouteTimes { status, health } = times.get(&route)?;
        (*status).max(*health)
    }

    /// All that is to be written down.
    pub(super) fn noted(&self) -> Flush {
        let times = self.times();
        Flush(times.iter().map(|(&id, &times)| (id, times)).collect())
    }

    /// Forgets what is written down, but for what was last_seen since.
    pub(super) fn forget(&self, written: &Flush) {
        let mut times = self.times();
        for (id, of) in &written.0 {
            if times.get(id) == Some(of) {
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
    fn what_was_heard_is_told_until_it_is_written_down() {
        let (last_seen, route, begin) = (
            LastSeen::default(),
            RouteId(Uuid::nil()),
            Timestamp::from_micros(0),
        );
        assert_eq!(last_seen.last(route), None);
        last_seen.statuses(&[route], begin);
        last_seen.health(&[route], begin + SECOND);
        assert_eq!(last_seen.last(route), Some(begin + SECOND));
        let noted = last_seen.noted();
        let report = LastReport {
            route,
            status: Some(begin),
            health: Some(begin + SECOND),
        };
        assert_eq!(noted.reports(), [report]);
        last_seen.forget(&noted);
        assert_eq!(last_seen.last(route), None);
    }

    #[test]
    fn what_was_heard_meanwhile_is_written_down_the_next_time() {
        let (last_seen, route, begin) = (
            LastSeen::default(),
            RouteId(Uuid::nil()),
            Timestamp::from_micros(0),
        );
        last_seen.health(&[route], begin);
        let noted = last_seen.noted();
        last_seen.health(&[route], begin + SECOND);
        last_seen.forget(&noted);
        assert_eq!(last_seen.last(route), Some(begin + SECOND));
    }

    const SECOND: Duration = Duration::from_secs(1);
}
