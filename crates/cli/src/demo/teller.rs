//! What the steps of the story share.

use std::{cell::Cell, net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::Instant;
use viridian_proto::v1::{Deployment, DeploymentLifecycle, DeploymentSubStep};

use super::{
    DemoError,
    load::{Load, SharedRotation, Tally, lock},
    operator::{Operator, REPLICAS},
    plot::Plot,
    scene::{RouteLine, Scene},
    view::View,
};

/// Takes the steps of the story, and tells what comes of them.
pub(super) struct Teller<'a> {
    pub(super) plot: Plot,
    pub(super) address: SocketAddr,
    pub(super) operator: Operator,
    pub(super) rotation: SharedRotation,
    pub(super) load: Option<Load>,
    /// The ids of versions 1, 2, and so on.
    pub(super) revisions: Vec<String>,
    pub(super) view: &'a mut View,
    /// Says what it is at.
    pub(super) waiting_for: &'a Cell<&'static str>,
}

impl Teller<'_> {
    pub(super) fn say(&self, text: &str) -> Result<(), DemoError> {
        Ok(self.view.say(text)?)
    }

    /// Shows what happens until the condition holds.
    pub(super) async fn wait_for(
        &mut self,
        what: &'static str,
        mut is_reached: impl FnMut(&Deployment, &Scene) -> bool,
    ) -> Result<(), DemoError> {
        self.waiting_for.set(what);
        loop {
            let (deployment, routes) = self.operator.look().await?;
            let scene = Scene::new(&deployment, &routes, &self.revisions, self.tally());
            let reached = is_reached(&deployment, &scene);
            self.view.show(scene)?;
            if reached {
                return Ok(());
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Shows what happens for a while.
    pub(super) async fn linger(
        &mut self,
        what: &'static str,
        time: Duration,
    ) -> Result<(), DemoError> {
        let end = Instant::now() + time;
        self.wait_for(what, |_, _| Instant::now() >= end).await
    }

    /// Waits until all routes of a version, and no others, are in the traffic
    /// table.
    pub(super) async fn wait_for_traffic(
        &mut self,
        what: &'static str,
        version: &str,
    ) -> Result<(), DemoError> {
        let rotation = Arc::clone(&self.rotation);
        let replicas = usize::try_from(REPLICAS).unwrap_or_default();
        self.wait_for(what, |_, _| lock(&rotation).serving(version) == replicas)
            .await
    }

    /// Waits until the routes whose names begin so are over.
    pub(super) async fn wait_for_end(
        &mut self,
        what: &'static str,
        prefix: &str,
    ) -> Result<(), DemoError> {
        let ended = |_: &Deployment, scene: &Scene| {
            let mut old = scene.routes.iter().filter(|it| it.name.starts_with(prefix));
            old.all(RouteLine::has_ended)
        };
        self.wait_for(what, ended).await
    }

    /// Whether version 2 is current now; if not, it was rolled back.
    pub(super) async fn serves_newest(&mut self) -> Result<bool, DemoError> {
        let (deployment, _) = self.operator.look().await?;
        Ok(serves(&deployment, &self.newest()))
    }

    /// The id of the version that was created first.
    pub(super) fn oldest(&self) -> String {
        self.revisions.first().cloned().unwrap_or_default()
    }

    /// The id of the version that was created last.
    pub(super) fn newest(&self) -> String {
        self.revisions.last().cloned().unwrap_or_default()
    }

    pub(super) fn tally(&self) -> Tally {
        self.load.as_ref().map(Load::tally).unwrap_or_default()
    }
}

pub(super) fn is_ready(deployment: &Deployment) -> bool {
    deployment.lifecycle() == DeploymentLifecycle::Ready
}

pub(super) fn is_at_gate(deployment: &Deployment) -> bool {
    deployment.sub_step() == DeploymentSubStep::AwaitingPromotion
}

pub(super) fn serves(deployment: &Deployment, revision_id: &str) -> bool {
    deployment.current_revision_id == revision_id
}

/// How often it looks.
pub(super) const PERIOD: Duration = Duration::from_millis(50);
