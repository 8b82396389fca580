//! `--wait`: waits for the effect of a change.

use std::{io::Write as _, time::Duration};

use clap::Args;
use viridian_client::{ReconnectPolicy, WaitError, WaitGoal, WaitOutcome, WatchUpdate, wait_until};
use viridian_proto::v1::{Deployment, DeploymentEvent, HistoryResult};

use super::{
    CliSession, DeploymentError,
    read::{self, DeploymentClient},
};
use crate::{duration, enum_names::qualified_name, signals::StopSignals, table::clean};

mod bar;

use self::bar::WaitBar;

/// The flags of every command whose effect takes time.
#[derive(Debug, Args)]
#[command(next_help_heading = "Wait")]
pub(super) struct WaitArgs {
    /// Wait until the change has taken effect, or until someone must promote.
    ///
    /// Prints progress on stderr. Exits with 1 if the rollout fails. Ctrl-C stops the
    /// waiting, not the rollout.
    #[arg(long)]
    wait: bool,
    /// Stop waiting after this time, with exit code 1 [default: wait for ever].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, requires = "wait")]
    timeout: Option<Duration>,
}

impl WaitArgs {
    pub(super) fn is_requested(&self) -> bool {
        self.wait
    }
}

impl CliSession {
    /// Waits if --wait was given, then prints the deployment.
    pub(super) async fn finish(
        &self,
        client: &mut DeploymentClient,
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

    /// Waits for the goal, and returns the deployment.
    pub(super) async fn wait_for(
        &self,
        client: &mut DeploymentClient,
        from: &Deployment,
        wait: &WaitArgs,
        goal: &WaitGoal,
    ) -> Result<Deployment, DeploymentError> {
        let mut signals = StopSignals::listen().map_err(DeploymentError::Runtime)?;
        // By id: after a deletion, another deployment may take the name.
        let mut watch = self.watch(&from.id, ReconnectPolicy::TRANSIENT)?;
        let mut bar = WaitBar::open();
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
        // First, or the next line on stderr would be written into the bar.
        bar.close();
        let name = qualified_name(from);
        match ended {
            // The gate is a success: the rest is the decision of a person.
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
            Ok(Err(WaitError::Watch(error))) => Err(stopped_waiting(&name, error.into())),
            Err(error) => Err(stopped_waiting(&name, error)),
        }
    }
}

/// Prints on stderr that the waiting has ended, but not the rollout.
fn stopped_waiting(name: &str, error: DeploymentError) -> DeploymentError {
    // If stderr is closed, the exit code remains.
    let _ = writeln!(
        std::io::stderr(),
        "stopped waiting; the change was made, and the rollout goes on: \
         viridian deployment watch {name}"
    );
    error
}

fn not_reached(deployment: String, goal: &WaitGoal, reason: String) -> DeploymentError {
    DeploymentError::NotReached {
        deployment,
        goal: goal.name().to_owned(),
        reason,
    }
}

/// The reason of the last roll-back, if the history has one.
async fn why(client: &mut DeploymentClient, deployment: &Deployment) -> String {
    let entries = read::history(client, &deployment.id, MAX_HISTORY).await;
    // If the history cannot be read, the failure is reported without its reason.
    let reason = entries
        .unwrap_or_default()
        .into_iter()
        .find(|it| it.result() == HistoryResult::RolledBack && !it.reason.is_empty());
    reason.map_or_else(String::new, |it| format!(" ({})", clean(&it.reason)))
}

/// Entries of the history that are searched for the reason.
const MAX_HISTORY: i32 = 10;
