//! One state of the model, and what a step makes of it.

use uuid::Uuid;
use viridian_strategy::{
    DeploymentState, Evaluation, Observed, ObservedDeployment, ObservedRoute, Policy, RevisionId,
    RouteHealth, RouteId, RouteStatus, RouteTraffic, Timestamp, Transition, evaluate, verbs,
};

use super::{clocks::TickClocks, config::ModelConfig};
use crate::case::{at, secs};

/// A deployment, its routes, and what is remembered to judge the decision by.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModelState {
    pub(super) deployment: ObservedDeployment,
    pub(super) members: Vec<ModelRoute>,
    /// Which of the configuration's policies it has.
    pub(super) policy: usize,
    pub(super) clocks: TickClocks,
    pub(super) now: Timestamp,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ModelRoute {
    pub(super) route: ObservedRoute,
    /// For how many ticks without a pause it has been ready.
    pub(super) held: u8,
}

/// What can happen. Routes are named by their place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelAction {
    Evaluate,
    Tick,
    Status(usize, RouteStatus),
    /// RUNNING, and nobody says where.
    Unaddressed(usize),
    Health(usize, RouteHealth),
    Activate(RevisionId, bool),
    Promote,
    Abort,
    /// With the gates of the policy, or without.
    RollBack(RevisionId, bool),
    Update(u32, usize),
    Pause,
    Resume,
    Delete,
    Restart,
    Drain(usize),
}

/// A step that was taken.
#[derive(Clone, Debug)]
pub(super) struct ModelStep {
    pub(super) action: ModelAction,
    pub(super) evaluation: Option<Evaluation>,
    /// What was decided, by the evaluation or by a verb.
    pub(super) transition: Option<Transition>,
    pub(super) after: ModelState,
}

impl ModelState {
    /// A deployment without a revision.
    pub(super) fn new(target: u32) -> Self {
        let transition = verbs::create(None, target);
        Self {
            deployment: transition.deployment,
            members: Vec::new(),
            policy: 0,
            clocks: TickClocks::default(),
            now: at(0),
        }
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = &ObservedRoute> {
        self.members.iter().map(|member| &member.route)
    }

    pub(super) fn count(&self, which: impl Fn(&ObservedRoute) -> bool) -> u32 {
        let count = self.routes().filter(|route| which(route)).count();
        u32::try_from(count).expect("few routes")
    }

    /// The routes that the store loads for a decision.
    pub(super) fn loaded(&self) -> Vec<ObservedRoute> {
        let counting = [
            self.deployment.current_activation,
            self.deployment.last_activation,
        ];
        let needed = |route: &&ObservedRoute| {
            !route.status.is_over() || route.has_failed() && counting.contains(&route.activation)
        };
        self.routes().filter(needed).copied().collect()
    }

    pub(super) fn evaluate(&self, config: &ModelConfig) -> Evaluation {
        self.decide(config, evaluate)
    }

    fn decide<T>(&self, config: &ModelConfig, decide: impl FnOnce(&Observed<'_>) -> T) -> T {
        decide(&Observed {
            deployment: &self.deployment,
            routes: &self.loaded(),
            policy: self.policy(config),
            now: self.now,
            health_ttl: config.ttl.map(|ticks| secs(ticks.into())),
        })
    }

    pub(super) fn policy<'a>(&self, config: &'a ModelConfig) -> &'a Policy {
        &config.policies[self.policy]
    }

    /// What the action makes of it; nothing if it is refused.
    pub(super) fn step(&self, action: ModelAction, config: &ModelConfig) -> Option<ModelStep> {
        let mut after = self.clone();
        let mut evaluation = None;
        let transition = match action {
            ModelAction::Tick => {
                after.pass();
                None
            }
            ModelAction::Status(..) | ModelAction::Unaddressed(_) | ModelAction::Health(..) => {
                after.report(action);
                None
            }
            ModelAction::Evaluate => {
                let decided = self.evaluate(config);
                let transition = decided.transition.clone();
                evaluation = Some(decided);
                Some(transition)
            }
            _ => Some(self.call(action, config)?),
        };
        if let Some(transition) = &transition {
            after.apply(transition);
        }
        if let ModelAction::Update(_, policy) = action {
            after.policy = policy;
        }
        if !after.is_ending() {
            after.end_the_forgotten();
        }
        let clocks = self.clocks;
        after.clocks = clocks.after(self, action, transition.as_ref(), &after, config);
        Some(ModelStep {
            action,
            evaluation,
            transition,
            after,
        })
    }

    fn pass(&mut self) {
        self.now = self.now + secs(1);
        for member in &mut self.members {
            if is_ready(&member.route) && !self.deployment.paused {
                member.held = member.held.saturating_add(1);
            }
        }
    }

