//! The steps of each scenario.

use std::{cell::Cell, net::SocketAddr, sync::Arc, time::Duration};

use tokio::task::JoinSet;
use viridian_client::{CallError, ServerTarget};

use super::{
    DemoError,
    load_generator::{
        LoadGenerator, REQUESTS_PER_SECOND, RequestTally, SharedRoundRobin, follow_traffic,
    },
    operator::{DEPLOYMENT, OperatorClient, REPLICAS},
    runner::{DemoRunner, FRAME_INTERVAL, is_ready},
    scenario::{DemoScenario, DemoStrategy},
    view::DemoView,
};

mod canary;
mod failure;
mod promotion;
mod roll_back;
mod rolling;

/// Runs a scenario on the server at this address. Returns the results of the requests.
/// `waiting_for` always holds the present wait.
pub(super) async fn run(
    scenario: DemoScenario,
    address: SocketAddr,
    view: &mut DemoView,
    waiting_for: &Cell<&'static str>,
) -> Result<RequestTally, DemoError> {
    let target = ServerTarget::new(&address.to_string()).map_err(DemoError::Address)?;
    let channel = target.connect().await.map_err(CallError::from)?;
    let mut runner = DemoRunner {
        scenario,
        address,
        operator: OperatorClient::new(channel.clone())?,
        round_robin: SharedRoundRobin::default(),
        load: None,
        revisions: Vec::new(),
        view,
        waiting_for,
    };
    runner.introduce()?;
    runner.create().await?;
    // A JoinSet aborts its tasks on drop: the follower ends with this function, also
    // if a step fails.
    let mut followers = JoinSet::new();
    followers.spawn(follow_traffic(
        channel,
        DEPLOYMENT,
        Arc::clone(&runner.round_robin),
    ));
    runner.start_load().await?;
    match scenario {
        DemoScenario::Promotion => {
            runner.bring_up().await?;
            runner.hold_at_gate().await?;
            runner.promote().await?;
            runner.wait_for_drain().await?;
        }
        DemoScenario::RollBack => {
            runner.bring_up().await?;
            runner.promote().await?;
            runner.roll_back().await?;
        }
        DemoScenario::Canary => {
            runner.shift_by_steps().await?;
            runner.promote().await?;
            runner.wait_for_drain().await?;
        }
        DemoScenario::Rolling => runner.update_rolling().await?,
        DemoScenario::Failure(strategy) => runner.deploy_unhealthy(strategy).await?,
    }
    runner.stop_load().await
}

impl DemoRunner<'_> {
    fn introduce(&self) -> Result<(), DemoError> {
        let address = self.address;
        self.say(&format!(
            "a server on {address}, an agent, and a temporary database"
        ))?;
        self.say("to watch it from another terminal:")?;
        Ok(self.view.quote(&format!(
            "{} deployment watch {DEPLOYMENT} --server http://{address}",
            self.operator.program_as_typed()
        ))?)
    }

    async fn create(&mut self) -> Result<(), DemoError> {
        self.say(&format!(
            "create {DEPLOYMENT}: {REPLICAS} replicas of version 1, {}",
            self.scenario.strategy().name()
        ))?;
        let version_1 = self.operator.create(self.scenario).await?;
        self.revisions.push(version_1);
        Ok(())
    }

    async fn start_load(&mut self) -> Result<(), DemoError> {
        self.wait_for("version 1 to be READY", |it, _| is_ready(it))
            .await?;
        let version_1 = self.oldest();
        self.wait_for_traffic("the traffic table with version 1", &version_1)
            .await?;
        self.say(&format!(
            "version 1 serves; sending {REQUESTS_PER_SECOND} requests per second"
        ))?;
        self.load = Some(LoadGenerator::start(&self.round_robin)?);
        self.linger("requests to version 1", LOAD_BEFORE_ROLLOUT)
            .await
    }

    /// Creates and activates version 2.
    async fn activate(&mut self) -> Result<(), DemoError> {
        self.say(match self.scenario.strategy() {
            DemoStrategy::BlueGreen => {
                "activate version 2: it starts beside version 1, without traffic"
            }
            DemoStrategy::Canary => {
                "activate version 2: it gets a share of the requests that grows by steps"
            }
            DemoStrategy::Rolling => "activate version 2: it replaces version 1 replica by replica",
        })?;
        let version_2 = self.operator.activate(self.scenario).await?;
        self.revisions.push(version_2);
        Ok(())
    }

    async fn stop_load(&mut self) -> Result<RequestTally, DemoError> {
        self.linger("the last requests", LOAD_AFTER_ROLLOUT).await?;
        while self.tally().total() < MIN_REQUESTS {
            self.linger("enough requests", FRAME_INTERVAL).await?;
        }
        self.waiting_for.set("the end of the requests");
        match self.load.take() {
            Some(load) => Ok(load.finish().await),
            None => Ok(RequestTally::default()),
        }
    }
}

const LOAD_BEFORE_ROLLOUT: Duration = Duration::from_secs(3);
const LOAD_AFTER_ROLLOUT: Duration = Duration::from_secs(3);
// As many as both pauses give on an idle machine: with fewer, "0 failed" would prove little.
const MIN_REQUESTS: u64 = 600;
