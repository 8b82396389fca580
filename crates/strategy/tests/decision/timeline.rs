//! A case that goes on: what was decided is done to it, as the store does, and
//! time passes.

use std::time::Duration;

use uuid::Uuid;
use viridian_strategy::{
    DeploymentState, Evaluation, ObservedRoute, RevisionId, RolloutStep, RouteActions, RouteHealth,
    RouteId, RouteStatus, RouteTraffic, Timestamp, Transition, verbs,
};

use crate::{
    case::{DecisionCase, at},
    properties::has_threshold,
};

impl DecisionCase {
    pub(crate) fn count(&self, which: impl Fn(&ObservedRoute) -> bool) -> u32 {
        let count = self.routes.iter().filter(|route| which(route)).count();
        u32::try_from(count).expect("few routes")
    }

    pub(crate) fn add(&mut self, route: ObservedRoute) {
        let id = RouteId(Uuid::from_u128(self.routes.len() as u128 + 1));
        self.routes.push(ObservedRoute { id, ..route });
    }

    /// The routes that the store loads for a decision.
    pub(crate) fn loaded(&self) -> Vec<ObservedRoute> {
        let counting = [
            self.deployment.current_activation,
            self.deployment.last_activation,
        ];
        let needed = |route: &&ObservedRoute| {
            let broke = route.has_failed() || route.hung_at.is_some();
            !route.status.is_over() || broke && counting.contains(&route.activation)
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
    pub(crate) fn report(&mut self, id: usize, status: RouteStatus, health: RouteHealth) {
        let route = &mut self.routes[id - 1];
        route.move_to(status, self.now);
        route.has_address |= status == RouteStatus::Running;
        route.observe(health, self.now);
    }

    pub(crate) fn report_all(
        &mut self,
        ids: impl IntoIterator<Item = usize>,
        status: RouteStatus,
        health: RouteHealth,
    ) {
        for id in ids {
            self.report(id, status, health);
        }
    }

    /// Makes all times later, as seen from now: the clock was set back, and the store moved
    /// them back by less.
    pub(crate) fn move_times_forward(&mut self, by: Duration) {
        for route in &mut self.routes {
            let always = [&mut route.created_at, &mut route.status_updated_at];
            let perhaps = [
                &mut route.health_updated_at,
                &mut route.drained_at,
                &mut route.retained_at,
                &mut route.drain_requested_at,
                &mut route.hung_at,
            ];
            let perhaps = perhaps.into_iter().flatten();
            always
                .into_iter()
                .chain(perhaps)
                .for_each(|at| *at = *at + by);
        }
        let DeploymentState::Deploying(rollout) = &mut self.deployment.state else {
            return;
        };
        let gate = match &mut rollout.step {
            RolloutStep::AwaitingPromotion { gate } => gate.since.as_mut(),
            RolloutStep::Shifting { gate } => gate.as_mut().and_then(|gate| gate.since.as_mut()),
            RolloutStep::Provisioning | RolloutStep::RollingBack => None,
        };
        let steady = rollout.steady.as_mut();
        let steady = steady.map(|it| [Some(&mut it.settled_at), it.watch.since.as_mut()]);
        let hold = rollout.canary.hold.as_mut();
        let hold = hold.and_then(|hold| hold.since.as_mut());
        let shared = rollout.canary.shared_at.as_mut();
        let perhaps = [gate, hold, shared, rollout.progress.since.as_mut()];
        let perhaps = perhaps.into_iter().chain(steady.into_iter().flatten());
        let always = [&mut rollout.since, &mut rollout.resumed_at];
        let all = always.into_iter().chain(perhaps.flatten());
        all.for_each(|at| *at = *at + by);
    }

    /// Promotes by hand, and says whether that was done.
    pub(crate) fn do_promote(&mut self) -> Result<(), verbs::PromoteRejection> {
        let transition = self.decide(verbs::promote)?;
        self.apply(&transition);
        Ok(())
    }

    pub(crate) fn do_abort(&mut self) -> Result<(), verbs::AbortRejection> {
        let transition = self.try_abort()?;
        self.apply(&transition);
        Ok(())
    }

    pub(crate) fn do_delete(&mut self) -> Result<(), verbs::DeleteRejection> {
        let transition = self.decide(verbs::delete)?;
        self.apply(&transition);
        Ok(())
    }

    pub(crate) fn do_roll_back(
        &mut self,
        revision: RevisionId,
    ) -> Result<(), verbs::ActivateRejection> {
        let transition = self.try_roll_back(revision)?;
        self.apply(&transition);
        Ok(())
    }

    /// Pauses, or resumes, by the verb.
    pub(crate) fn pause(&mut self, paused: bool) -> Result<(), verbs::PauseRejection> {
        let verb = if paused { verbs::pause } else { verbs::resume };
        let transition = self.decide(verb)?;
        self.apply(&transition);
        Ok(())
    }

    pub(crate) fn apply(&mut self, transition: &Transition) {
        let now = self.now;
        self.actions_fit(&transition.actions);
        for route in &mut self.routes {
            transition.actions.apply(route, now);
        }
        for new in &transition.actions.create {
            for _ in 0..new.count {
                self.add(new.create(RouteId(Uuid::nil()), now));
            }
        }
        self.deployment = transition.deployment;
        self.past.served.change(transition.served);
        self.past.last = transition.ended.or(self.past.last);
    }

    /// What the store's statements ask of the rows that they change.
    fn actions_fit(&self, actions: &RouteActions) {
        for route in self.those(&actions.promote) {
            let comes_later = route.is_live() && has_threshold(&self.policy);
            assert!(route.is_ready() || comes_later);
            assert_eq!(route.traffic, RouteTraffic::Inactive);
        }
        for route in self.those(&actions.retain) {
            assert!(route.status == RouteStatus::Running && route.drained_at.is_none());
        }
        for route in self.those(&actions.reuse) {
            assert!(route.is_ready() && route.retained_at.is_some());
        }
        for route in self.those(&actions.request_drain) {
            assert!(route.is_live() && route.drain_requested_at.is_none());
        }
        for route in self.those(&actions.drain) {
            assert!(
                route.status.is_active(),
                "drained twice, or over: {route:?}"
            );
        }
        let RouteActions {
            create: _,
            promote,
            retain,
            reuse,
            drain,
            hung,
            end,
            request_drain,
        } = actions;
        assert!(hung.iter().all(|id| drain.contains(id)), "{actions:?}");
        let lists = [promote, retain, reuse, drain, end, request_drain];
        let mut ids = lists.map(Vec::as_slice).concat();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "named twice");
        assert!(actions.create.iter().all(|new| new.count > 0));
    }

    fn those(&self, ids: &[RouteId]) -> Vec<&ObservedRoute> {
        let find = |id: &RouteId| self.routes.iter().find(|route| route.id == *id);
        ids.iter()
            .map(|id| find(id).expect("a known route"))
            .collect()
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.deployment.state, DeploymentState::Ready { .. })
    }
}