    fn report(&mut self, action: ModelAction) {
        let (ModelAction::Status(index, _)
        | ModelAction::Unaddressed(index)
        | ModelAction::Health(index, _)) = action
        else {
            return;
        };
        let member = &mut self.members[index];
        let before = member.route;
        match action {
            ModelAction::Status(_, status) => {
                member.route.move_to(status, self.now);
                member.route.has_address |= status == RouteStatus::Running;
            }
            ModelAction::Unaddressed(_) => member.route.move_to(RouteStatus::Running, self.now),
            ModelAction::Health(_, health) => member.route.observe(health, self.now),
            _ => {}
        }
        // That a health is confirmed does not start the wait again.
        if is_ready(&before) != is_ready(&member.route) {
            member.held = 0;
        }
    }

    /// What a call does; nothing if it is refused.
    fn call(&self, action: ModelAction, config: &ModelConfig) -> Option<Transition> {
        self.decide(config, |observed| match action {
            ModelAction::Activate(revision, supersede) => {
                verbs::activate(observed, revision, supersede).ok()
            }
            ModelAction::Promote => verbs::promote(observed).ok(),
            ModelAction::Abort => verbs::abort(observed).ok(),
            ModelAction::RollBack(revision, gated) => {
                verbs::roll_back(observed, revision, gated).ok()
            }
            ModelAction::Update(target, policy) => {
                verbs::update(observed, target, &config.policies[policy]).ok()
            }
            ModelAction::Pause => verbs::pause(observed).ok(),
            ModelAction::Resume => verbs::resume(observed).ok(),
            ModelAction::Delete => verbs::delete(observed).ok(),
            ModelAction::Restart => verbs::restart(observed).ok(),
            ModelAction::Drain(index) => {
                let id = self.members[index].route.id;
                verbs::drain_route(observed, id).ok().flatten()
            }
            ModelAction::Evaluate
            | ModelAction::Tick
            | ModelAction::Status(..)
            | ModelAction::Unaddressed(_)
            | ModelAction::Health(..) => None,
        })
    }

    fn apply(&mut self, transition: &Transition) {
        let now = self.now;
        for member in &mut self.members {
            transition.actions.apply(&mut member.route, now);
        }
        let last = self.routes().map(|route| route.id.0.as_u128()).max();
        let mut next = last.unwrap_or(0) + 1;
        for new in &transition.actions.create {
            for _ in 0..new.count {
                let route = new.create(RouteId(Uuid::from_u128(next)), now);
                self.members.push(ModelRoute { route, held: 0 });
                next += 1;
            }
        }
        self.deployment = transition.deployment;
    }

    /// Ends drained routes before the next evaluation.
    fn end_the_forgotten(&mut self) {
        let ends: Vec<RouteId> = self
            .routes()
            .filter(|route| route.status == RouteStatus::Terminating)
            .filter(|route| self.is_forgotten(route))
            .map(|route| route.id)
            .collect();
        self.members
            .retain(|member| !ends.contains(&member.route.id));
    }

    pub(super) fn is_ready_and_active(route: &ObservedRoute) -> bool {
        route.traffic == RouteTraffic::Active && is_ready(route)
    }

    /// Whether its health was not observed just now.
    pub(super) fn is_ageing(&self, route: &ObservedRoute) -> bool {
        route.health_observed_at != Some(self.now) && route.health == RouteHealth::Healthy
    }

    /// Whether its health counts, in the model's own words.
    pub(super) fn is_fresh(&self, route: &ObservedRoute, config: &ModelConfig) -> bool {
        let age = |at| self.now.since(at).as_secs();
        config.ttl.is_none_or(|ticks| {
            route
                .health_observed_at
                .is_some_and(|at| age(at) < ticks.into())
        })
    }

    pub(super) fn is_deploying(&self) -> bool {
        matches!(self.deployment.state, DeploymentState::Deploying(_))
    }

    /// Whether it is being deleted, or is.
    pub(super) fn is_ending(&self) -> bool {
        let state = self.deployment.state;
        matches!(
            state,
            DeploymentState::Destroying { .. } | DeploymentState::Destroyed { .. }
        )
    }

    /// Live routes of the deploying revision.
    pub(super) fn green(&self) -> impl Iterator<Item = &ModelRoute> {
        let deploying = self.deployment.state.deploying();
        self.members.iter().filter(move |ModelRoute { route, .. }| {
            Some(route.revision) == deploying && route.is_live()
        })
    }

    /// How many of those are ready, but for those that a caller wants out.
    pub(super) fn ready_green(&self) -> usize {
        let stays = |route: &ObservedRoute| route.drain_requested_at.is_none();
        self.green()
            .filter(|member| is_ready(&member.route) && stays(&member.route))
            .count()
    }
}

/// What ready means, in the model's own words.
pub(super) fn is_ready(route: &ObservedRoute) -> bool {
    let is_so = (route.status, route.health, route.has_address);
    is_so == (RouteStatus::Running, RouteHealth::Healthy, true)
}
