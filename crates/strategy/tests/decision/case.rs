//! What the tables are written in: replicas, cases, and the line that says
//! what was decided.
//!
//! Times are seconds. Blue was activated at -1000, green at 0, and it is 100.
//! Routes are numbered from 1, in the order in which a case lists them.

use std::{fmt::Write, time::Duration};

use uuid::Uuid;
use viridian_strategy::{
    Blocker, BlueGreen, Canary, CanaryStep, DeploymentState, Evaluation, IntOrPercent, Observed,
    ObservedDeployment, ObservedRoute, PastRollouts, Policy, RevisionId, RollingUpdate, Rollout,
    RolloutStep, RouteActions, RouteHealth, RouteId, RouteStatus, RouteTraffic, Stopwatch,
    Strategy, Timestamp, Transition, TransitionKind, evaluate, verbs,
};

pub(crate) use viridian_strategy::{
    RouteHealth::{Degraded, Healthy, NotChecked, Unhealthy},
    RouteStatus::{FailedToStart, Provisioning, Running, Terminated, Terminating},
};

pub(crate) const BLUE: RevisionId = RevisionId(Uuid::from_u128(1));
pub(crate) const GREEN: RevisionId = RevisionId(Uuid::from_u128(2));
pub(crate) const OTHER: RevisionId = RevisionId(Uuid::from_u128(3));

/// The activation that made blue the current revision, and that of green.
pub(crate) const BLUES: i64 = 6;
pub(crate) const GREENS: i64 = 7;

pub(crate) const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One or more routes that are alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplicaSpec {
    route: ObservedRoute,
    count: usize,
}

/// A route of the current revision, ACTIVE, old.
pub(crate) fn blue(status: RouteStatus, health: RouteHealth) -> ReplicaSpec {
    let replica = replica(BLUE, status, health)
        .made_in(BLUES)
        .created(-1000)
        .at(-1000);
    if status.is_active() {
        replica.active()
    } else {
        replica
    }
}

/// A route of the deploying revision, INACTIVE, created when it was activated.
pub(crate) fn green(status: RouteStatus, health: RouteHealth) -> ReplicaSpec {
    replica(GREEN, status, health).made_in(GREENS)
}

/// A route of a revision that is neither, INACTIVE.
pub(crate) fn other(status: RouteStatus, health: RouteHealth) -> ReplicaSpec {
    replica(OTHER, status, health).created(-500).at(-500)
}

fn replica(revision: RevisionId, status: RouteStatus, health: RouteHealth) -> ReplicaSpec {
    let route = ObservedRoute {
        id: RouteId(Uuid::nil()),
        revision,
        status,
        health,
        traffic: RouteTraffic::Inactive,
        activation: 0,
        created_at: at(0),
        status_updated_at: at(0),
        health_updated_at: None,
        drained_at: None,
        retained_at: None,
        evicted_at: None,
        has_address: status != RouteStatus::Provisioning,
        // What is old has been HEALTHY some time.
        once_healthy: revision != GREEN || health == Healthy,
        health_observed_at: None,
        drain_requested_at: None,
        hung_at: None,
    };
    ReplicaSpec { route, count: 1 }.at(0)
}

impl ReplicaSpec {
    /// Has had its status and its health since then.
    pub(crate) fn at(mut self, seconds: i64) -> Self {
        self.route.status_updated_at = at(seconds);
        self.route.health_updated_at = (self.route.health != NotChecked).then_some(at(seconds));
        self.observed(seconds)
    }

    /// Its health was last reported then.
    pub(crate) fn observed(mut self, seconds: i64) -> Self {
        self.route.health_observed_at = (self.route.health != NotChecked).then_some(at(seconds));
        self
    }

    /// Nobody has reported where it listens.
    pub(crate) fn without_address(mut self) -> Self {
        self.route.has_address = false;
        self
    }

    /// Has not been HEALTHY in its present session.
    pub(crate) fn never_healthy(mut self) -> Self {
        self.route.once_healthy = false;
        self
    }

    /// Has had its status since then.
    pub(crate) fn status_at(mut self, seconds: i64) -> Self {
        self.route.status_updated_at = at(seconds);
        self
    }

    pub(crate) fn created(mut self, seconds: i64) -> Self {
        self.route.created_at = at(seconds);
        self
    }

