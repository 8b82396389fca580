//! What is to change, as a value: decided here, done by the store.

use arrayvec::ArrayVec;

use crate::{
    Cause, Deployment, Health, RevisionId, Route, RouteId, RouteStatus, State, Timestamp, Traffic,
};

/// A change of a deployment and of its routes, to be applied as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// What it amounts to.
    pub kind: TransitionKind,
    /// The state after it.
    pub state: State,
    /// The changes of routes.
    pub changes: Changes,
    /// Why, where blockers do not say it and nobody asked for it.
    pub cause: Option<Cause>,
}

/// What a transition amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransitionKind {
    /// The lifecycle and the sub-step may move, no more.
    Step,
    /// The deploying revision became current.
    Promotion,
    /// The rollout was given up, by way of ROLLING_BACK when it was not there
    /// yet.
    RollBack,
    /// What an earlier promotion retained took the traffic back.
    InstantRollBack,
}

/// What is to change on routes. Promotions come before drains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New routes, at most one entry a revision.
    pub rollout: ArrayVec<NewRoutes, 2>,
    /// To be ACTIVE from now on.
    pub promote: Vec<RouteId>,
    /// To lose their traffic, but to go on running.
    pub retain: Vec<RouteId>,
    /// To be taken out of traffic and ended.
    pub drain: Vec<RouteId>,
}

/// Routes to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRoutes {
    /// Of what.
    pub revision: RevisionId,
    /// How many; at least one.
    pub count: u32,
    /// With what traffic.
    pub traffic: Traffic,
}

impl Changes {
    /// Whether nothing is to change.
    pub fn is_empty(&self) -> bool {
        self.rollout.is_empty()
            && self.promote.is_empty()
            && self.retain.is_empty()
            && self.drain.is_empty()
    }

    /// What they make of a route. New ones come by [`NewRoutes::create`].
    pub fn apply(&self, route: &mut Route, now: Timestamp) {
        self.apply_found(route, now, |ids, id| ids.contains(&id));
    }

    /// What they make of many routes: [`Self::apply`] to each, but without
    /// reading every id for every route.
    pub fn apply_all<'a>(&self, routes: impl IntoIterator<Item = &'a mut Route>, now: Timestamp) {
        let mut sorted = self.clone();
        for ids in [&mut sorted.promote, &mut sorted.retain, &mut sorted.drain] {
            ids.sort_unstable();
        }
        for route in routes {
            sorted.apply_found(route, now, |ids, id| ids.binary_search(&id).is_ok());
        }
    }

    fn apply_found(
        &self,
        route: &mut Route,
        now: Timestamp,
        is_in: impl Fn(&[RouteId], RouteId) -> bool,
    ) {
        if is_in(&self.promote, route.id) {
            route.traffic = Traffic::Active;
            route.retained_at = None;
        }
        if is_in(&self.retain, route.id) {
            route.traffic = Traffic::Inactive;
            route.retained_at = Some(now);
        }
        if is_in(&self.drain, route.id) {
            route.status = RouteStatus::Terminating;
            route.status_updated_at = now;
            route.traffic = Traffic::Inactive;
            route.drained_at = Some(now);
        }
    }

    /// Drains every active route.
    pub(crate) fn drain_active(&mut self, routes: &[Route]) {
        let active = routes.iter().filter(|route| route.status.is_active());
        self.drain.extend(active.map(|route| route.id));
    }

    pub(crate) fn create(&mut self, revision: RevisionId, count: u32, traffic: Traffic) {
        if count > 0 {
            self.rollout.push(NewRoutes {
                revision,
                count,
                traffic,
            });
        }
    }
}

impl Transition {
    /// What it makes of a deployment. The routes follow by [`Changes::apply`].
    pub fn apply(&self, deployment: &mut Deployment, now: Timestamp) {
        let old = deployment.state;
        deployment.state = self.state;
        if self.state.current() == old.current() {
            return;
        }
        deployment.current_since = match (self.kind, old) {
            // Its routes were created since then.
            (TransitionKind::Promotion, State::Deploying(rollout)) => rollout.since,
            _ => now,
        };
    }

    /// No more than the state, which may be the same.
    pub fn step(state: State) -> Self {
        Self {
            kind: TransitionKind::Step,
            state,
            changes: Changes::default(),
            cause: None,
        }
    }
}

impl NewRoutes {
    /// One of them, not started yet.
    pub fn create(&self, id: RouteId, now: Timestamp) -> Route {
        Route {
            id,
            revision: self.revision,
            status: RouteStatus::Provisioning,
            health: Health::NotChecked,
            traffic: self.traffic,
            created_at: now,
            status_updated_at: now,
            health_updated_at: None,
            drained_at: None,
            retained_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_change_of_any_kind_is_a_change() {
        fn changed(change: impl FnOnce(&mut Changes)) -> bool {
            let mut changes = Changes::default();
            change(&mut changes);
            !changes.is_empty()
        }
        let (route, revision) = (RouteId(Uuid::nil()), RevisionId(Uuid::nil()));
        assert!(!changed(|_| {}));
        assert!(changed(|it| it.create(revision, 1, Traffic::Active)));
        assert!(changed(|it| it.promote.push(route)));
        assert!(changed(|it| it.retain.push(route)));
        assert!(changed(|it| it.drain.push(route)));
    }

    #[test]
    fn changes_make_the_same_of_all_routes_as_of_each() {
        let id = |number| RouteId(Uuid::from_u128(number));
        let now = Timestamp::from_micros(1);
        let new = NewRoutes {
            revision: RevisionId(Uuid::nil()),
            count: 8,
            traffic: Traffic::Inactive,
        };
        let changes = Changes {
            promote: vec![id(3), id(1)],
            retain: vec![id(6), id(5)],
            drain: vec![id(9), id(7), id(2)],
            ..Changes::default()
        };
        let routes: Vec<Route> = (1..=8)
            .rev()
            .map(|number| new.create(id(number), Timestamp::default()))
            .collect();
        let mut each = routes.clone();
        for route in &mut each {
            changes.apply(route, now);
        }
        let mut all = routes.clone();
        changes.apply_all(&mut all, now);
        assert_eq!(all, each);
        let untouched = all.iter().zip(&routes).filter(|(new, old)| new == old);
        assert_eq!(untouched.count(), 2);
    }
}
