//! Version 2 replaces version 1 replica by replica.

use viridian_proto::v1::Deployment;

use crate::demo::{
    DemoError,
    frame::DemoFrame,
    runner::{DemoRunner, is_ready},
};

impl DemoRunner<'_> {
    pub(super) async fn update_rolling(&mut self) -> Result<(), DemoError> {
        self.activate().await?;
        let over = |it: &Deployment, _: &DemoFrame| is_ready(it);
        self.wait_for("the end of the rolling update", over).await?;
        if !self.serves_newest().await? {
            return Err(DemoError::RolledBack);
        }
        let version_2 = self.newest();
        self.wait_for_traffic("the traffic table with version 2", &version_2)
            .await?;
        self.wait_for_end("the routes of version 1 to end", "v1-")
            .await?;
        self.say("version 1 is gone, and requests go on")
    }
}