    /// The number of the activation that it was created in.
    pub(crate) fn made_in(mut self, activation: i64) -> Self {
        self.route.activation = activation;
        self
    }

    pub(crate) fn active(mut self) -> Self {
        self.route.traffic = RouteTraffic::Active;
        self
    }

    pub(crate) fn inactive(mut self) -> Self {
        self.route.traffic = RouteTraffic::Inactive;
        self
    }

    pub(crate) fn drained(mut self, seconds: i64) -> Self {
        self.route.drained_at = Some(at(seconds));
        self.inactive()
    }

    /// Is being taken away by its scheduler since then, or was.
    pub(crate) fn evicted(mut self, seconds: i64) -> Self {
        self.route.evicted_at = Some(at(seconds));
        self.inactive()
    }

    /// A caller has wanted it out since then.
    pub(crate) fn drain_requested(mut self, seconds: i64) -> Self {
        self.route.drain_requested_at = Some(at(seconds));
        self
    }

    pub(crate) fn retained(mut self, seconds: i64) -> Self {
        self.route.retained_at = Some(at(seconds));
        self.inactive()
    }

    pub(crate) fn times(self, count: usize) -> Self {
        Self { count, ..self }
    }

    pub(crate) fn route(self) -> ObservedRoute {
        self.route
    }
}

/// All that a decision is made from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DecisionCase {
    pub(crate) deployment: ObservedDeployment,
    pub(crate) routes: Vec<ObservedRoute>,
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
    /// What came before.
    pub(crate) past: PastRollouts,
    pub(crate) health_ttl: Option<Duration>,
}

pub(crate) fn pending(target: u32, routes: impl IntoIterator<Item = ReplicaSpec>) -> DecisionCase {
    let current = Some(BLUE);
    case(DeploymentState::Pending { current }, target, routes)
}

pub(crate) fn ready(target: u32, routes: impl IntoIterator<Item = ReplicaSpec>) -> DecisionCase {
    case(DeploymentState::Ready { current: BLUE }, target, routes)
}

/// DEPLOYING / PROVISIONING, blue-green with the default policy: a manual gate.
pub(crate) fn deploying(
    target: u32,
    routes: impl IntoIterator<Item = ReplicaSpec>,
) -> DecisionCase {
    let rollout = Rollout::new(BLUE, GREEN, GREENS, at(0));
    let case = case(DeploymentState::Deploying(rollout), target, routes);
    let ready = case.count(|route| route.revision == GREEN && route.is_ready());
    case.best(ready.min(target))
}

/// DEPLOYING / AWAITING_PROMOTION, at the gate since 50.
pub(crate) fn awaiting(target: u32, routes: impl IntoIterator<Item = ReplicaSpec>) -> DecisionCase {
    deploying(target, routes).rollout(|rollout| {
        rollout.progress = Stopwatch::default();
        rollout.best_ready = target;
        rollout.step = RolloutStep::AwaitingPromotion {
            gate: Stopwatch::started(at(50)),
        };
    })
}

pub(crate) fn destroying(routes: impl IntoIterator<Item = ReplicaSpec>) -> DecisionCase {
    let current = Some(BLUE);
    case(DeploymentState::Destroying { current }, 3, routes)
}

pub(crate) fn case(
    state: DeploymentState,
    target: u32,
    routes: impl IntoIterator<Item = ReplicaSpec>,
) -> DecisionCase {
    let mut case = DecisionCase {
        deployment: ObservedDeployment {
            state,
            target_replicas: target,
            paused: false,
            last_activation: GREENS,
            current_activation: BLUES,
            generation: 1,
            promoted_at: None,
            coming_up: None,
            restarted: false,
        },
        routes: Vec::new(),
        policy: without_replacements(),
        now: at(100),
        past: PastRollouts::default(),
        health_ttl: None,
    };
    for replica in routes {
        for _ in 0..replica.count {
            case.add(replica.route);
        }
    }
    case
}

/// The defaults, except that what fails stays missing: a table says so where it is
/// replaced.
fn without_replacements() -> Policy {
    Policy {
        strategy: Strategy::BlueGreen(BlueGreen {
            max_replacements: Some(0),
            ..BlueGreen::default()
        }),
        ..Policy::default()
    }
}

