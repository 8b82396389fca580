//! What the steps share: calls, waiting, and the view.

use std::{cell::Cell, net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::Instant;
use viridian_proto::v1::{Deployment, DeploymentLifecycle, DeploymentSubStep};

use super::{
    DemoError,
    frame::{DemoFrame, RouteRow},
    load_generator::{LoadGenerator, RequestTally, SharedRoundRobin, lock},
    operator::{OperatorClient, REPLICAS},
    scenario::DemoScenario,
    view::DemoView,
};

/// Runs the steps of a scenario, and shows their effects.
pub(super) struct DemoRunner<'a> {
    pub(super) scenario: DemoScenario,
    pub(super) address: SocketAddr,
    pub(super) operator: OperatorClient,
    pub(super) round_robin: SharedRoundRobin,
    pub(super) load: Option<LoadGenerator>,
    /// The revision ids of version 1, 2, and so on.
    pub(super) revisions: Vec<String>,
    pub(super) view: &'a mut DemoView,
    /// The present wait, for the error message of a timeout.
    pub(super) waiting_for: &'a Cell<&'static str>,
}

impl DemoRunner<'_> {
    pub(super) fn say(&self, text: &str) -> Result<(), DemoError> {
        Ok(self.view.say(text)?)
    }

    /// Updates the view until the condition holds.
    pub(super) async fn wait_for(
        &mut self,
        what: &'static str,
        mut is_reached: impl FnMut(&Deployment, &DemoFrame) -> bool,
    ) -> Result<(), DemoError> {
        self.waiting_for.set(what);
        loop {
            // Polled, not followed: the view also shows the requests, which have no events.
            let (deployment, routes) = self.operator.read().await?;
            let frame = DemoFrame::new(&deployment, &routes, &self.revisions, self.tally());
            let reached = is_reached(&deployment, &frame);
            self.view.show(frame)?;
            if reached {
                return Ok(());
            }
            tokio::time::sleep(FRAME_INTERVAL).await;
        }
    }

    /// Updates the view for a while.
    pub(super) async fn linger(
        &mut self,
        what: &'static str,
        time: Duration,
    ) -> Result<(), DemoError> {
        let end = Instant::now() + time;
        self.wait_for(what, |_, _| Instant::now() >= end).await
    }

    /// Waits until the traffic table holds all routes of a version, and no others.
    pub(super) async fn wait_for_traffic(
        &mut self,
        what: &'static str,
        version: &str,
    ) -> Result<(), DemoError> {
        let round_robin = Arc::clone(&self.round_robin);
        let replicas = usize::try_from(REPLICAS).unwrap_or_default();
        // The table names one revision: while it is the old one, this counts zero.
        self.wait_for(what, |_, _| lock(&round_robin).serving(version) == replicas)
            .await
    }

    /// Waits until all routes with this prefix of their name have ended.
    pub(super) async fn wait_for_end(
        &mut self,
        what: &'static str,
        prefix: &str,
    ) -> Result<(), DemoError> {
        let ended = |_: &Deployment, frame: &DemoFrame| {
            let mut old = frame.routes.iter().filter(|it| it.name.starts_with(prefix));
            old.all(RouteRow::has_ended)
        };
        self.wait_for(what, ended).await
    }

    /// Whether version 2 is current. If not, it was rolled back.
    pub(super) async fn serves_newest(&mut self) -> Result<bool, DemoError> {
        let (deployment, _) = self.operator.read().await?;
        Ok(serves(&deployment, &self.newest()))
    }

    /// The revision id of version 1.
    pub(super) fn oldest(&self) -> String {
        self.revisions.first().cloned().unwrap_or_default()
    }

    /// The revision id of the newest version.
    pub(super) fn newest(&self) -> String {
        self.revisions.last().cloned().unwrap_or_default()
    }

    pub(super) fn tally(&self) -> RequestTally {
        self.load
            .as_ref()
            .map(LoadGenerator::tally)
            .unwrap_or_default()
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

/// Time between two frames of the view.
pub(super) const FRAME_INTERVAL: Duration = Duration::from_millis(50);
