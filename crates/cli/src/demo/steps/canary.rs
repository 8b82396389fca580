//! Version 2 gets a share of the requests that grows by steps.

use viridian_proto::v1::Deployment;

use crate::{
    demo::{
        DemoError,
        frame::DemoFrame,
        operator::CANARY_WEIGHTS,
        runner::{DemoRunner, is_at_gate, is_ready},
    },
    permille::to_words,
};

impl DemoRunner<'_> {
    /// Activates version 2, and waits until its steps are over and all of it is ready.
    pub(super) async fn shift_by_steps(&mut self) -> Result<(), DemoError> {
        self.activate().await?;
        for (number, weight) in (1..).zip(CANARY_WEIGHTS) {
            // READY is checked too: if version 2 is rolled back, the step is never reached.
            let reached = |it: &Deployment, _: &DemoFrame| is_ready(it) || it.step >= number;
            self.wait_for("the next step of the canary", reached)
                .await?;
            self.say(&format!(
                "step {number} of {}: version 2 gets {} of the requests",
                CANARY_WEIGHTS.len(),
                to_words(weight)
            ))?;
            let before = self.tally();
            let over =
                |it: &Deployment, _: &DemoFrame| is_ready(it) || is_at_gate(it) || it.step > number;
            self.wait_for("the end of the step", over).await?;
            let after = self.tally();
            let second = after.answered_by("v2") - before.answered_by("v2");
            let all = after.total() - before.total();
            self.say(&format!(
                "in step {number} version 2 answered {second} of {all} requests"
            ))?;
        }
        let (deployment, _) = self.operator.read().await?;
        match is_at_gate(&deployment) {
            true => Ok(()),
            // Someone may have promoted it from another terminal.
            false if self.serves_newest().await? => Ok(()),
            false => Err(DemoError::RolledBack),
        }
    }
}
