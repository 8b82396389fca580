//! What happens in the demonstration, step by step.

use std::{cell::Cell, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::Instant};
use viridian_proto::v1::{Deployment, DeploymentLifecycle, DeploymentSubStep};

use super::{
    DemoError,
    load::{Load, REQUESTS_PER_SECOND, SharedRotation, Tally, follow_traffic, lock},
    operator::{DEPLOYMENT, DRAIN_GRACE, Operator, REPLICAS},
    scene::{RouteLine, Scene},
    view::View,
};
use crate::client;

/// Tells the story on the server at this address, and says what came of the
/// requests. `waiting_for` always says what it is at.
pub(super) async fn tell(
    address: SocketAddr,
    view: &mut View,
    waiting_for: &Cell<&'static str>,
) -> Result<Tally, DemoError> {
    let channel = client::connect(&format!("http://{address}"), None).await?;
    let mut teller = Teller {
        operator: Operator::new(channel.clone())?,
        rotation: SharedRotation::default(),
        load: None,
        revisions: Vec::new(),
        view,
        waiting_for,
    };
    teller.say(&format!(
        "a server on {address}, an agent, and a temporary database"
    ))?;
    teller.say("to look at it from another terminal:")?;
    teller.view.quote(&format!(
        "{} deployment get {DEPLOYMENT} --server http://{address}",
        teller.operator.program_as_typed()
    ))?;

    teller.create().await?;
    // Ends with this function, however it ends.
    let mut followers = JoinSet::new();
    followers.spawn(follow_traffic(
        channel,
        DEPLOYMENT,
        Arc::clone(&teller.rotation),
    ));
    teller.serve().await?;
    teller.deploy().await?;
    teller.hold_at_gate(address).await?;
    teller.promote().await?;
    teller.drain().await?;
    teller.end().await
}

/// What the steps share.
struct Teller<'a> {
    operator: Operator,
    rotation: SharedRotation,
    load: Option<Load>,
    /// The ids of versions 1, 2, and so on.
    revisions: Vec<String>,
    view: &'a mut View,
    waiting_for: &'a Cell<&'static str>,
}

