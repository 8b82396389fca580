//! How late what is to happen at a time does happen, as someone sees it who
//! watches.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime},
};

use tokio::time::sleep;
use viridian_proto::v1::{
    BlueGreenSpec, CreateDeploymentRequest, Deployment, DeploymentEventKind as Event,
    DeploymentLifecycle, DeploymentMetadata, DeploymentPolicy, GateTimeout, GateTimeoutAction,
};

use crate::{
    harness::{
        Api, Engine, EventStream, RouteBehavior, ScriptedScheduler, Server, blue_green,
        by_revision, creation, eventually, of_project, seconds,
    },
    spread,
};

pub(crate) async fn run(engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    for timer in TIMERS {
        let lateness = timer.measure(&api).await;
        println!(
            "{engine:?}, {COUNT} times {WAIT} s {}: late by {}",
            timer.name(),
            spread(lateness)
        );
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Timer {
    PromoteDelay,
    MinReady,
    GateTimeout,
    ProgressDeadline,
    DrainGrace,
}

impl Timer {
    fn name(self) -> &'static str {
        match self {
            Self::PromoteDelay => "promote-delay",
            Self::MinReady => "min-ready",
            Self::GateTimeout => "gate-timeout",
            Self::ProgressDeadline => "progress-deadline",
            Self::DrainGrace => "drain-grace",
        }
    }

    fn policy(self) -> DeploymentPolicy {
        let (wait, none) = (seconds(WAIT), None);
        let is = |timer: Self| if self == timer { wait } else { none };
        let spec = BlueGreenSpec {
            auto_promote: self != Self::GateTimeout,
            promote_delay: is(Self::PromoteDelay),
            min_ready: is(Self::MinReady),
            gate_timeout: is(Self::GateTimeout).map(|duration| GateTimeout {
                duration: Some(duration),
                action: GateTimeoutAction::Promote.into(),
            }),
            ..BlueGreenSpec::default()
        };
        DeploymentPolicy {
            progress_deadline: is(Self::ProgressDeadline),
            drain_grace: is(Self::DrainGrace).or(seconds(0.0)),
            ..blue_green(spec)
        }
    }

    async fn measure(self, api: &Api) -> Vec<Duration> {
        let fleet = ScriptedScheduler::start(api, self.name());
        if self == Self::ProgressDeadline {
            fleet.plan(2, [RouteBehavior::Pending]);
        }
        let mut blue = HashMap::new();
        for number in 0..COUNT {
            let it = self.serving(api, number).await;
            let routes = by_revision(&api.list_routes(&it.id).await, &it.current_revision_id);
            blue.insert(it.id, routes[0].id.clone());
        }
        let watch = api.follow(of_project(self.name())).await;
        let mut watch = watch.expect("a watch");
        for _ in 0..COUNT {
            watch.event().await;
        }
        let ids: Vec<String> = blue.keys().cloned().collect();
        let deploying = tokio::spawn({
            let api = api.clone();
            async move {
                for id in ids {
                    api.create_revision(&id, true).await.expect("it is begun");
                    // One after the other, as on a machine that has time.
                    sleep(PACE).await;
                }
            }
        });
        let ended = self.ends(&mut watch).await;
        deploying.await.expect("all are begun");
        if self == Self::DrainGrace {
            return stops(&fleet, &blue, &ended).await;
        }
        ended.into_values().map(|ended| ended.late).collect()
    }

    async fn serving(self, api: &Api, number: usize) -> Deployment {
        let request = CreateDeploymentRequest {
            project: self.name().to_owned(),
            name: format!("d-{number}"),
            metadata: Some(DeploymentMetadata {
                resource_group: self.name().to_owned(),
                ..DeploymentMetadata::default()
            }),
            ..creation(1, self.policy())
        };
        let created = api.create(request).await.expect("it is created");
        let is_ready = |it: &Deployment| it.lifecycle() == DeploymentLifecycle::Ready;
        api.until(&created.id, "READY", is_ready).await
    }

    /// Follows all rollouts to their ends.
    async fn ends(self, watch: &mut EventStream) -> HashMap<String, Ended> {
        let mut due: HashMap<String, SystemTime> = HashMap::new();
        let mut ended = HashMap::new();
        while ended.len() < COUNT {
            let event = watch.event().await;
            let (now, kind) = (SystemTime::now(), event.kind());
            let it = event.deployment.expect("a deployment");
            if let Some(time) = self.time_of(&it) {
                due.insert(it.id.clone(), time);
            }
            if matches!(kind, Event::Promoted | Event::RolledBack)
                && it.lifecycle() == DeploymentLifecycle::Ready
            {
                let at = it.promote_time.and_then(|at| at.try_into().ok());
                let time = due.get(&it.id).copied().or(at).expect("a time");
                let late = now.duration_since(time).expect("not before its time");
                ended.insert(it.id, Ended { late, at });
            }
        }
        ended
    }

    /// When a rollout is to end as things are, if that is only a question of time.
    fn time_of(self, it: &Deployment) -> Option<SystemTime> {
        let time = match self {
            Self::PromoteDelay | Self::MinReady => {
                it.blockers.iter().find_map(|blocker| blocker.until_time)
            }
            Self::GateTimeout | Self::ProgressDeadline => it.deadline_time,
            Self::DrainGrace => None,
        };
        time.and_then(|time| time.try_into().ok())
    }
}

/// The end of a rollout.
struct Ended {
    late: Duration,
    /// When it was promoted, if ever.
    at: Option<SystemTime>,
}

/// How late the orders to stop what was drained came.
async fn stops(
    fleet: &ScriptedScheduler,
    blue: &HashMap<String, String>,
    ended: &HashMap<String, Ended>,
) -> Vec<Duration> {
    let mut late = Vec::new();
    for (id, route) in blue {
        let drained = ended[id].at.expect("it was promoted");
        let due = drained + Duration::from_secs_f64(WAIT);
        let came = eventually("the order to stop", async || fleet.stop_of(route)).await;
        let came = SystemTime::now() - (Instant::now() - came);
        late.push(came.duration_since(due).unwrap_or_default());
    }
    late
}

const TIMERS: [Timer; 5] = [
    Timer::PromoteDelay,
    Timer::MinReady,
    Timer::GateTimeout,
    Timer::ProgressDeadline,
    Timer::DrainGrace,
];
const COUNT: usize = 100;

/// In seconds.
const WAIT: f64 = 2.0;
const PACE: Duration = Duration::from_millis(50);
