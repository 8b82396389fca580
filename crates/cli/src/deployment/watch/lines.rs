//! A watch as lines, for programs and for where nobody looks.

use std::ops::ControlFlow;

use tokio::time::{Instant, timeout_at};
use viridian_proto::v1::{Deployment, DeploymentEvent, DeploymentEventKind, DeploymentLifecycle};

use super::{WatchArgs, WatchEnd};
use crate::{
    deployment::{DeploymentError, Session, follow::follow, session::write, show},
    enum_names, output,
};

/// Writes a line for each change. None when the time is over.
pub(super) async fn run(
    args: &WatchArgs,
    session: &Session,
) -> Result<Option<WatchEnd>, DeploymentError> {
    let follow = follow(session, &args.deployment, |event, deployment| {
        let text = output::stream_item(session.format, "DeploymentEvent", event)?;
        write(&text.unwrap_or_else(|| line(event, deployment)))?;
        Ok(
            if args.until.is_some_and(|until| until.is_reached(deployment)) {
                ControlFlow::Break(WatchEnd::Reached)
            } else if deployment.lifecycle() == DeploymentLifecycle::Destroyed {
                ControlFlow::Break(WatchEnd::Destroyed)
            } else {
                ControlFlow::Continue(())
            },
        )
    });
    // Too long for the clock is for ever.
    match args
        .timeout
        .and_then(|limit| Instant::now().checked_add(limit))
    {
        Some(at) => timeout_at(at, follow).await.ok().transpose(),
        None => follow.await.map(Some),
    }
}

/// A change, on one line.
fn line(event: &DeploymentEvent, deployment: &Deployment) -> String {
    let kind = match event.kind() {
        DeploymentEventKind::Snapshot => "NOW",
        kind => enum_names::event(kind),
    };
    format!("{kind:<11}  {}", show::change(deployment))
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{Blocker, BlockerCode, DeploymentSubStep, ReplicaCounts};

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
