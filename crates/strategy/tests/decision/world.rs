//! A scene that goes on: what was decided is done to it, as the store does, and
//! time passes.

use uuid::Uuid;
use viridian_strategy::{
    Changes, Evaluation, Health, Route, RouteId, RouteStatus, State, Timestamp, Traffic,
    Transition, TransitionKind, verbs,
};

use crate::scene::{Scene, at};

impl Scene {
    pub(crate) fn count(&self, which: impl Fn(&Route) -> bool) -> u32 {
        let count = self.routes.iter().filter(|route| which(route)).count();
        u32::try_from(count).expect("few routes")
    }

    pub(crate) fn add(&mut self, route: Route) {
        let id = RouteId(Uuid::from_u128(self.routes.len() as u128 + 1));
        self.routes.push(Route { id, ..route });
    }

    /// The routes that the store loads for a decision.
    pub(crate) fn loaded(&self) -> Vec<Route> {
        let since = self.deployment.current_since;
        let needed = |route: &&Route| {
            !route.status.is_over() || route.has_failed() && route.created_at >= since
        };
        self.routes.iter().filter(needed).copied().collect()
    }

    /// One cycle: evaluate, and do it.
    pub(crate) fn cycle(&mut self) -> Evaluation {
        let evaluation = self.evaluate();
        self.apply(&evaluation.transition);
        evaluation
    }

    /// Cycles until there is nothing to do at this time.
    pub(crate) fn settle(&mut self) -> Evaluation {
        for _ in 0..5 {
            let evaluation = self.cycle();
            if evaluation.wake_at.is_none_or(|wake_at| wake_at > self.now) {
                return evaluation;
            }
        }
        panic!("does not settle: {self:#?}");
    }

    /// Lets time pass up to `end`, with a cycle whenever one was asked for.
    pub(crate) fn pass(&mut self, end: Timestamp) {
        while let Some(wake_at) = self.settle().wake_at.filter(|&wake_at| wake_at <= end) {
            self.now = wake_at;
        }
        self.now = end;
        self.settle();
    }

    pub(crate) fn pass_to(&mut self, seconds: i64) {
        self.pass(at(seconds));
    }

    /// A report of route `id`: what it is from now on.
    pub(crate) fn report(&mut self, id: usize, status: RouteStatus, health: Health) {
        let now = self.now;
        let route = &mut self.routes[id - 1];
        if route.status != status {
            route.status = status;
            route.status_updated_at = now;
        }
        if !status.is_active() {
            route.traffic = Traffic::Inactive;
        }
        if route.health != health {
            route.health = health;
            route.health_updated_at = Some(now);
        }
    }

    pub(crate) fn report_all(
        &mut self,
        ids: impl IntoIterator<Item = usize>,
        status: RouteStatus,
        health: Health,
    ) {
        for id in ids {
            self.report(id, status, health);
        }
    }

    /// Promotes by hand, and says whether that was done.
    pub(crate) fn do_promote(&mut self) -> Result<(), verbs::PromoteRejection> {
        let transition = verbs::promote(&self.deployment, &self.loaded(), &self.policy, self.now)?;
        self.apply(&transition);
        Ok(())
    }

    pub(crate) fn apply(&mut self, transition: &Transition) {
        self.change_routes(&transition.changes);
        let Transition { kind, state, .. } = *transition;
        let old = self.deployment.state;
        if let (TransitionKind::Promotion, Some(rollout)) = (kind, old.rollout()) {
            self.deployment.current_since = rollout.since;
        } else if kind == TransitionKind::Step && state.current() != old.current() {
            self.deployment.current_since = self.now;
        }
        self.deployment.state = state;
    }

    /// As the store's statements do it, which refuse what does not fit.
    fn change_routes(&mut self, changes: &Changes) {
        let now = self.now;
        for id in &changes.promote {
            let route = self.route(*id);
            assert!(route.is_ready() && route.traffic == Traffic::Inactive);
            route.traffic = Traffic::Active;
        }
        for id in &changes.retain {
            let route = self.route(*id);
            assert!(route.status == RouteStatus::Running && route.drained_at.is_none());
            route.traffic = Traffic::Inactive;
            route.retained_at = Some(now);
        }
        for id in &changes.drain {
            let route = self.route(*id);
            assert!(
                route.status.is_active(),
                "drained twice, or over: {route:?}"
            );
            route.status = RouteStatus::Terminating;
            route.status_updated_at = now;
            route.traffic = Traffic::Inactive;
            route.drained_at = Some(now);
        }
        for new in &changes.rollout {
            assert!(new.count > 0);
            for _ in 0..new.count {
                self.add(Route {
                    id: RouteId(Uuid::nil()),
                    revision: new.revision,
                    status: RouteStatus::Provisioning,
                    health: Health::NotChecked,
                    traffic: new.traffic,
                    created_at: now,
                    status_updated_at: now,
                    health_updated_at: None,
                    drained_at: None,
                    retained_at: None,
                });
            }
        }
    }

    fn route(&mut self, id: RouteId) -> &mut Route {
        let mut routes = self.routes.iter_mut();
        routes.find(|route| route.id == id).expect("a known route")
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.deployment.state, State::Ready { .. })
    }
}
