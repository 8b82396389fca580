//! The reports of reports: what each makes of a route.

use std::{collections::HashMap, sync::Arc, time::Duration};

use viridian_strategy::{RouteHealth, RouteId, RouteStatus, Timestamp};

pub use super::refusal::ReportError;
use crate::{
    last_reports::last_observed,
    last_seen::LastSeen,
    record::{AddressError, Route, RouteAddress},
};

/// What became of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// Which route.
    pub route: RouteId,
    /// Its new status.
    pub status: RouteStatus,
    /// The session that it runs in; kept when empty.
    pub session_id: String,
    /// Where it listens, with RUNNING; kept when None.
    pub address: Option<Result<RouteAddress, AddressError>>,
    /// Why it failed.
    pub failure: String,
}

/// What the health checker saw of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// Which route.
    pub route: RouteId,
    /// What it saw.
    pub health: RouteHealth,
    /// When it saw it; on arrival if None. A time in the future counts as the arrival.
    pub observed_at: Option<Timestamp>,
    /// The session in which it saw it; any if empty.
    pub session_id: String,
    /// Why it is so, for operators; kept when empty and the health is the same.
    pub detail: String,
}

/// What reports are compared with.
pub(crate) struct ReportTerms {
    pub(crate) now: Timestamp,
    pub(crate) health_ttl: Option<Duration>,
    /// When the health of routes was last observed, as far as that is not in their rows.
    confirmed: Arc<HashMap<RouteId, Timestamp>>,
}

/// A report of either kind: what it would make of a route.
pub(super) trait Report {
    fn route(&self) -> RouteId;
    /// Whether nothing would change.
    fn is_noop(&self, route: &Route, terms: &ReportTerms) -> bool;
    fn check(&self, route: &Route, terms: &ReportTerms) -> Result<(), ReportError>;
    fn apply(&self, route: &mut Route, now: Timestamp);
    /// Records when it was, once it holds.
    fn record(&self, last_seen: &LastSeen, now: Timestamp);
    /// Whether it changes only when the health was last observed.
    fn only_confirms(&self, _: &Route) -> bool {
        false
    }
    /// The address that no other route of the deployment may have.
    fn claims(&self) -> Option<&RouteAddress> {
        None
    }
}

impl Report for StatusReport {
    fn route(&self) -> RouteId {
        self.route
    }

    fn is_noop(&self, route: &Route, _: &ReportTerms) -> bool {
        let same_session = self.session_id.is_empty() || self.session_id == route.session_id;
        let same_address = match &self.address {
            None => true,
            Some(Ok(address)) => route.address.as_ref() == Some(address),
            Some(Err(_)) => false,
        };
        // An address is where a RUNNING route listens. Of another one it says nothing.
        let same_place = self.status != RouteStatus::Running || same_address;
        route.view.status == self.status && (self.status.is_over() || same_session && same_place)
    }

    fn check(&self, route: &Route, _: &ReportTerms) -> Result<(), ReportError> {
        let (from, to) = (route.view.status, self.status);
        // The same status once more may bring an address or a session that was not known.
        if from != to && !from.may_become(to) {
            return Err(ReportError::IllegalMove { from, to });
        }
        match &self.address {
            Some(Err(error)) if to == RouteStatus::Running => {
                return Err(ReportError::InvalidAddress(*error));
            }
            _ => {}
        }
        // The end of the session before: the route runs in another one by now.
        let ends = from == RouteStatus::Running && to != RouteStatus::Running;
        if ends && is_another(&self.session_id, &route.session_id) {
            return Err(ReportError::OtherSession { known: true });
        }
        Ok(())
    }

    fn apply(&self, route: &mut Route, now: Timestamp) {
        let runs = self.status == RouteStatus::Running;
        let address = self.address.as_ref().filter(|_| runs);
        let address = address.and_then(|address| address.as_ref().ok());
        let moved = matches!((address, &route.address), (Some(new), Some(old)) if new != old);
        let restarted = is_another(&self.session_id, &route.session_id);
        if runs && route.view.status == RouteStatus::Running && (moved || restarted) {
            route.view.begin_session(now);
            route.health_detail.clear();
        }
        route.view.move_to(self.status, now);
        if let Some(address) = address {
            route.address = Some(address.clone());
            route.view.has_address = true;
        }
        for (new, old) in [
            (&self.session_id, &mut route.session_id),
            (&self.failure, &mut route.failure),
        ] {
            if !new.is_empty() {
                old.clone_from(new);
            }
        }
        // Or nothing would show why a healthy route was replaced.
        if route.view.is_evicted() && route.failure.is_empty() {
            EVICTED.clone_into(&mut route.failure);
        }
    }

    fn record(&self, last_seen: &LastSeen, now: Timestamp) {
        last_seen.record_status(self.route, now);
    }

