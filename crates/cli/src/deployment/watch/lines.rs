//! The watch as lines, for scripts and logs.

use std::io::{self, Write as _};

use tokio::time::{Instant, timeout_at};
use viridian_client::{
    DeploymentWatcher, MissReason, ReconnectPolicy, WaitGoal, WaitProgress, WaitTracker,
    WatchUpdate,
};
use viridian_proto::v1::{Deployment, DeploymentEvent, DeploymentEventKind, DeploymentLifecycle};

use super::{WatchArgs, WatchEnd, hint::hint};
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
    let mut until = args.until.map(|until| UntilReached::new(until.goal()));
    loop {
        let update = match next(&mut watch, until.as_ref()).await {
            Ok(update) => update?,
            Err((reason, deployment)) => return Ok(WatchEnd::Missed(reason, deployment)),
        };
        let event = match update {
            WatchUpdate::Message(event) => event,
            // Programs rely on each change having its line: a gap is a failure.
            WatchUpdate::Restarted { error } => return Err(DeploymentError::Read(error)),
            // Heartbeats and new connections are no changes.
            _ => continue,
        };
        let deployment = event.deployment.as_ref();
        let deployment = deployment.ok_or(DeploymentError::EmptyReply)?;
        let text = output::stream_item(session.format, "DeploymentEvent", &event)?;
        write(&text.unwrap_or_else(|| line(&event, deployment)))?;
        if let Some(end) = until.as_mut().and_then(|it| it.observe(deployment)) {
            return Ok(end);
        }
        if deployment.lifecycle() == DeploymentLifecycle::Destroyed {
            return Ok(WatchEnd::Destroyed);
        }
    }
}

type NextUpdate = WatchUpdate<DeploymentEvent>;

/// The next update, or why there is no more to wait for.
async fn next(
    watch: &mut DeploymentWatcher,
    until: Option<&UntilReached>,
) -> Result<Result<NextUpdate, DeploymentError>, (MissReason, Box<Deployment>)> {
    let update = match until.and_then(|it| Some((it, it.tracker.stalls_at()?))) {
        Some((until, (at, reason))) => match timeout_at(at, watch.next()).await {
            Ok(update) => update,
            Err(_) => return Err((reason, Box::new(until.last.clone()))),
        },
        None => watch.next().await,
    };
    Ok(update.map_err(DeploymentError::Read))
}

/// The state of --until.
struct UntilReached {
    goal: WaitGoal,
    tracker: WaitTracker,
    last: Deployment,
    /// What was said last about someone who has to act.
    hint: Option<String>,
}

impl UntilReached {
    fn new(goal: WaitGoal) -> Self {
        Self {
            tracker: WaitTracker::new(goal.clone()),
            goal,
            last: Deployment::default(),
            hint: None,
        }
    }

    fn observe(&mut self, deployment: &Deployment) -> Option<WatchEnd> {
        match self.tracker.observe(deployment) {
            WaitProgress::Reached => return Some(WatchEnd::Reached),
            WaitProgress::Missed(reason) => {
                return Some(WatchEnd::Missed(reason, Box::new(deployment.clone())));
            }
            WaitProgress::InProgress | WaitProgress::ActionNeeded(_) => {}
        }
        let hint = hint(&self.goal, deployment);
        if let Some(hint) = hint.as_ref().filter(|_| hint != self.hint) {
            // On stderr: stdout has a line for each change, and nothing else.
            let _ = writeln!(io::stderr(), "note: {hint}");
        }
        self.hint = hint;
        self.last.clone_from(deployment);
        None
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
