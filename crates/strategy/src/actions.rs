//! What is to be done with routes.

use arrayvec::ArrayVec;

use crate::{
    Observed, ObservedRoute, RevisionId, RouteHealth, RouteId, RouteStatus, RouteTraffic, Timestamp,
};

/// What is to be done with routes. Promotions come before drains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteActions {
    /// New routes, at most one entry for each revision.
    pub create: ArrayVec<NewRoutes, 2>,
    /// To become ACTIVE.
    pub promote: Vec<RouteId>,
    /// To lose their traffic but keep running.
    pub retain: Vec<RouteId>,
    /// Retained ones that count as replicas again, still without traffic.
    pub reuse: Vec<RouteId>,
    /// To be taken out of traffic and stopped.
    pub drain: Vec<RouteId>,
    /// Those of them that have been UNHEALTHY for too long.
    pub hung: Vec<RouteId>,
    /// To be taken for ended, whatever becomes of them.
    pub end: Vec<RouteId>,
    /// To be drained once others are ready in their place.
    pub request_drain: Vec<RouteId>,
}

/// Routes to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRoutes {
    /// The revision that they run.
    pub revision: RevisionId,
    /// How many, at least one.
    pub count: u32,
    /// Whether they take traffic.
    pub traffic: RouteTraffic,
    /// The number of the activation that they belong to.
    pub activation: i64,
}

impl RouteActions {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.create.is_empty()
            && self.promote.is_empty()
            && self.retain.is_empty()
            && self.reuse.is_empty()
            && self.drain.is_empty()
            && self.end.is_empty()
            && self.request_drain.is_empty()
    }

    /// Applies them to a route. New routes come from [`NewRoutes::create`].
    pub fn apply(&self, route: &mut ObservedRoute, now: Timestamp) {
        self.apply_found(route, now, |ids, id| ids.contains(&id));
    }

    /// Applies them to many routes, with the result of [`Self::apply`] to each.
    pub fn apply_all<'a>(
        &self,
        routes: impl IntoIterator<Item = &'a mut ObservedRoute>,
        now: Timestamp,
    ) {
        // A search in sorted ids: a scan of every list for every route would be
        // quadratic, and there may be 1,000 of both.
        let mut sorted = self.clone();
        let Self {
            create: _,
            promote,
            retain,
            reuse,
            drain,
            hung,
            end,
            request_drain,
        } = &mut sorted;
        for ids in [promote, retain, reuse, drain, hung, end, request_drain] {
            ids.sort_unstable();
        }
        for route in routes {
            sorted.apply_found(route, now, |ids, id| ids.binary_search(&id).is_ok());
        }
    }

    fn apply_found(
        &self,
        route: &mut ObservedRoute,
        now: Timestamp,
        is_in: impl Fn(&[RouteId], RouteId) -> bool,
    ) {
        if is_in(&self.promote, route.id) {
            route.traffic = RouteTraffic::Active;
            route.retained_at = None;
        }
        if is_in(&self.retain, route.id) {
            route.traffic = RouteTraffic::Inactive;
            route.retained_at = Some(now);
        }
        if is_in(&self.reuse, route.id) {
            route.retained_at = None;
        }
        if is_in(&self.drain, route.id) {
            route.status = RouteStatus::Terminating;
            route.status_updated_at = now;
            route.traffic = RouteTraffic::Inactive;
            route.drained_at = Some(now);
        }
        if is_in(&self.hung, route.id) {
            route.hung_at = Some(now);
        }
        if is_in(&self.end, route.id) {
            route.status = RouteStatus::Terminated;
            route.status_updated_at = now;
            route.traffic = RouteTraffic::Inactive;
            // It has not failed, and neither has one that its scheduler took away.
            if route.evicted_at.is_none() {
                route.drained_at.get_or_insert(now);
            }
        }
        if is_in(&self.request_drain, route.id) {
            route.drain_requested_at = Some(now);
        }
    }

    /// Drains the active routes that are obsolete.
    pub(crate) fn drain_active(
        &mut self,
        observed: &Observed<'_>,
        is_obsolete: impl Fn(&ObservedRoute) -> bool,
    ) {
        let obsolete = observed.active_routes().filter(|route| is_obsolete(route));
        self.drain.extend(obsolete.map(|route| route.id));
    }

    /// Creates `count` routes of a revision in an activation, if that is any.
    pub(crate) fn create(
        &mut self,
        revision: RevisionId,
        activation: i64,
        count: u32,
        traffic: RouteTraffic,
    ) {
        if count > 0 {
            self.create.push(NewRoutes {
                revision,
                count,
                traffic,
                activation,
            });
        }
    }
}

