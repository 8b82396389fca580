//! The canonical form of a state: one for all states that no decision, now or
//! later, can tell apart. The module's doctrine says why it is sound.

use std::time::Duration;

use uuid::Uuid;
use viridian_strategy::{
    DeploymentState, ObservedRoute, RevisionId, RouteHealth, RouteId, RouteStatus, RouteTraffic,
    Strategy, Timestamp,
};

use super::{
    config::{AgeCaps, ModelConfig},
    state::{ModelRoute, ModelState, is_ready},
};
use crate::case::{at, secs};

/// When it is, in every canonical state.
pub(super) const NOW: Timestamp = at(1_000);

impl ModelState {
    pub(super) fn canonical(&self, config: &ModelConfig) -> Self {
        let mut model = self.clone();
        // No decision tells these apart: without this every promotion would be a new state. Only
        // the generation of a creation, 1, is another one.
        model.deployment.generation = 2;
        model.deployment.promoted_at = None;
        model.forget();
        model.collapse(config);
        model.shift(&config.caps().with_slack(self.set_backs));
        model.rename();
        model.renumber_activations();
        model.renumber(config);
        model
    }

    /// Whether a route, which is over or about to be, counts nowhere from now
    /// on.
    pub(super) fn is_forgotten(&self, route: &ObservedRoute) -> bool {
        let state = &self.deployment.state;
        if self.is_ending() {
            return route.status.is_over();
        }
        if route.status.is_active() {
            return false;
        }
        let made_in = Some((route.revision, route.activation));
        let current = state.current();
        let counting = [
            current.map(|revision| (revision, self.deployment.current_activation)),
            state.rollout().map(|it| (it.deploying, it.activation)),
        ];
        route.drained_at.is_some() || route.evicted_at.is_some() || !counting.contains(&made_in)
    }

    /// Whether it matters since when green is ready.
    pub(super) fn waits(&self, config: &ModelConfig) -> bool {
        let strategy = &self.policy(config).strategy;
        !matches!(strategy, Strategy::Rolling(_)) && config.caps().settled > 0
    }

    fn forget(&mut self) {
        let mut members = std::mem::take(&mut self.members);
        members.retain(|member| !self.is_forgotten(&member.route));
        self.members = members;
    }

    /// Times become relative to now, and no older than they have to be: exact
    /// up to what they are compared with, and beyond that only in order.
    fn shift(&mut self, caps: &AgeCaps) {
        let mut times = vec![(self.now, 0)];
        self.each_time(caps, |time, cap| times.push((*time, cap)));
        times.sort_unstable_by(|one, other| other.cmp(one));
        let mut shifted: Vec<(Timestamp, Timestamp)> = Vec::with_capacity(times.len());
        let mut last = NOW;
        for same in times.chunk_by(|one, other| one.0 == other.0) {
            let (time, cap) = same[0];
            let age = self.now.since(time);
            let exact = age.is_zero() || age < secs(cap.into());
            last = if exact {
                NOW - age
            } else {
                (last - Duration::from_micros(1)).min(NOW - secs(cap.into()))
            };
            shifted.push((time, last));
        }
        self.each_time(caps, |time, _| {
            let to = shifted.iter().find(|(from, _)| from == time);
            *time = to.expect("every time was collected").1;
        });
        self.now = NOW;
    }

    /// Every time that is compared with others, and up to which age its value
    /// matters.
    fn each_time(&mut self, caps: &AgeCaps, mut visit: impl FnMut(&mut Timestamp, u8)) {
        if let DeploymentState::Deploying(rollout) = &mut self.deployment.state {
            let settled = caps.settled.max(caps.slack);
            visit(&mut rollout.resumed_at, settled);
            if let Some(at) = &mut rollout.canary.shared_at {
                visit(at, settled);
            }
            if let Some(steady) = &mut rollout.steady {
                visit(&mut steady.settled_at, settled);
            }
        }
        let deploying = self.deployment.state.deploying();
        for ModelRoute { route, .. } in &mut self.members {
            visit(&mut route.created_at, caps.slack);
            let cap = if route.status.is_over() {
                caps.back_off
            } else if Some(route.revision) == deploying && is_ready(route) {
                caps.settled
            } else {
                0
            };
            visit(&mut route.status_updated_at, cap.max(caps.slack));
            if let Some(at) = &mut route.drain_requested_at {
                visit(at, caps.slack);
            }
        }
    }