impl Teller<'_> {
    async fn create(&mut self) -> Result<(), DemoError> {
        self.say(&format!(
            "create {DEPLOYMENT}: {REPLICAS} replicas of version 1, blue-green"
        ))?;
        let version_1 = self.operator.create().await?;
        self.revisions.push(version_1);
        Ok(())
    }

    async fn serve(&mut self) -> Result<(), DemoError> {
        self.wait_for("version 1 to be READY", |it, _| is_ready(it))
            .await?;
        self.wait_for_traffic("the traffic table with version 1")
            .await?;
        self.say(&format!(
            "version 1 serves; from now on {REQUESTS_PER_SECOND} requests a second"
        ))?;
        self.load = Some(Load::start(&self.rotation)?);
        self.linger("requests to version 1", SHORT_WHILE).await
    }

    async fn deploy(&mut self) -> Result<(), DemoError> {
        self.say("activate version 2: it comes up beside version 1, without traffic")?;
        let version_2 = self.operator.activate().await?;
        self.revisions.push(version_2);
        let newest = self.newest();
        // READY with version 1 again: version 2 was rolled back.
        let reached = |it: &Deployment, _: &Scene| is_ready(it) || is_at_gate(it);
        self.wait_for("version 2 to wait for its promotion", reached)
            .await?;
        let (deployment, _) = self.operator.look().await?;
        if is_ready(&deployment) && !serves(&deployment, &newest) {
            return Err(DemoError::RolledBack);
        }
        Ok(())
    }

    /// Waits a little, in which whoever watches may promote by hand.
    async fn hold_at_gate(&mut self, address: SocketAddr) -> Result<(), DemoError> {
        self.say("all of version 2 is ready, and takes no traffic until someone says so:")?;
        self.view.quote(&format!(
            "{} deployment promote {DEPLOYMENT} --server http://{address}",
            self.operator.program_as_typed()
        ))?;
        self.say("or, without this program:")?;
        self.view.quote(&format!(
            "grpcurl -plaintext -d '{{\"deployment\":\"{DEPLOYMENT}\"}}' {address} \\\n  {PROMOTE}"
        ))?;
        let end = Instant::now() + AT_GATE;
        let newest = self.newest();
        let over = |it: &Deployment, _: &Scene| serves(it, &newest) || Instant::now() >= end;
        self.wait_for("the end of the pause at the gate", over)
            .await?;
        Ok(())
    }

    async fn promote(&mut self) -> Result<(), DemoError> {
        self.waiting_for.set("the promotion");
        let version_2 = self.newest();
        let begin = Instant::now();
        match self.operator.promote(&version_2).await {
            Ok(reply) => {
                let gained = reply.promoted_route_ids.len();
                let lost = reply.drained_route_ids.len();
                let took = begin.elapsed().as_secs_f64() * 1e3;
                self.say(&format!(
                    "promote: {gained} routes gain traffic, {lost} lose it, in one transaction \
                     ({took:.0} ms)"
                ))?;
            }
            Err(error) => {
                let (deployment, _) = self.operator.look().await?;
                if !serves(&deployment, &version_2) {
                    return Err(error);
                }
                self.say("you have promoted it already: thank you")?;
            }
        }
        self.wait_for_traffic("the traffic table with version 2")
            .await
    }

    async fn drain(&mut self) -> Result<(), DemoError> {
        self.say(&format!(
            "version 2 serves; version 1 ends after its grace of {:.1} s",
            DRAIN_GRACE.as_secs_f64()
        ))?;
        let ended = |_: &Deployment, scene: &Scene| {
            let mut old = scene.routes.iter().filter(|it| it.name.starts_with("v1-"));
            old.all(RouteLine::has_ended)
        };
        self.wait_for("the routes of version 1 to end", ended)
            .await?;
        self.say("version 1 is gone, and requests go on")
    }

    async fn end(&mut self) -> Result<Tally, DemoError> {
        self.linger("requests to version 2", LAST_WHILE).await?;
        while self.tally().total() < ENOUGH_REQUESTS {
            self.linger("enough requests", PERIOD).await?;
        }
        self.waiting_for.set("the last requests");
        match self.load.take() {
            Some(load) => Ok(load.finish().await),
            None => Ok(Tally::default()),
        }
    }

    fn say(&self, text: &str) -> Result<(), DemoError> {
        Ok(self.view.say(text)?)
    }

    /// Shows what happens until the condition holds.
    async fn wait_for(
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
    async fn linger(&mut self, what: &'static str, time: Duration) -> Result<(), DemoError> {
        let end = Instant::now() + time;
        self.wait_for(what, |_, _| Instant::now() >= end).await
    }

    /// Waits until all routes of the newest revision, and no others, are in the
    /// traffic table.
    async fn wait_for_traffic(&mut self, what: &'static str) -> Result<(), DemoError> {
        let rotation = Arc::clone(&self.rotation);
        let newest = self.newest();
        let replicas = usize::try_from(REPLICAS).unwrap_or_default();
        self.wait_for(what, |_, _| lock(&rotation).serving(&newest) == replicas)
            .await
    }

    /// The id of the version that was created last.
    fn newest(&self) -> String {
        self.revisions.last().cloned().unwrap_or_default()
    }

    fn tally(&self) -> Tally {
        self.load.as_ref().map(Load::tally).unwrap_or_default()
    }
}

fn is_ready(deployment: &Deployment) -> bool {
    deployment.lifecycle() == DeploymentLifecycle::Ready
}

fn is_at_gate(deployment: &Deployment) -> bool {
    deployment.sub_step() == DeploymentSubStep::AwaitingPromotion
}

fn serves(deployment: &Deployment, revision_id: &str) -> bool {
    deployment.current_revision_id == revision_id
}

const PROMOTE: &str = "viridian.deployment.v1.DeploymentService/PromoteDeployment";
const PERIOD: Duration = Duration::from_millis(50);
const SHORT_WHILE: Duration = Duration::from_secs(3);
const AT_GATE: Duration = Duration::from_secs(3);
const LAST_WHILE: Duration = Duration::from_secs(5);
const ENOUGH_REQUESTS: u64 = 600;
