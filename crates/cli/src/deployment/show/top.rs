//! What is in motion, the oldest first.

use viridian_proto::v1::{BlockerCode, Deployment, DeploymentLifecycle};

use super::{
    Look,
    age::{countdown, since},
    deployment::{qualified_name, ready},
};
use crate::{
    names,
    table::{clean, table},
};

/// One deployment in motion, as a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Motion {
    pub(crate) deployment: String,
    pub(crate) state: String,
    pub(crate) age: String,
    pub(crate) blue: String,
    pub(crate) green: String,
    /// How long it is until something happens by itself.
    pub(crate) left: String,
    pub(crate) waits: String,
}

impl Motion {
    pub(crate) fn new(deployment: &Deployment, look: Look) -> Self {
        let target = deployment.target_replicas;
        let is_deploying = deployment.lifecycle() == DeploymentLifecycle::Deploying;
        let paused = if deployment.paused { ", paused" } else { "" };
        Self {
            deployment: qualified_name(deployment),
            state: format!("{}{paused}", names::state(deployment)),
            age: deployment
                .phase_start_time
                .as_ref()
                .map_or_else(|| "-".to_owned(), |at| since(at, look.now)),
            blue: ready(deployment.blue.as_ref(), target),
            green: match is_deploying {
                true => ready(deployment.green.as_ref(), target),
                false => "-".to_owned(),
            },
            left: left(deployment, look),
            waits: waits(deployment),
        }
    }

    /// In the order of [`Motion::HEADER`].
    pub(crate) fn cells(self) -> [String; 7] {
        [
            self.deployment,
            self.state,
            self.age,
            self.blue,
            self.green,
            self.left,
            self.waits,
        ]
    }

    pub(crate) const HEADER: [&str; 7] = [
        "DEPLOYMENT",
        "STATE",
        "FOR",
        "BLUE",
        "GREEN",
        "ENDS IN",
        "WAITS FOR",
    ];
}

/// Deployments in motion, one a line.
pub(crate) fn top(deployments: &[Deployment], look: Look) -> String {
    if deployments.is_empty() {
        return "nothing is in motion".to_owned();
    }
    let row = |it: &Deployment| {
        let mut cells = Motion::new(it, look).cells().to_vec();
        if let Some(waits) = cells.last_mut() {
            *waits = look.waits(waits);
        }
        cells
    };
    table(&Motion::HEADER, deployments.iter().map(row).collect())
}

/// Those that are in motion, from the one that has stood longest where it is.
pub(crate) fn moving(mut deployments: Vec<Deployment>) -> Vec<Deployment> {
    deployments.retain(is_moving);
    deployments.sort_by_key(|it| {
        let at = it.phase_start_time.unwrap_or_default();
        (at.seconds, at.nanos)
    });
    deployments
}

/// One that has nothing to run is idle.
fn is_moving(deployment: &Deployment) -> bool {
    use DeploymentLifecycle::{Deploying, Destroying, Pending};
    let mut codes = deployment.blockers.iter().map(|it| it.code());
    match deployment.lifecycle() {
        Deploying | Destroying => true,
        Pending => codes.all(|code| code != BlockerCode::NoRevision),
        _ => false,
    }
}

/// Of all clocks that run, the one that ends first.
fn left(deployment: &Deployment, look: Look) -> String {
    let clocks = deployment
        .blockers
        .iter()
        .filter_map(|it| it.until_time.as_ref())
        .chain(deployment.deadline_time.as_ref());
    let first = clocks.min_by_key(|at| (at.seconds, at.nanos));
    first.map_or_else(|| "-".to_owned(), |at| countdown(at, look.now))
}

fn waits(deployment: &Deployment) -> String {
    match deployment.blockers.as_slice() {
        [] => "-".to_owned(),
        [one] => clean(&one.message),
        [first, rest @ ..] => format!("{} (+{} more)", clean(&first.message), rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{Blocker, DeploymentSubStep};

    use super::{super::fixture, *};

    #[test]
    fn the_oldest_is_first_and_what_stands_still_is_not_there() {
        let gate = fixture::at_the_gate();
        let mut newer = fixture::provisioning();
        newer.name = "newer".to_owned();
        newer.phase_start_time = fixture::at(290);
        newer.paused = true;
        let mut ready = fixture::at_the_gate();
        ready.set_lifecycle(DeploymentLifecycle::Ready);
        ready.set_sub_step(DeploymentSubStep::Unspecified);
        let mut idle = Deployment::default();
        idle.set_lifecycle(DeploymentLifecycle::Pending);
        idle.blockers.push(Blocker {
            code: BlockerCode::NoRevision.into(),
            ..Blocker::default()
        });
        let all = [newer, ready, idle, gate];
        let moving = moving(all.to_vec());
        insta::assert_snapshot!("top", top(&moving, fixture::plain()));
        assert_eq!(top(&[], fixture::plain()), "nothing is in motion");
    }
}
