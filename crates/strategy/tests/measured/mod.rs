//! Deployments of any size, each at one point of its life, for what measures
//! the decision.

use std::time::Duration;

use uuid::Uuid;
use viridian_strategy::{
    BlueGreen, Canary, CanaryProgress, CanaryStep, DeploymentState, Evaluation, IntOrPercent,
    Observed, ObservedDeployment, ObservedRoute, Policy, RevisionId, RollingUpdate, Rollout,
    RouteHealth, RouteId, RouteStatus, RouteTraffic, Stopwatch, Strategy, Timestamp, evaluate,
};

const BLUE: RevisionId = RevisionId(Uuid::from_u128(1));
const GREEN: RevisionId = RevisionId(Uuid::from_u128(2));

/// All that a decision is made from.
#[derive(Clone)]
pub(crate) struct MeasuredCase {
    pub(crate) name: &'static str,
    pub(crate) deployment: ObservedDeployment,
    pub(crate) routes: Vec<ObservedRoute>,
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
}

impl MeasuredCase {
    /// Scenes in which nothing is to change, of `size` routes.
    pub(crate) fn at_rest(size: usize) -> Vec<MeasuredCase> {
        let half = size / 2;
        let waiting = MeasuredCase::deploying(half, green(half, RouteStatus::Provisioning));
        let ready = green(half, RouteStatus::Running);
        let mut unready = ready.clone();
        for route in &mut unready {
            route.health = RouteHealth::Unhealthy;
        }
        let cases = [
            waiting.clone().named("waiting"),
            MeasuredCase::deploying(half, ready).named("gate"),
            waiting.clone().paused().named("paused"),
            MeasuredCase::ready(size).named("ready"),
            waiting.clone().rolling().named("rolling, waiting"),
            MeasuredCase::deploying(half, unready)
                .rolling()
                .named("rolling, held up"),
            waiting.canary().named("canary, waiting"),
            MeasuredCase::held(half).named("canary, held"),
        ];
        cases.map(MeasuredCase::settled).into()
    }

    /// Scenes in which routes are created, promoted or drained, of `size`
    /// routes or, before the green are created, half as many.
    pub(crate) fn moving(size: usize) -> Vec<MeasuredCase> {
        let half = size / 2;
        let ready = green(half, RouteStatus::Running);
        vec![
            MeasuredCase::deploying(half, ready.clone())
                .auto()
                .named("promoting"),
            MeasuredCase::deploying(half, Vec::new()).named("creating"),
            MeasuredCase::deploying(half, ready.clone())
                .rolling()
                .named("rolling"),
            MeasuredCase::deploying(half, ready)
                .canary()
                .named("canary, taking its share"),
        ]
    }

    pub(crate) fn observed(&self) -> Observed<'_> {
        Observed {
            deployment: &self.deployment,
            routes: &self.routes,
            policy: &self.policy,
            now: self.now,
            health_ttl: None,
        }
    }

    pub(crate) fn evaluate(&self) -> Evaluation {
        evaluate(&self.observed())
    }

    /// Blue at the target, and green.
    fn deploying(target: usize, green: Vec<ObservedRoute>) -> Self {
        let mut case = Self::ready(target);
        case.deployment.state = DeploymentState::Deploying(Rollout::new(BLUE, GREEN, 2, at(0)));
        case.routes.extend(green);
        for (number, route) in (1..).zip(&mut case.routes) {
            route.id = RouteId(Uuid::from_u128(number));
        }
        case
    }

    fn ready(target: usize) -> Self {
        let blue = ObservedRoute {
            traffic: RouteTraffic::Active,
            ..route(BLUE, RouteStatus::Running, at(-1_000))
        };
        Self {
            name: "",
            deployment: ObservedDeployment {
                state: DeploymentState::Ready { current: BLUE },
                target_replicas: u32::try_from(target).expect("a target is small"),
                paused: false,
                last_activation: 2,
                current_activation: 1,
                generation: 1,
                promoted_at: None,
                coming_up: None,
                restarted: false,
            },
            routes: vec![blue; target],
            policy: Policy::default(),
            now: at(100),
        }
    }

    fn auto(mut self) -> Self {
        self.policy.strategy = Strategy::BlueGreen(BlueGreen {
            auto_promote: true,
            ..BlueGreen::default()
        });
        self
    }

    /// All new routes at once, and no old one missing.
    fn rolling(mut self) -> Self {
        self.policy.strategy = Strategy::Rolling(RollingUpdate {
            max_surge: IntOrPercent::Percent(100),
            max_unavailable: IntOrPercent::Percent(0),
        });
        self
    }

    /// By a step that needs all of green, and another one.
    fn canary(mut self) -> Self {
        let step = |weight_permille| CanaryStep {
            weight_permille,
            hold: Duration::from_secs(600),
            manual: false,
            replicas: Some(IntOrPercent::Percent(100)),
        };
        self.policy.strategy = Strategy::Canary(Canary {
            steps: vec![step(100), step(400)],
            switch: BlueGreen::default(),
        });
        self
    }

    /// In the midst of the first step: all green have a share.
    fn held(target: usize) -> Self {
        let mut green = green(target, RouteStatus::Running);
        for route in &mut green {
            route.traffic = RouteTraffic::Active;
        }
        let mut case = Self::deploying(target, green).canary();
        if let DeploymentState::Deploying(rollout) = &mut case.deployment.state {
            rollout.canary = CanaryProgress {
                step: 1,
                weight: Some(100),
                scaled_for: case.deployment.target_replicas,
                shared_at: Some(at(60)),
                hold: Some(Stopwatch::started(at(60))),
                ..rollout.canary
            };
        }
        case
    }

    fn paused(mut self) -> Self {
        self.deployment.paused = true;
        self
    }

    fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// In the state in which it stays.
    fn settled(mut self) -> Self {
        self.deployment.state = self.evaluate().transition.deployment.state;
        self
    }
}

fn green(count: usize, status: RouteStatus) -> Vec<ObservedRoute> {
    vec![route(GREEN, status, at(0)); count]
}

fn route(revision: RevisionId, status: RouteStatus, since: Timestamp) -> ObservedRoute {
    let running = status == RouteStatus::Running;
    ObservedRoute {
        id: RouteId(Uuid::nil()),
        revision,
        status,
        health: if running {
            RouteHealth::Healthy
        } else {
            RouteHealth::NotChecked
        },
        traffic: RouteTraffic::Inactive,
        activation: if revision == BLUE { 1 } else { 2 },
        created_at: since,
        status_updated_at: since,
        health_updated_at: running.then(|| since + Duration::from_secs(5)),
        drained_at: None,
        retained_at: None,
        evicted_at: None,
        has_address: running,
        once_healthy: running,
        health_observed_at: running.then(|| since + Duration::from_secs(5)),
        drain_requested_at: None,
        hung_at: None,
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}
