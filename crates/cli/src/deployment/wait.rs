//! `--wait`: waits for the effect of a change.

use std::{io::Write as _, time::Duration};

use clap::Args;
use viridian_client::{ReconnectPolicy, WaitError, WaitGoal, WaitOutcome, WatchUpdate, wait_until};
use viridian_proto::v1::{Deployment, DeploymentEvent, RolloutOutcome};

use super::{CliSession, DeploymentError, read::DeploymentClient};
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
            deployment = self.wait_for(&deployment, wait, &goal).await?;
        }
        self.show_deployment(client, Some(deployment)).await
    }

    /// Waits for the goal, and returns the deployment.
    pub(super) async fn wait_for(
        &self,
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
                let why = why(&deployment);
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

/// Why the last rollout did not come to its end, and what its first route that failed said.
fn why(deployment: &Deployment) -> String {
    let last = deployment.last_rollout.as_ref();
    let Some(last) = last.filter(|last| last.outcome() != RolloutOutcome::Promoted) else {
        return String::new();
    };
    let said = [&last.reason, &last.failure].map(|text| clean(text));
    let said: Vec<_> = said.into_iter().filter(|it| !it.is_empty()).collect();
    match said.is_empty() {
        true => String::new(),
        false => format!(" ({})", said.join("; first failure: ")),
    }
}
