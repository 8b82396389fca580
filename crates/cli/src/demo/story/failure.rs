//! Version 2 never becomes healthy.

use crate::demo::{
    DemoError,
    operator::PROGRESS_DEADLINE,
    plot::Strategy,
    teller::{Teller, is_ready},
};

impl Teller<'_> {
    pub(super) async fn fail(&mut self, strategy: Strategy) -> Result<(), DemoError> {
        self.activate().await?;
        self.say(&format!(
            "it never becomes healthy; without progress it may go on for {} s",
            PROGRESS_DEADLINE.as_secs()
        ))?;
        self.wait_for("the roll-back by itself", |it, _| is_ready(it))
            .await?;
        if self.serves_newest().await? {
            return Err(DemoError::Promoted);
        }
        let version_1 = self.oldest();
        self.wait_for_traffic("the traffic table with version 1", &version_1)
            .await?;
        self.wait_for_end("the routes of version 2 to end", "v2-")
            .await?;
        self.say(match strategy {
            Strategy::BlueGreen => {
                "version 2 was rolled back; it never had a request, and version 1 was never touched"
            }
            Strategy::Rolling => "version 2 was rolled back; it never had a request",
        })
    }
}
