//! `viridian deployment watch`.

use std::{ops::ControlFlow, time::Duration};

use clap::{Args, ValueEnum};
use tokio::time::{Instant, timeout_at};
use viridian_proto::v1::{
    Deployment, DeploymentEvent, DeploymentEventKind, DeploymentLifecycle, DeploymentSubStep,
};

use super::{DeploymentError, Session, follow::follow, session::write, show};
use crate::{duration, names, output};

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// The deployment: its UUID, or PROJECT/NAME.
    pub(super) deployment: String,
    /// End once it is so, also if it is so already. Without it the watch goes on
    /// until the deployment is destroyed.
    #[arg(long, value_name = "STATE")]
    until: Option<Until>,
    /// End after this time; with --until that is a failure.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Until {
    /// READY: nothing is being deployed, and all routes are there.
    Ready,
    /// A new revision waits for its promotion.
    AwaitingPromotion,
}

/// What ended a watch by itself.
enum End {
    Reached,
    Destroyed,
}

pub(super) async fn run(args: WatchArgs, session: &Session) -> Result<(), DeploymentError> {
    let (until, limit) = (args.until, args.timeout);
    let follow = follow(session, &args.deployment, |event, deployment| {
        let text = output::one_of_many(session.format, "DeploymentEvent", event)?;
        write(&text.unwrap_or_else(|| line(event, deployment)))?;
        Ok(if until.is_some_and(|until| until.is_reached(deployment)) {
            ControlFlow::Break(End::Reached)
        } else if deployment.lifecycle() == DeploymentLifecycle::Destroyed {
            ControlFlow::Break(End::Destroyed)
        } else {
            ControlFlow::Continue(())
        })
    });
    // Too long for the clock is for ever.
    let ended = match limit.and_then(|limit| Instant::now().checked_add(limit)) {
        Some(at) => timeout_at(at, follow).await.ok().transpose()?,
        None => Some(follow.await?),
    };
    match (ended, until) {
        (Some(End::Reached), _) | (_, None) => Ok(()),
        (ended, Some(until)) => Err(DeploymentError::NotReached {
            deployment: args.deployment,
            until: until
                .to_possible_value()
                .map_or_else(String::new, |it| it.get_name().to_owned()),
            instead: match ended {
                Some(_) => "it is destroyed".to_owned(),
                None => format!("the time is over ({:?})", limit.unwrap_or_default()),
            },
        }),
    }
}

impl Until {
    fn is_reached(self, deployment: &Deployment) -> bool {
        match self {
            Self::Ready => deployment.lifecycle() == DeploymentLifecycle::Ready,
            Self::AwaitingPromotion => {
                deployment.sub_step() == DeploymentSubStep::AwaitingPromotion
            }
        }
    }
}

/// A change, on one line.
fn line(event: &DeploymentEvent, deployment: &Deployment) -> String {
    let kind = match event.kind() {
        DeploymentEventKind::Snapshot => "NOW",
        kind => names::event(kind),
    };
    format!("{kind:<11}  {}", show::change(deployment))
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{Blocker, BlockerCode, ReplicaCounts};

    use super::*;

    fn deploying() -> Deployment {
        let mut deployment = Deployment {
            target_replicas: 3,
            blue: Some(ReplicaCounts {
                ready: 3,
                ..ReplicaCounts::default()
            }),
            green: Some(ReplicaCounts {
                ready: 1,
                ..ReplicaCounts::default()
            }),
            blockers: vec![Blocker {
                code: BlockerCode::GreenProvisioning.into(),
                message: "2 of 3 green routes are provisioning".to_owned(),
                until_time: None,
            }],
            ..Deployment::default()
        };
        deployment.set_lifecycle(DeploymentLifecycle::Deploying);
        deployment.set_sub_step(DeploymentSubStep::Provisioning);
        deployment
    }

    #[test]
    fn a_change_is_a_line() {
        let mut event = DeploymentEvent::default();
        event.set_kind(DeploymentEventKind::Progressed);
        assert_eq!(
            line(&event, &deploying()),
            "PROGRESSED   DEPLOYING / PROVISIONING, blue 3/3, green 1/3: \
             2 of 3 green routes are provisioning"
        );
        event.set_kind(DeploymentEventKind::Snapshot);
        let mut ready = deploying();
        ready.set_lifecycle(DeploymentLifecycle::Ready);
        ready.set_sub_step(DeploymentSubStep::Unspecified);
        ready.blockers.clear();
        assert_eq!(line(&event, &ready), "NOW          READY, blue 3/3");
    }
}
