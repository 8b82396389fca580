//! `viridian deployment watch`: live on a terminal, else a line for each change.

use std::time::Duration;

use clap::{Args, ValueEnum};
use viridian_proto::v1::{Deployment, DeploymentLifecycle, DeploymentSubStep};

use super::{DeploymentError, Session};
use crate::{duration, output::OutputFormat, screen};

mod act;
mod lines;
mod live;
mod model;
mod render;

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// The deployment: its UUID, or PROJECT/NAME.
    pub(super) deployment: String,
    /// End once it is so, also if it is so already. Without it the watch goes on
    /// until the deployment is destroyed.
    #[arg(long, value_name = "STATE")]
    until: Option<WatchUntil>,
    /// End after this time; with --until that is a failure.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// A line for each change, also on a terminal.
    #[arg(long)]
    plain: bool,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WatchUntil {
    /// READY: nothing is being deployed, and all routes are there.
    Ready,
    /// A new revision waits for its promotion.
    AwaitingPromotion,
}

/// What ended a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WatchEnd {
    Reached,
    Destroyed,
    /// Whoever watched has seen enough.
    Left,
}

pub(super) async fn run(args: WatchArgs, session: &Session) -> Result<(), DeploymentError> {
    let is_live = session.format == OutputFormat::Table && !args.plain && screen::is_live();
    let ended = if is_live {
        live::run(&args, session).await?
    } else {
        lines::run(&args, session).await?
    };
    match (ended, args.until) {
        (Some(WatchEnd::Reached | WatchEnd::Left), _) | (_, None) => Ok(()),
        (ended, Some(until)) => Err(DeploymentError::NotReached {
            deployment: args.deployment,
            until: until
                .to_possible_value()
                .map_or_else(String::new, |it| it.get_name().to_owned()),
            instead: match ended {
                Some(_) => "it is destroyed".to_owned(),
                None => format!("the time is over ({:?})", args.timeout.unwrap_or_default()),
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
