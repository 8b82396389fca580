//! What happens in the demonstration, step by step.

use std::{cell::Cell, net::SocketAddr, sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{
    DemoError,
    load::{Load, REQUESTS_PER_SECOND, SharedRotation, Tally, follow_traffic},
    operator::{DEPLOYMENT, Operator, REPLICAS},
    plot::{Plot, Strategy},
    teller::{PERIOD, Teller, is_ready},
    view::View,
};
use crate::client;

mod failure;
mod promotion;
mod roll_back;
mod rolling;

/// Tells the story on the server at this address, and says what came of the
/// requests. `waiting_for` always says what it is at.
pub(super) async fn tell(
    plot: Plot,
    address: SocketAddr,
    view: &mut View,
    waiting_for: &Cell<&'static str>,
) -> Result<Tally, DemoError> {
    let channel = client::connect(&format!("http://{address}"), None).await?;
    let mut teller = Teller {
        plot,
        address,
        operator: Operator::new(channel.clone())?,
        rotation: SharedRotation::default(),
        load: None,
        revisions: Vec::new(),
        view,
        waiting_for,
    };
    teller.introduce()?;
    teller.create().await?;
    // Ends with this function, however it ends.
    let mut followers = JoinSet::new();
    followers.spawn(follow_traffic(
        channel,
        DEPLOYMENT,
        Arc::clone(&teller.rotation),
    ));
    teller.serve().await?;
    match plot {
        Plot::Promotion => {
            teller.bring_up().await?;
            teller.hold_at_gate().await?;
            teller.promote().await?;
            teller.drain().await?;
        }
        Plot::RollBack => {
            teller.bring_up().await?;
            teller.promote().await?;
            teller.go_back().await?;
        }
        Plot::Rolling => teller.roll().await?,
        Plot::Failure(strategy) => teller.fail(strategy).await?,
    }
    teller.end().await
}

impl Teller<'_> {
    fn introduce(&self) -> Result<(), DemoError> {
        let address = self.address;
        self.say(&format!(
            "a server on {address}, an agent, and a temporary database"
        ))?;
        self.say("to look at it from another terminal:")?;
        Ok(self.view.quote(&format!(
            "{} deployment watch {DEPLOYMENT} --server http://{address}",
            self.operator.program_as_typed()
        ))?)
    }

    async fn create(&mut self) -> Result<(), DemoError> {
        self.say(&format!(
            "create {DEPLOYMENT}: {REPLICAS} replicas of version 1, {}",
            self.plot.strategy().name()
        ))?;
        let version_1 = self.operator.create(self.plot).await?;
        self.revisions.push(version_1);
        Ok(())
    }

    async fn serve(&mut self) -> Result<(), DemoError> {
        self.wait_for("version 1 to be READY", |it, _| is_ready(it))
            .await?;
        let version_1 = self.oldest();
        self.wait_for_traffic("the traffic table with version 1", &version_1)
            .await?;
        self.say(&format!(
            "version 1 serves; from now on {REQUESTS_PER_SECOND} requests a second"
        ))?;
        self.load = Some(Load::start(&self.rotation)?);
        self.linger("requests to version 1", SHORT_WHILE).await
    }

    /// Creates and activates version 2.
    async fn activate(&mut self) -> Result<(), DemoError> {
        self.say(match self.plot.strategy() {
            Strategy::BlueGreen => {
                "activate version 2: it comes up beside version 1, without traffic"
            }
            Strategy::Rolling => {
                "activate version 2: it takes the place of version 1 replica by replica"
            }
        })?;
        let version_2 = self.operator.activate(self.plot).await?;
        self.revisions.push(version_2);
        Ok(())
    }

    async fn end(&mut self) -> Result<Tally, DemoError> {
        self.linger("the last requests", LAST_WHILE).await?;
        while self.tally().total() < ENOUGH_REQUESTS {
            self.linger("enough requests", PERIOD).await?;
        }
        self.waiting_for.set("the end of the requests");
        match self.load.take() {
            Some(load) => Ok(load.finish().await),
            None => Ok(Tally::default()),
        }
    }
}

const SHORT_WHILE: Duration = Duration::from_secs(3);
const LAST_WHILE: Duration = Duration::from_secs(3);
const ENOUGH_REQUESTS: u64 = 600;
