//! A state in a line, for the way to a broken rule.

use std::fmt;

use viridian_strategy::{DeploymentState, ObservedRoute, RouteTraffic, Timestamp};

use super::state::ModelState;

impl fmt::Display for ModelState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age = |at: Timestamp| self.now.since(at).as_secs();
        let deployment = &self.deployment;
        let state = &deployment.state;
        write!(f, "{:?}", state.lifecycle())?;
        if let Some(step) = state.sub_step() {
            write!(f, "/{step:?}")?;
        }
        let paused = if deployment.paused { " paused" } else { "" };
        let (target, policy) = (deployment.target_replicas, self.policy);
        write!(f, " N={target} policy {policy}{paused}")?;
        if let DeploymentState::Deploying(rollout) = state {
            let spent = |watch: viridian_strategy::Stopwatch| {
                let running = if watch.since.is_some() { "+" } else { "" };
                format!("{}{running}", watch.stopped(self.now).spent.as_secs())
            };
            let steady = rollout.steady.map(|steady| spent(steady.watch));
            let since = age(rollout.since);
            write!(f, " since {since} progress {}", spent(rollout.progress))?;
            write!(f, " steady {steady:?} {:?}", self.clocks)?;
        }
        write!(f, " {:?}", self.clocks.first)?;
        self.routes()
            .try_for_each(|route| write!(f, "; {}", line(route, state, age)))
    }
}

fn line(route: &ObservedRoute, state: &DeploymentState, age: impl Fn(Timestamp) -> u64) -> String {
    let colour = match Some(route.revision) {
        revision if revision == state.current() => "blue",
        revision if revision == state.deploying() => "green",
        _ => "other",
    };
    let traffic = match (route.traffic, route.retained_at) {
        (RouteTraffic::Active, _) => "ACTIVE",
        (RouteTraffic::Inactive, Some(_)) => "retained",
        (RouteTraffic::Inactive, None) => "",
    };
    let (status, health) = (route.status, route.health);
    let settled = age(route.settled_at());
    format!("{colour} {status:?} {health:?} {settled} {traffic}")
}
