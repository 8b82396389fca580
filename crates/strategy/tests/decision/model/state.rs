//! One state of the model, and what a step makes of it.

use std::time::Duration;

use uuid::Uuid;
use viridian_strategy::{
    DeploymentState, Evaluation, Observed, ObservedDeployment, ObservedRoute, Policy, RevisionId,
    RouteHealth, RouteId, RouteStatus, RouteTraffic, Timestamp, Transition, evaluate, verbs,
};

use super::{clocks::TickClocks, collapse::LONG_AGO, config::ModelConfig};
use crate::case::{at, secs};

/// A deployment, its routes, and what is remembered to judge the decision by.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModelState {
    pub(super) deployment: ObservedDeployment,
    pub(super) members: Vec<ModelRoute>,
    /// Which of the configuration's policies it has.
    pub(super) policy: usize,
    pub(super) clocks: TickClocks,
    /// How often the clock may still be set back.
    pub(super) set_backs: u8,
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
    /// What was seen a tick ago, and may have been overtaken.
    Late(usize, RouteHealth),
    /// Nobody has confirmed its health.
    Silence(usize),
    /// It is started anew in place.
    NewSession(usize),
    /// No server knows any more when a health was last confirmed.
    ServerRestarts,
    /// The clock that decides is set back by a tick.
    SetBack,
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
    /// To the next step of a canary, or to the last.
    Advance(bool),
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
    pub(super) fn new(config: &ModelConfig) -> Self {
        let transition = verbs::create(None, config.targets[0]);
        Self {
            deployment: transition.deployment,
            members: Vec::new(),
            policy: 0,
            clocks: TickClocks::default(),
            set_backs: config.set_backs,
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
            ModelAction::SetBack => {
                after.set_back();
                None
            }
            ModelAction::ServerRestarts => {
                after.lose_confirmations();
                None
            }
            action if action.reports_of().is_some() => {
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

    /// As the store does: what is later than the clock now says is moved back with all the
    /// other times, so that the latest is now.
    fn set_back(&mut self) {
        let loses = self.loses_a_tick();
        let now = self.now - secs(1);
        let ahead = self.latest_time().since(now);
        self.deployment.move_times_back(ahead);
        for member in &mut self.members {
            member.route.move_times_back(ahead);
            let counts = is_ready(&member.route) && !self.deployment.paused && loses;
            member.held = member.held.saturating_sub(u8::from(counts));
        }
        self.now = now;
        self.set_backs -= 1;
    }

    /// Whether a clock that is set back by a tick takes one from every wait: nothing has
    /// happened since.
    pub(super) fn loses_a_tick(&self) -> bool {
        self.latest_age() >= secs(1)
    }

    /// How long ago the latest of its times is.
    pub(super) fn latest_age(&self) -> Duration {
        self.now.since(self.latest_time())
    }

    fn latest_time(&self) -> Timestamp {
        let routes = self.routes().map(ObservedRoute::latest_time);
        let latest = routes.chain(self.deployment.latest_time()).max();
        latest.unwrap_or_default()
    }

    /// What was confirmed since the last flush is as if nobody had: at worst that is all.
    fn lose_confirmations(&mut self) {
        for ModelRoute { route, .. } in &mut self.members {
            let observed = &mut route.health_observed_at;
            *observed = observed.map(|_| LONG_AGO);
        }
    }

    fn report(&mut self, action: ModelAction) {
        let Some(index) = action.reports_of() else {
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
            ModelAction::Late(_, health) => {
                let seen = self.now - secs(1);
                // As the store does.
                if member
                    .route
                    .later_observation(seen, true, self.now)
                    .is_none()
                {
                    member.route.apply_observation(health, seen, self.now);
                }
            }
            ModelAction::Silence(_) => member.route.forget_health(self.now),
            ModelAction::NewSession(_) => member.route.begin_session(self.now),
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
            ModelAction::Advance(to_last) => verbs::advance(observed, to_last).ok(),
            ModelAction::Drain(index) => {
                let id = self.members[index].route.id;
                verbs::drain_route(observed, id).ok().flatten()
            }
            ModelAction::Evaluate
            | ModelAction::Tick
            | ModelAction::Status(..)
            | ModelAction::Unaddressed(_)
            | ModelAction::Health(..)
            | ModelAction::Late(..)
            | ModelAction::Silence(_)
            | ModelAction::NewSession(_)
            | ModelAction::ServerRestarts
            | ModelAction::SetBack => None,
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

impl ModelAction {
    /// Whether somebody asks something of the deployment.
    pub(super) fn is_call(self) -> bool {
        let happens = matches!(
            self,
            Self::Evaluate | Self::Tick | Self::ServerRestarts | Self::SetBack
        );
        !happens && self.reports_of().is_none()
    }

    /// The route of which it is a report.
    pub(super) fn reports_of(self) -> Option<usize> {
        match self {
            Self::Status(index, _)
            | Self::Unaddressed(index)
            | Self::Health(index, _)
            | Self::Late(index, _)
            | Self::Silence(index)
            | Self::NewSession(index) => Some(index),
            _ => None,
        }
    }
}

/// What ready means, in the model's own words.
pub(super) fn is_ready(route: &ObservedRoute) -> bool {
    let is_so = (route.status, route.health, route.has_address);
    is_so == (RouteStatus::Running, RouteHealth::Healthy, true)
}
