//! `viridian deployment watch`: a live view on a terminal, else a line for each change.

use std::time::Duration;

use clap::{Args, ValueEnum};
use viridian_proto::v1::{Deployment, DeploymentLifecycle, DeploymentSubStep};

use super::{CliSession, DeploymentError};
use crate::{duration, output::OutputFormat, screen};

mod act;
mod lines;
mod live;
mod model;
mod render;

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    pub(super) deployment: String,
    /// Stop when the deployment is in this state, also if it is already [default: stop
    /// when it is destroyed].
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
    /// A new revision is ready, and waits for its promotion.
    AwaitingPromotion,
}

/// Why a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WatchEnd {
    Reached,
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
    match (ended, args.until) {
        // A user who quits has seen enough: that is no failure, even with --until.
        (Some(WatchEnd::Reached | WatchEnd::Quit), _) | (_, None) => Ok(()),
        (ended, Some(until)) => Err(DeploymentError::NotReached {
            deployment: args.deployment,
            goal: until
                .to_possible_value()
                .map_or_else(String::new, |it| it.get_name().to_owned()),
            reason: match ended {
                Some(_) => "it was destroyed".to_owned(),
                None => format!("timed out after {:?}", args.timeout.unwrap_or_default()),
            },
        }),
    }
}

impl WatchUntil {
    fn is_reached(self, deployment: &Deployment) -> bool {
        match self {
            Self::Ready => deployment.lifecycle() == DeploymentLifecycle::Ready,
            Self::AwaitingPromotion => {
                deployment.sub_step() == DeploymentSubStep::AwaitingPromotion
            }
        }
    }
}