    /// Sorts and numbers the routes: in the order of their ids where a decision
    /// may depend on it, and else by what they are.
    fn renumber(&mut self, config: &ModelConfig) {
        let deploying = self.deployment.state.deploying();
        let ordered = self.orders_green(config);
        self.members
            .sort_by_key(|member| (member.route.created_at, member.route.id));
        if config.has_drains() {
            // Two that are alike may be told apart by a drain: the order of their ids stays.
        } else if config.is_ordered() {
            self.members
                .chunk_by_mut(|one, other| one.likeness() == other.likeness())
                .for_each(|alike| alike.sort_by_key(ModelRoute::condition));
        } else {
            // Stable: the order among those that keep it is that of their ids.
            self.members.sort_by_key(|member| {
                let route = &member.route;
                let keeps = config.keeps_places()
                    || ordered && Some(route.revision) == deploying && route.is_live();
                let traffic = route.traffic == RouteTraffic::Active;
                let place = (
                    route.activation,
                    route.created_at,
                    traffic,
                    route.retained_at,
                );
                let condition = (!keeps).then(|| (place, member.condition()));
                (route.revision, keeps, condition)
            });
        }
        for (member, number) in self.members.iter_mut().zip(1_u128..) {
            member.route.id = RouteId(Uuid::from_u128(number));
        }
    }

    /// The activation of the current revision is 1, that of the rollout 2, and any other 0.
    fn renumber_activations(&mut self) {
        let deployment = &mut self.deployment;
        let current = deployment.current_activation;
        let last = deployment.state.rollout().map(|it| it.activation);
        for ModelRoute { route, .. } in &mut self.members {
            let first = i64::from(route.activation == current);
            route.activation = if Some(route.activation) == last {
                2
            } else {
                first
            };
        }
        // Once no old one is left, it was.
        let current = deployment.state.current();
        deployment.restarted &= self.members.iter().any(|ModelRoute { route, .. }| {
            Some(route.revision) == current && route.is_live() && route.activation == 0
        });
        deployment.current_activation = i64::from(deployment.state.current().is_some());
        deployment.last_activation = deployment.current_activation;
        if let DeploymentState::Deploying(rollout) = &mut deployment.state {
            rollout.activation = 2;
            deployment.last_activation = 2;
        }
    }

    /// The current revision is the first, the deploying one the second.
    fn rename(&mut self) {
        let state = &self.deployment.state;
        let mut order: Vec<RevisionId> = state.current().into_iter().collect();
        order.extend(state.deploying());
        for route in self.routes() {
            if !order.contains(&route.revision) {
                order.push(route.revision);
            }
        }
        let named = |revision: RevisionId| {
            let place = order.iter().position(|known| *known == revision);
            RevisionId(Uuid::from_u128(place.map_or(0, |place| place as u128 + 1)))
        };
        let first = |current: Option<RevisionId>| current.map(named);
        let mut state = self.deployment.state;
        match &mut state {
            DeploymentState::Pending { current }
            | DeploymentState::Destroying { current }
            | DeploymentState::Destroyed { current } => *current = first(*current),
            DeploymentState::Ready { current } => *current = named(*current),
            DeploymentState::Deploying(rollout) => {
                rollout.current = named(rollout.current);
                rollout.deploying = named(rollout.deploying);
            }
        }
        for member in &mut self.members {
            member.route.revision = named(member.route.revision);
        }
        self.deployment.state = state;
    }
}

impl ModelRoute {
    /// Two routes that agree in this may change places: what they can still
    /// differ in comes before the id in every order.
    fn likeness(&self) -> impl PartialEq + use<> {
        let over = self.route.status.is_over();
        ObservedRoute {
            id: RouteId(Uuid::nil()),
            status: if over {
                RouteStatus::Terminated
            } else {
                RouteStatus::Running
            },
            health: RouteHealth::NotChecked,
            has_address: true,
            once_healthy: true,
            ..self.route
        }
    }

    /// Whether they differ in their ids at most.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let route = ObservedRoute {
            id: self.route.id,
            ..other.route
        };
        (self.route, self.held) == (route, other.held)
    }

    fn condition(&self) -> impl Ord + use<> {
        let Self { route, held } = self;
        let evidence = (
            route.has_address,
            route.once_healthy,
            route.health_observed_at,
        );
        (
            route.status,
            route.health,
            route.status_updated_at,
            *held,
            evidence,
        )
    }
}