/// A rolling update that is under way.
pub(crate) fn roll(
    target: u32,
    surge: IntOrPercent,
    unavailable: IntOrPercent,
    routes: impl IntoIterator<Item = ReplicaSpec>,
) -> DecisionCase {
    deploying(target, routes).rolling(surge, unavailable)
}

impl DecisionCase {
    pub(crate) fn now(mut self, seconds: i64) -> Self {
        self.now = at(seconds);
        self
    }

    /// The same, after a call since its creation.
    pub(crate) fn asked(mut self) -> Self {
        self.deployment.generation += 1;
        self
    }

    /// A reported health counts for so many seconds.
    pub(crate) fn health_ttl(mut self, seconds: u64) -> Self {
        self.health_ttl = Some(secs(seconds));
        self
    }

    pub(crate) fn paused(mut self) -> Self {
        self.deployment.paused = true;
        self
    }

    pub(crate) fn blue_green(mut self, change: impl FnOnce(&mut BlueGreen)) -> Self {
        let Strategy::BlueGreen(spec) = &mut self.policy.strategy else {
            panic!("not blue-green");
        };
        change(spec);
        self
    }

    /// A canary with these steps, and a switch as the blue-green policy has it.
    pub(crate) fn canary(mut self, steps: impl IntoIterator<Item = CanaryStep>) -> Self {
        let Strategy::BlueGreen(switch) = self.policy.strategy else {
            panic!("not blue-green");
        };
        self.policy.strategy = Strategy::Canary(Canary {
            steps: steps.into_iter().collect(),
            switch,
        });
        self
    }

    /// With `auto_promote` and a delay.
    pub(crate) fn auto(self, promote_delay: u64) -> Self {
        self.blue_green(|spec| {
            spec.auto_promote = true;
            spec.promote_delay = secs(promote_delay);
        })
    }

    pub(crate) fn rolling(mut self, surge: IntOrPercent, unavailable: IntOrPercent) -> Self {
        self.policy.strategy = Strategy::Rolling(RollingUpdate {
            max_surge: surge,
            max_unavailable: unavailable,
        });
        self
    }

    pub(crate) fn rollout(mut self, change: impl FnOnce(&mut Rollout)) -> Self {
        let DeploymentState::Deploying(rollout) = &mut self.deployment.state else {
            panic!("not DEPLOYING");
        };
        change(rollout);
        self
    }

    pub(crate) fn rolling_back(self) -> Self {
        self.rollout(|rollout| rollout.step = RolloutStep::RollingBack)
    }

    /// The most green that were ready at once.
    pub(crate) fn best(self, ready: u32) -> Self {
        self.rollout(|rollout| rollout.best_ready = ready)
    }

