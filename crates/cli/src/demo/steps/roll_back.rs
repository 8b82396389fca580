//! Version 2 is promoted, then an operator rolls back to version 1, which was retained.

use std::time::Duration;

use tokio::time::Instant;

use crate::demo::{
    DemoError,
    operator::{DEPLOYMENT, SCALE_DOWN_DELAY},
    runner::DemoRunner,
};

impl DemoRunner<'_> {
    pub(super) async fn roll_back(&mut self) -> Result<(), DemoError> {
        self.say(&format!(
            "version 2 serves; version 1 has no traffic, and is retained for {} s",
            SCALE_DOWN_DELAY.as_secs()
        ))?;
        self.linger("requests to version 2", LOAD_ON_VERSION_2)
            .await?;
        self.say("an operator is not satisfied, and rolls back to version 1:")?;
        self.view.quote(&format!(
            "{} deployment rollback {DEPLOYMENT} --server http://{}",
            self.operator.program_as_typed(),
            self.address
        ))?;
        self.waiting_for.set("the roll-back");
        let begin = Instant::now();
        if !self.operator.roll_back().await?.instant {
            return Err(DemoError::NotInstant);
        }
        let took = begin.elapsed().as_secs_f64() * 1e3;
        self.say(&format!(
            "roll back: version 1 has the traffic again, in one transaction ({took:.0} ms)"
        ))?;
        let version_1 = self.oldest();
        self.wait_for_traffic("the traffic table with version 1", &version_1)
            .await?;
        self.wait_for_end("the routes of version 2 to end", "v2-")
            .await?;
        self.say("version 2 is gone, and requests go on")
    }
}

const LOAD_ON_VERSION_2: Duration = Duration::from_secs(3);
