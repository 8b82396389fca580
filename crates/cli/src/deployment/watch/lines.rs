//! The watch as lines, for scripts and logs.

use tokio::time::{Instant, timeout_at};
use viridian_client::{ReconnectPolicy, WatchUpdate};
use viridian_proto::v1::{Deployment, DeploymentEvent, DeploymentEventKind, DeploymentLifecycle};

use super::{WatchArgs, WatchEnd};
use crate::{
    deployment::{CliSession, DeploymentError, session::write, show},
    enum_names, output,
};

/// Prints a line for each change. None if the time is over.
pub(super) async fn run(
    args: &WatchArgs,
    session: &CliSession,
) -> Result<Option<WatchEnd>, DeploymentError> {
    let watching = watch(args, session);
    // A limit beyond the range of the clock is no limit.
    match args
        .timeout
        .and_then(|limit| Instant::now().checked_add(limit))
    {
        Some(at) => timeout_at(at, watching).await.ok().transpose(),
        None => watching.await.map(Some),
    }
}

async fn watch(args: &WatchArgs, session: &CliSession) -> Result<WatchEnd, DeploymentError> {
    let policy = ReconnectPolicy::AFTER_FIRST_MESSAGE;
    let mut watch = session.watch(&args.deployment, policy)?;
    loop {
        let event = match watch.next().await? {
            WatchUpdate::Message(event) => event,
            // Programs rely on each change having its line: a gap is a failure.
            WatchUpdate::Restarted { error } => return Err(error.into()),
            // Heartbeats and new connections are no changes.
            _ => continue,
        };
        let deployment = event.deployment.as_ref();
        let deployment = deployment.ok_or(DeploymentError::EmptyReply)?;
        let text = output::stream_item(session.format, "DeploymentEvent", &event)?;
        write(&text.unwrap_or_else(|| line(&event, deployment)))?;
        if args.until.is_some_and(|until| until.is_reached(deployment)) {
            return Ok(WatchEnd::Reached);
        }
        if deployment.lifecycle() == DeploymentLifecycle::Destroyed {
            return Ok(WatchEnd::Destroyed);
        }
    }
}

/// A change on one line.
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