impl NewRoutes {
    /// Makes one of them, not started yet.
    pub fn create(&self, id: RouteId, now: Timestamp) -> ObservedRoute {
        ObservedRoute {
            id,
            revision: self.revision,
            status: RouteStatus::Provisioning,
            health: RouteHealth::NotChecked,
            traffic: self.traffic,
            activation: self.activation,
            created_at: now,
            status_updated_at: now,
            health_updated_at: None,
            drained_at: None,
            retained_at: None,
            evicted_at: None,
            has_address: false,
            once_healthy: false,
            health_observed_at: None,
            drain_requested_at: None,
            hung_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_action_of_any_kind_is_something_to_do() {
        fn is_something(act: impl FnOnce(&mut RouteActions)) -> bool {
            let mut actions = RouteActions::default();
            act(&mut actions);
            !actions.is_empty()
        }
        let (route, revision) = (RouteId(Uuid::nil()), RevisionId(Uuid::nil()));
        assert!(!is_something(|_| {}));
        assert!(is_something(|it| it.create(
            revision,
            1,
            1,
            RouteTraffic::Active
        )));
        assert!(is_something(|it| it.promote.push(route)));
        assert!(is_something(|it| it.retain.push(route)));
        assert!(is_something(|it| it.reuse.push(route)));
        assert!(is_something(|it| it.drain.push(route)));
        assert!(is_something(|it| it.end.push(route)));
        assert!(is_something(|it| it.request_drain.push(route)));
    }

    #[test]
    fn a_route_that_is_ended_was_drained_or_taken_away_and_not_both() {
        let now = Timestamp::from_micros(2);
        let id = RouteId(Uuid::nil());
        let new = NewRoutes {
            revision: RevisionId(Uuid::nil()),
            count: 1,
            traffic: RouteTraffic::Active,
            activation: 1,
        };
        let end = RouteActions {
            end: vec![id],
            ..RouteActions::default()
        };
        for evicted_at in [None, Some(Timestamp::from_micros(1))] {
            let mut route = new.create(id, Timestamp::default());
            route.evicted_at = evicted_at;
            end.apply(&mut route, now);
            assert_eq!(route.status, RouteStatus::Terminated);
            assert_eq!(route.drained_at.is_some(), evicted_at.is_none());
            assert!(!route.has_failed());
        }
    }

    #[test]
    fn actions_on_all_routes_do_the_same_as_on_each() {
        let id = |number| RouteId(Uuid::from_u128(number));
        let now = Timestamp::from_micros(1);
        let new = NewRoutes {
            revision: RevisionId(Uuid::nil()),
            count: 8,
            traffic: RouteTraffic::Inactive,
            activation: 1,
        };
        let actions = RouteActions {
            promote: vec![id(3), id(1)],
            retain: vec![id(6), id(5)],
            reuse: vec![id(8)],
            drain: vec![id(10), id(7), id(2)],
            hung: vec![id(7)],
            end: vec![id(8)],
            request_drain: vec![id(4)],
            ..RouteActions::default()
        };
        let routes: Vec<ObservedRoute> = (1..=9)
            .rev()
            .map(|number| new.create(id(number), Timestamp::default()))
            .collect();
        let mut routes = routes;
        routes[0].retained_at = Some(Timestamp::default());
        let mut each = routes.clone();
        for route in &mut each {
            actions.apply(route, now);
        }
        let mut all = routes.clone();
        actions.apply_all(&mut all, now);
        assert_eq!(all, each);
        let untouched = all.iter().zip(&routes).filter(|(new, old)| new == old);
        assert_eq!(untouched.count(), 1);
    }
}
