//! `viridian deployment watch`: a live view on a terminal, else a line for each change.

use std::time::Duration;

use clap::{Args, ValueEnum};
use viridian_client::{MissReason, WaitGoal};
use viridian_proto::v1::Deployment;

use super::{CliSession, DeploymentError, wait};
use crate::{duration, names, output::OutputFormat, screen};

mod act;
mod hint;
mod lines;
mod live;
mod model;
mod render;

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    /// Stop when the deployment is in this state, also if it is already [default: stop
    /// when it is destroyed].
    ///
    /// Exits with 1 and the reason if it will not come there by itself: the rollout went
    /// back, the deployment is deleted, or nothing moves for the policy's progress
    /// deadline. Where someone has to act first, it says so and waits.
    #[arg(long, value_name = "STATE")]
    until: Option<WatchUntil>,
    /// Stop after this time. With --until that is a failure (exit code 1).
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Print a line for each change, also on a terminal.
    #[arg(long)]
    plain: bool,
}

/// The state that ends a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WatchUntil {
    /// READY: no rollout is running, and all routes are ready.
    Ready,
    /// A new revision is ready, and waits for its promotion. In a canary: after the last
    /// step.
    AwaitingPromotion,
}

/// Why a watch ended.
#[derive(Debug)]
enum WatchEnd {
    Reached,
    /// The deployment will not come to the state of --until.
    Missed(MissReason, Box<Deployment>),
    Destroyed,
    /// The user quit the live view.
    Quit,
}

pub(super) async fn run(args: WatchArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let is_live = session.format == OutputFormat::Table && !args.plain && screen::is_live();
    let ended = if is_live {
        live::run(&args, session).await?
    } else {
        lines::run(&args, session).await?
    };
    let Some(until) = args.until else {
        return Ok(());
    };
    let reason = match ended {
        // A user who quits has seen enough: that is no failure, even with --until.
        Some(WatchEnd::Reached | WatchEnd::Quit) => return Ok(()),
        Some(WatchEnd::Missed(reason, deployment)) => wait::missed(&deployment, reason),
        Some(WatchEnd::Destroyed) => MissReason::Destroyed.to_string(),
        None => wait::timed_out(args.timeout.unwrap_or_default()),
    };
    Err(DeploymentError::NotReached {
        deployment: args.deployment,
        goal: until
            .to_possible_value()
            .map_or_else(String::new, |it| it.get_name().to_owned()),
        reason,
    })
}

impl WatchUntil {
    fn goal(self) -> WaitGoal {
        match self {
            Self::Ready => WaitGoal::Ready,
            Self::AwaitingPromotion => WaitGoal::AwaitingPromotion,
        }
    }
}
