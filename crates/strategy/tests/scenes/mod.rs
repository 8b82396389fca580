//! Deployments of any size, each at one point of its life, for what measures
//! the decision.

use std::time::Duration;

use uuid::Uuid;
use viridian_strategy::{
    BlueGreen, Deployment, Evaluation, Health, IntOrPercent, Policy, RevisionId, RollingUpdate,
    Rollout, Route, RouteId, RouteStatus, State, Strategy, Timestamp, Traffic, evaluate,
};

const BLUE: RevisionId = RevisionId(Uuid::from_u128(1));
const GREEN: RevisionId = RevisionId(Uuid::from_u128(2));

/// All that a decision is made from.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) deployment: Deployment,
    pub(crate) routes: Vec<Route>,
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
}

impl Scene {
    /// Scenes in which nothing is to change, of `size` routes.
    pub(crate) fn at_rest(size: usize) -> Vec<Scene> {
        let half = size / 2;
        let waiting = Scene::deploying(half, green(half, RouteStatus::Provisioning));
        let ready = green(half, RouteStatus::Running);
        let mut unready = ready.clone();
        for route in &mut unready {
            route.health = Health::Unhealthy;
        }
        let scenes = [
            waiting.clone().named("waiting"),
            Scene::deploying(half, ready).named("gate"),
            waiting.clone().paused().named("paused"),
            Scene::ready(size).named("ready"),
            waiting.rolling().named("rolling, waiting"),
            Scene::deploying(half, unready)
                .rolling()
                .named("rolling, held up"),
        ];
        scenes.map(Scene::settled).into()
    }

    /// Scenes in which routes are created, promoted or drained, of `size`
    /// routes or, before the green are created, half as many.
    pub(crate) fn moving(size: usize) -> Vec<Scene> {
        let half = size / 2;
        let ready = green(half, RouteStatus::Running);
        vec![
            Scene::deploying(half, ready.clone())
                .auto()
                .named("promoting"),
            Scene::deploying(half, Vec::new()).named("creating"),
            Scene::deploying(half, ready).rolling().named("rolling"),
        ]
    }

    pub(crate) fn evaluate(&self) -> Evaluation {
        evaluate(&self.deployment, &self.routes, &self.policy, self.now)
    }

    /// Blue at the target, and green.
    fn deploying(target: usize, green: Vec<Route>) -> Self {
        let mut scene = Self::ready(target);
        scene.deployment.state = State::Deploying(Rollout::new(BLUE, GREEN, at(0)));
        scene.routes.extend(green);
        for (number, route) in (1..).zip(&mut scene.routes) {
            route.id = RouteId(Uuid::from_u128(number));
        }
        scene
    }

    fn ready(target: usize) -> Self {
        let blue = Route {
            traffic: Traffic::Active,
            ..route(BLUE, RouteStatus::Running, at(-1_000))
        };
        Self {
            name: "",
            deployment: Deployment {
                state: State::Ready { current: BLUE },
                target_replicas: u32::try_from(target).expect("a target is small"),
                paused: false,
                current_since: at(-1_000),
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

    fn paused(mut self) -> Self {
        self.deployment.paused = true;
        self
    }

    fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// In the state in which it stays.
    fn settled(mut self) -> Self {
        self.deployment.state = self.evaluate().transition.state;
        self
    }
}

fn green(count: usize, status: RouteStatus) -> Vec<Route> {
    vec![route(GREEN, status, at(0)); count]
}

fn route(revision: RevisionId, status: RouteStatus, since: Timestamp) -> Route {
    let running = status == RouteStatus::Running;
    Route {
        id: RouteId(Uuid::nil()),
        revision,
        status,
        health: if running {
            Health::Healthy
        } else {
            Health::NotChecked
        },
        traffic: Traffic::Inactive,
        created_at: since,
        status_updated_at: since,
        health_updated_at: running.then(|| since + Duration::from_secs(5)),
        drained_at: None,
        retained_at: None,
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}
