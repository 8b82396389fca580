//! Version 2 never becomes healthy, and is rolled back.

use crate::demo::{
    DemoError,
    operator::PROGRESS_DEADLINE,
    runner::{DemoRunner, is_ready},
    scenario::DemoStrategy,
};

impl DemoRunner<'_> {
    pub(super) async fn deploy_unhealthy(
        &mut self,
        strategy: DemoStrategy,
    ) -> Result<(), DemoError> {
        self.activate().await?;
        self.say(&format!(
            "it never becomes healthy; after {} s without progress it is rolled back",
            PROGRESS_DEADLINE.as_secs()
        ))?;
        self.wait_for("the automatic roll-back", |it, _| is_ready(it))
            .await?;
        // READY with version 2 would mean that an unhealthy version was promoted.
        if self.serves_newest().await? {
            return Err(DemoError::Promoted);
        }
        let version_1 = self.oldest();
        self.wait_for_traffic("the traffic table with version 1", &version_1)
            .await?;
        self.wait_for_end("the routes of version 2 to end", "v2-")
            .await?;
        self.say(match strategy {
            DemoStrategy::BlueGreen | DemoStrategy::Canary => {
                "version 2 was rolled back; it never got a request, and version 1 was never touched"
            }
            DemoStrategy::Rolling => "version 2 was rolled back; it never got a request",
        })
    }
}
