//! `viridian deployment pause`.

use clap::Args;
use viridian_proto::v1::Deployment;

use super::{
    CliSession, DeploymentError, calls, change::ChangeArgs, session::DeploymentReply, show,
};

use crate::names;

#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(args: PauseArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let paused = calls::pause(&mut client, args.deployment, args.change).await?;
    let paused = paused.ok_or(DeploymentError::EmptyReply)?;
    let reply = DeploymentReply {
        message: "Deployment",
        reply: &paused,
        deployment: &paused,
        headline: &headline(&paused),
    };
    session.show_reply(&mut client, &reply).await
}

/// What a pause leaves as it is, in a canary; else empty.
fn headline(paused: &Deployment) -> String {
    match (show::step_of_steps(paused), &paused.split) {
        (Some(step), Some(split)) => format!(
            "Paused at step {step}: revision {} keeps its share of the traffic, {}.",
            paused.deploying_revision_number,
            show::share(split),
        ),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::show::fixture, headline};

    #[test]
    fn a_pause_of_a_canary_says_which_share_stays() {
        assert_eq!(
            headline(&fixture::canary()),
            "Paused at step 2 of 3: revision 2 keeps its share of the traffic, 25 %."
        );
        assert_eq!(headline(&fixture::at_the_gate()), "");
    }
}
