//! One state of the model, and what a step makes of it.

use uuid::Uuid;
use viridian_strategy::{
    Deployment, Evaluation, Health, Policy, RevisionId, Route, RouteId, RouteStatus, State,
    Timestamp, Traffic, Transition, evaluate, verbs,
};

use super::{clocks::Clocks, config::Config};
use crate::scene::{at, secs};

/// A deployment, its routes, and what is remembered to judge the decision by.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct World {
    pub(super) deployment: Deployment,
    pub(super) members: Vec<Member>,
    /// Which of the configuration's policies it has.
    pub(super) policy: usize,
    pub(super) clocks: Clocks,
    pub(super) now: Timestamp,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Member {
    pub(super) route: Route,
    /// For how many ticks without a pause it has been ready.
    pub(super) held: u8,
}

/// What can happen. Routes are named by their place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Evaluate,
    Tick,
    Status(usize, RouteStatus),
    Health(usize, Health),
    Activate(RevisionId, bool),
    Promote,
    Abort,
    RollBack(RevisionId),
    Update(u32, usize),
    Pause,
    Resume,
    Delete,
}

/// A step that was taken.
#[derive(Clone, Debug)]
pub(super) struct Move {
    pub(super) action: Action,
    pub(super) evaluation: Option<Evaluation>,
    /// What was decided, by the evaluation or by a verb.
    pub(super) transition: Option<Transition>,
    pub(super) after: World,
}

impl World {
    /// A deployment that nobody has given a revision yet.
    pub(super) fn new(target: u32) -> Self {
        let transition = verbs::create(None, target);
        Self {
            deployment: Deployment {
                state: transition.state,
                target_replicas: target,
                paused: false,
                current_since: at(0),
            },
            members: Vec::new(),
            policy: 0,
            clocks: Clocks::default(),
            now: at(0),
        }
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.members.iter().map(|member| &member.route)
    }

    pub(super) fn count(&self, which: impl Fn(&Route) -> bool) -> u32 {
        let count = self.routes().filter(|route| which(route)).count();
        u32::try_from(count).expect("few routes")
    }

    /// The routes that the store loads for a decision.
    pub(super) fn loaded(&self) -> Vec<Route> {
        let since = self.deployment.current_since;
        let needed = |route: &&Route| {
            !route.status.is_over() || route.has_failed() && route.created_at >= since
        };
        self.routes().filter(needed).copied().collect()
    }

    pub(super) fn evaluate(&self, config: &Config) -> Evaluation {
        evaluate(
            &self.deployment,
            &self.loaded(),
            self.policy(config),
            self.now,
        )
    }

    pub(super) fn policy<'a>(&self, config: &'a Config) -> &'a Policy {
        &config.policies[self.policy]
    }

    /// What the action makes of it; nothing if it is refused.
    pub(super) fn step(&self, action: Action, config: &Config) -> Option<Move> {
        let mut after = self.clone();
        let mut evaluation = None;
        let transition = match action {
            Action::Tick => {
                after.pass();
                None
            }
            Action::Status(..) | Action::Health(..) => {
                after.report(action);
                None
            }
            Action::Pause | Action::Resume | Action::Update(..) => {
                after.deployment = self.set(action, config)?;
                if let Action::Update(_, policy) = action {
                    after.policy = policy;
                }
                None
            }
            Action::Evaluate => {
                let decided = self.evaluate(config);
                let transition = decided.transition.clone();
                evaluation = Some(decided);
                Some(transition)
            }
            _ => Some(self.call(action, self.policy(config))?),
        };
        if let Some(transition) = &transition {
            after.apply(transition);
        }
        if !after.is_ending() {
            after.end_the_forgotten(config);
        }
        after.clocks = self.clocks.after(self, action, &after, config);
        Some(Move {
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

    fn report(&mut self, action: Action) {
        let (Action::Status(index, _) | Action::Health(index, _)) = action else {
            return;
        };
        let member = &mut self.members[index];
        match action {
            Action::Status(_, status) => member.route.move_to(status, self.now),
            Action::Health(_, health) => member.route.observe(health, self.now),
            _ => {}
        }
        member.held = 0;
    }

    fn set(&self, action: Action, config: &Config) -> Option<Deployment> {
        match action {
            Action::Pause => verbs::pause(&self.deployment, self.now).ok(),
            Action::Resume => verbs::resume(&self.deployment, self.now).ok(),
            Action::Update(target, policy) => verbs::update(
                &self.deployment,
                self.policy(config),
                target,
                &config.policies[policy],
            )
            .ok(),
            _ => None,
        }
    }

    fn call(&self, action: Action, policy: &Policy) -> Option<Transition> {
        let Self {
            deployment, now, ..
        } = self;
        let routes = self.loaded();
        match action {
            Action::Activate(revision, supersede) => {
                verbs::activate(deployment, &routes, policy, revision, supersede, *now).ok()
            }
            Action::Promote => verbs::promote(deployment, &routes, policy, *now).ok(),
            Action::Abort => verbs::abort(deployment, &routes, policy, *now).ok(),
            Action::RollBack(revision) => {
                verbs::roll_back(deployment, &routes, policy, revision, *now).ok()
            }
            Action::Delete => verbs::delete(deployment, &routes).ok(),
            _ => None,
        }
    }

    fn apply(&mut self, transition: &Transition) {
        let now = self.now;
        for member in &mut self.members {
            transition.changes.apply(&mut member.route, now);
        }
        let last = self.routes().map(|route| route.id.0.as_u128()).max();
        let mut next = last.unwrap_or(0) + 1;
        for new in &transition.changes.rollout {
            for _ in 0..new.count {
                let route = new.create(RouteId(Uuid::from_u128(next)), now);
                self.members.push(Member { route, held: 0 });
                next += 1;
            }
        }
        transition.apply(&mut self.deployment, now);
    }

    /// What drained a route ends it, before anybody looks again.
    fn end_the_forgotten(&mut self, config: &Config) {
        let ends: Vec<RouteId> = self
            .routes()
            .filter(|route| route.status == RouteStatus::Terminating)
            .filter(|route| self.is_forgotten(route, config))
            .map(|route| route.id)
            .collect();
        self.members
            .retain(|member| !ends.contains(&member.route.id));
    }

    pub(super) fn is_ready_and_active(route: &Route) -> bool {
        route.traffic == Traffic::Active && is_ready(route)
    }

    pub(super) fn is_deploying(&self) -> bool {
        matches!(self.deployment.state, State::Deploying(_))
    }

    /// Whether it is being deleted, or is.
    pub(super) fn is_ending(&self) -> bool {
        let state = self.deployment.state;
        matches!(state, State::Destroying { .. } | State::Destroyed { .. })
    }

    /// Live routes of the deploying revision.
    pub(super) fn green(&self) -> impl Iterator<Item = &Member> {
        let deploying = self.deployment.state.deploying();
        self.members.iter().filter(move |Member { route, .. }| {
            Some(route.revision) == deploying && route.is_live()
        })
    }
}

/// What ready means, in the model's own words.
pub(super) fn is_ready(route: &Route) -> bool {
    (route.status, route.health) == (RouteStatus::Running, Health::Healthy)
}
