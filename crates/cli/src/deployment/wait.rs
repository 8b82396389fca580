//! `--wait`: from a call to what it leads to.

use std::{io::Write as _, time::Duration};

use clap::Args;
use viridian_client::{ReconnectPolicy, WaitError, WaitGoal, WaitOutcome, WatchUpdate, wait_until};
use viridian_proto::v1::{Deployment, DeploymentEvent, HistoryResult};

use super::{DeploymentError, Session, read, session::Client};
use crate::{duration, enum_names::qualified_name, signals::StopSignals, table::clean};

mod bar;

use self::bar::Bar;

/// The flags of every verb that starts something.
#[derive(Debug, Args)]
#[command(next_help_heading = "Wait")]
pub(super) struct WaitArgs {
    /// Wait until it is done, or waits for someone. Ctrl-C ends the waiting only.
    #[arg(long)]
    wait: bool,
    /// Wait no longer than this.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, requires = "wait")]
    timeout: Option<Duration>,
}

impl WaitArgs {
    pub(super) fn is_asked(&self) -> bool {
        self.wait
    }
}

impl Session {
    /// Waits, if that was asked for, and shows what has become of the deployment.
    pub(super) async fn finish(
        &self,
        client: &mut Client,
        deployment: Option<Deployment>,
        wait: &WaitArgs,
        goal: impl FnOnce(&Deployment) -> WaitGoal,
    ) -> Result<(), DeploymentError> {
        let mut deployment = deployment.ok_or(DeploymentError::EmptyReply)?;
        if wait.wait {
            let goal = goal(&deployment);
            deployment = self.wait_for(client, &deployment, wait, &goal).await?;
        }
        self.show_deployment(client, Some(deployment)).await
    }

    /// Waits, and gives what has become of the deployment.
    pub(super) async fn wait_for(
        &self,
        client: &mut Client,
        from: &Deployment,
        wait: &WaitArgs,
        goal: &WaitGoal,
    ) -> Result<Deployment, DeploymentError> {
        let mut signals = StopSignals::listen().map_err(DeploymentError::Runtime)?;
        let mut watch = self.watch(&from.id, ReconnectPolicy::TRANSIENT)?;
        let mut bar = Bar::open();
        let show = |update: &WatchUpdate<DeploymentEvent>| {
            if let WatchUpdate::Message(event) = update
                && let Some(deployment) = &event.deployment
            {
                bar.show(deployment);
            }
        };
        let ended = tokio::select! {
            ended = wait_until(&mut watch, goal, wait.timeout, show) => Ok(ended),
            stop = signals.next() => Err(DeploymentError::Stopped(stop)),
        };
        bar.close();
        let name = qualified_name(from);
        match ended {
            Ok(Ok(WaitOutcome::Reached(deployment) | WaitOutcome::AtGate(deployment))) => {
                Ok(deployment)
            }
            Ok(Err(WaitError::Missed { reason, deployment })) => {
                let why = why(client, &deployment).await;
                Err(not_reached(name, goal, format!("{reason}{why}")))
            }
            Ok(Err(error @ WaitError::TimedOut { .. })) => {
                Err(not_reached(name, goal, error.to_string()))
            }
            Ok(Err(WaitError::Watch(error))) => Err(no_longer_waiting(&name, error.into())),
            Err(error) => Err(no_longer_waiting(&name, error)),
        }
    }
}

/// Says on stderr that the waiting has ended, and that what was asked for has not.
fn no_longer_waiting(name: &str, error: DeploymentError) -> DeploymentError {
    // Without a reader of stderr there is nothing else to do.
    let _ = writeln!(
        std::io::stderr(),
        "no longer waiting; what was asked for is done, and the server goes on: \
         viridian deployment watch {name}"
    );
    error
}

fn not_reached(deployment: String, goal: &WaitGoal, instead: String) -> DeploymentError {
    DeploymentError::NotReached {
        deployment,
        until: goal.name().to_owned(),
        instead,
    }
}

/// Why the last rollout was given up, if the history has it.
async fn why(client: &mut Client, deployment: &Deployment) -> String {
    let entries = read::history(client, &deployment.id, LATEST).await;
    let reason = entries
        .unwrap_or_default()
        .into_iter()
        .find(|it| it.result() == HistoryResult::RolledBack && !it.reason.is_empty());
    reason.map_or_else(String::new, |it| format!(" ({})", clean(&it.reason)))
}

/// How many entries of the history are looked at.
const LATEST: i32 = 10;
