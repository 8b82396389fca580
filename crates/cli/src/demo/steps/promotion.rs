//! Version 2 starts beside version 1, waits at its gate, and is promoted.

use std::time::Duration;

use tokio::time::Instant;
use viridian_proto::v1::Deployment;

use crate::demo::{
    DemoError,
    frame::DemoFrame,
    operator::{DEPLOYMENT, DRAIN_GRACE},
    runner::{DemoRunner, is_at_gate, is_ready, serves},
};

impl DemoRunner<'_> {
    /// Activates version 2, and waits until all of it is ready.
    pub(super) async fn bring_up(&mut self) -> Result<(), DemoError> {
        self.activate().await?;
        // READY is checked too: if version 2 is rolled back, the gate is never reached.
        let reached = |it: &Deployment, _: &DemoFrame| is_ready(it) || is_at_gate(it);
        self.wait_for("version 2 to wait for its promotion", reached)
            .await?;
        let (deployment, _) = self.operator.read().await?;
        if is_ready(&deployment) && !serves(&deployment, &self.newest()) {
            return Err(DemoError::RolledBack);
        }
        Ok(())
    }

    /// Waits a few seconds, so that the user can promote by hand.
    pub(super) async fn hold_at_gate(&mut self) -> Result<(), DemoError> {
        let address = self.address;
        self.say("all of version 2 is ready; it gets traffic when someone promotes it:")?;
        self.view.quote(&format!(
            "{} deployment promote {DEPLOYMENT} --server http://{address}",
            self.operator.program_as_typed()
        ))?;
        self.say("or, without this program:")?;
        self.view.quote(&format!(
            "grpcurl -plaintext -d '{{\"deployment\":\"{DEPLOYMENT}\"}}' {address} \\\n  {PROMOTE_METHOD}"
        ))?;
        let end = Instant::now() + GATE_PAUSE;
        let newest = self.newest();
        let over = |it: &Deployment, _: &DemoFrame| serves(it, &newest) || Instant::now() >= end;
        self.wait_for("the end of the pause at the gate", over)
            .await
    }

    pub(super) async fn promote(&mut self) -> Result<(), DemoError> {
        self.waiting_for.set("the promotion");
        let version_2 = self.newest();
        let begin = Instant::now();
        match self.operator.promote(&version_2).await {
            Ok(reply) => {
                let lost = reply.drained_route_ids.len();
                let gains = match reply.promoted_route_ids.len() {
                    // Of a canary all routes have a share by then.
                    0 => "version 2 gets the rest of the traffic".to_owned(),
                    gained => format!("{gained} routes gain traffic"),
                };
                let took = begin.elapsed().as_secs_f64() * 1e3;
                self.say(&format!(
                    "promote: {gains}, {lost} routes lose it, in one transaction ({took:.0} ms)"
                ))?;
            }
            // The user may have promoted it from another terminal during the pause.
            Err(error) => {
                if !self.serves_newest().await? {
                    return Err(error);
                }
                self.say("already promoted from another terminal")?;
            }
        }
        self.wait_for_traffic("the traffic table with version 2", &version_2)
            .await
    }

    /// Waits until the routes of version 1 have ended.
    pub(super) async fn wait_for_drain(&mut self) -> Result<(), DemoError> {
        self.say(&format!(
            "version 2 serves; version 1 ends after a drain grace of {:.1} s",
            DRAIN_GRACE.as_secs_f64()
        ))?;
        self.wait_for_end("the routes of version 1 to end", "v1-")
            .await?;
        self.say("version 1 is gone, and requests go on")
    }
}

const PROMOTE_METHOD: &str = "viridian.deployment.v1.DeploymentService/PromoteDeployment";
const GATE_PAUSE: Duration = Duration::from_secs(3);