    /// Decides from the routes that the store would load.
    pub(crate) fn decide<T>(&self, decide: impl FnOnce(&Observed<'_>) -> T) -> T {
        decide(&Observed {
            deployment: &self.deployment,
            routes: &self.loaded(),
            policy: &self.policy,
            now: self.now,
            health_ttl: self.health_ttl,
        })
    }

    pub(crate) fn evaluate(&self) -> Evaluation {
        self.decide(evaluate)
    }

    /// What is decided, in a line.
    pub(crate) fn says(&self) -> String {
        let evaluation = self.evaluate();
        let mut line = line(&evaluation.transition);
        if let Some(wake_at) = evaluation.wake_at {
            write!(line, ", wake {}", seconds(wake_at)).expect("a string takes all");
        }
        line
    }

    /// What a manual promotion does, in a line.
    pub(crate) fn promote(&self) -> Result<String, verbs::PromoteRejection> {
        self.decide(verbs::promote)
            .map(|transition| line(&transition))
    }

    /// What an activation does, in a line.
    pub(crate) fn activate(
        &self,
        revision: RevisionId,
        supersede: bool,
    ) -> Result<String, verbs::ActivateRejection> {
        self.try_activate(revision, supersede)
            .map(|transition| line(&transition))
    }

    pub(crate) fn try_activate(
        &self,
        revision: RevisionId,
        supersede: bool,
    ) -> Result<Transition, verbs::ActivateRejection> {
        self.decide(|observed| verbs::activate(observed, revision, supersede))
    }

    /// What an abort does, in a line.
    pub(crate) fn abort(&self) -> Result<String, verbs::AbortRejection> {
        self.try_abort().map(|transition| line(&transition))
    }

    pub(crate) fn try_abort(&self) -> Result<Transition, verbs::AbortRejection> {
        self.decide(verbs::abort)
    }

    /// What a deletion does, in a line.
    pub(crate) fn delete(&self) -> Result<String, verbs::DeleteRejection> {
        self.decide(verbs::delete)
            .map(|transition| line(&transition))
    }

    /// What rolling back does without its gate, in a line.
    pub(crate) fn roll_back(
        &self,
        revision: RevisionId,
    ) -> Result<String, verbs::ActivateRejection> {
        self.try_roll_back(revision)
            .map(|transition| line(&transition))
    }

    pub(crate) fn try_roll_back(
        &self,
        revision: RevisionId,
    ) -> Result<Transition, verbs::ActivateRejection> {
        self.decide(|observed| verbs::roll_back(observed, revision, false))
    }

    /// Why it goes no further, in sentences.
    pub(crate) fn blockers(&self) -> Vec<String> {
        self.evaluate()
            .blockers
            .iter()
            .map(Blocker::to_string)
            .collect()
    }
}

/// Compares what each case says with what it ought to say.
pub(crate) fn table<const ROWS: usize>(rows: [(&str, DecisionCase, &str); ROWS]) {
    let said = rows.map(|(name, case, expected)| (name, case.says(), expected));
    compare(said);
}

/// Compares what was said with what it ought to be.
pub(crate) fn compare<const ROWS: usize>(rows: [(&str, String, &str); ROWS]) {
    let wrong: Vec<String> = rows
        .iter()
        .filter(|(_, said, expected)| said != expected)
        .map(|(name, said, expected)| format!("{name}\n  says     {said}\n  ought to {expected}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// A transition in a line: where it leads, then what changes.
pub(crate) fn line(transition: &Transition) -> String {
    let Transition {
        kind,
        deployment,
        actions,
        ..
    } = transition;
    let how = match kind {
        TransitionKind::Step => "",
        TransitionKind::Shift => " by shift",
        TransitionKind::Promotion => " by promotion",
        TransitionKind::RollBack => " by roll-back",
        TransitionKind::InstantRollBack => " by instant roll-back",
    };
    let mut line = format!("{}{how}", place(&deployment.state));
    describe(actions, &mut line).expect("a string takes all");
    line
}

fn place(state: &DeploymentState) -> String {
    let of = |current: &Option<RevisionId>| current.map_or("nothing", colour);
    match state {
        DeploymentState::Pending { current } => format!("PENDING {}", of(current)),
        DeploymentState::Ready { current } => format!("READY {}", colour(*current)),
        DeploymentState::Deploying(rollout) => match rollout.step {
            RolloutStep::Provisioning => "PROVISIONING".into(),
            RolloutStep::AwaitingPromotion { .. } => "AWAITING_PROMOTION".into(),
            RolloutStep::Shifting { .. } => "SHIFTING".into(),
            RolloutStep::RollingBack => "ROLLING_BACK".into(),
        },
        DeploymentState::Destroying { .. } => "DESTROYING".into(),
        DeploymentState::Destroyed { .. } => "DESTROYED".into(),
    }
}

fn describe(actions: &RouteActions, line: &mut String) -> std::fmt::Result {
    for new in &actions.create {
        let traffic = match new.traffic {
            RouteTraffic::Active => "ACTIVE",
            RouteTraffic::Inactive => "INACTIVE",
        };
        write!(
            line,
            ", create {} {} {traffic}",
            new.count,
            colour(new.revision)
        )?;
    }
    let lists = [
        ("promote", &actions.promote),
        ("retain", &actions.retain),
        ("reuse", &actions.reuse),
        ("drain", &actions.drain),
        ("end", &actions.end),
        ("request the drain of", &actions.request_drain),
    ];
    for (verb, ids) in lists.into_iter().filter(|(_, ids)| !ids.is_empty()) {
        write!(line, ", {verb}")?;
        for id in ids {
            write!(line, " {}", id.0.as_u128())?;
        }
    }
    Ok(())
}

fn colour(revision: RevisionId) -> &'static str {
    match revision {
        BLUE => "blue",
        GREEN => "green",
        _ => "other",
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_micros() as f64 / 1e6
}