    fn claims(&self) -> Option<&RouteAddress> {
        let address = self.address.as_ref()?.as_ref().ok();
        address.filter(|_| self.status == RouteStatus::Running)
    }
}

impl HealthReport {
    /// What was seen on arrival, in whatever session.
    pub fn new(route: RouteId, health: RouteHealth) -> Self {
        Self {
            route,
            health,
            observed_at: None,
            session_id: String::new(),
            detail: String::new(),
        }
    }

    fn observed_at(&self, now: Timestamp) -> Timestamp {
        self.observed_at.map_or(now, |at| at.min(now))
    }

    /// When the health was observed that outranks this one.
    fn later(&self, route: &Route, terms: &ReportTerms) -> Option<Timestamp> {
        let names_session = !self.session_id.is_empty();
        let at = self.observed_at(terms.now);
        let of = terms.confirmed(route);
        of.later_observation(at, names_session, terms.now)
    }
}

/// What is shown of a route that its scheduler took away without a word.
const EVICTED: &str = "taken away by its scheduler";

impl Report for HealthReport {
    fn route(&self) -> RouteId {
        self.route
    }

    fn is_noop(&self, route: &Route, terms: &ReportTerms) -> bool {
        // A route that is over refuses every health, also the one that it had last.
        let takes = !route.view.status.is_over()
            && !is_another(&self.session_id, &route.session_id)
            && route.view.health == self.health;
        let explains = self.detail.is_empty() || self.detail == route.health_detail;
        let is_late = || self.later(route, terms).is_some();
        takes && (explains && !terms.is_ageing(route) || is_late())
    }

    fn check(&self, route: &Route, terms: &ReportTerms) -> Result<(), ReportError> {
        if route.view.status.is_over() {
            return Err(ReportError::Over(route.view.status));
        }
        if !self.session_id.is_empty() && self.session_id != route.session_id {
            let known = !route.session_id.is_empty();
            return Err(ReportError::OtherSession { known });
        }
        if let Some(latest) = self.later(route, terms) {
            let health = route.view.health;
            return Err(ReportError::Outdated { latest, health });
        }
        let at = self.observed_at(terms.now);
        match terms.health_ttl {
            // It would count as stale at once, and end again: a change for nothing.
            Some(ttl) if self.health == RouteHealth::Healthy && at + ttl <= terms.now => {
                Err(ReportError::TooOld { at, ttl })
            }
            _ => Ok(()),
        }
    }

    fn apply(&self, route: &mut Route, now: Timestamp) {
        if self.health != route.view.health || !self.detail.is_empty() {
            route.health_detail.clone_from(&self.detail);
        }
        let at = self.observed_at(now);
        route.view.apply_observation(self.health, at, now);
    }

    fn only_confirms(&self, route: &Route) -> bool {
        let explains = self.detail.is_empty() || self.detail == route.health_detail;
        route.view.health == self.health && explains
    }

    fn record(&self, last_seen: &LastSeen, now: Timestamp) {
        last_seen.record_health(self.route, self.observed_at(now), now);
    }
}

/// Whether a report names another session than the one that is known.
fn is_another(named: &str, known: &str) -> bool {
    !named.is_empty() && !known.is_empty() && named != known
}

impl ReportTerms {
    /// Terms under which all that is known is in the rows.
    pub(super) fn at(now: Timestamp, health_ttl: Option<Duration>) -> Self {
        Self {
            now,
            health_ttl,
            confirmed: Arc::default(),
        }
    }

    /// The same, with times that are not in the rows.
    pub(super) fn with_confirmed(self, confirmed: HashMap<RouteId, Timestamp>) -> Self {
        let confirmed = Arc::new(confirmed);
        Self { confirmed, ..self }
    }

    /// The same at another time.
    pub(super) fn as_of(&self, now: Timestamp) -> Self {
        Self {
            now,
            health_ttl: self.health_ttl,
            confirmed: Arc::clone(&self.confirmed),
        }
    }

    /// A route as a decision sees it, with the time at which its health was last
    /// observed.
    fn confirmed(&self, route: &Route) -> viridian_strategy::ObservedRoute {
        let mut view = route.view;
        let again = self.confirmed.get(&view.id).copied();
        view.health_observed_at = last_observed(&view, again, self.now);
        view
    }

    /// Whether a report that repeats the health has to be written down at once. In a
    /// fleet that reports often none has to: what is remembered is written down within
    /// a quarter of the TTL, so that the record is never older than three quarters.
    fn is_ageing(&self, route: &Route) -> bool {
        let healthy = route.view.health == RouteHealth::Healthy;
        self.health_ttl.is_some_and(|ttl| {
            let at = self.confirmed(route).health_observed_at;
            healthy && at.is_none_or(|at| at > self.now || at + ttl / 2 <= self.now)
        })
    }
}
