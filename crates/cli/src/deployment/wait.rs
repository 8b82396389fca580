//! `--wait`: waits for the effect of a change.

use std::{io::Write as _, time::Duration};

use clap::Args;
use viridian_client::{
    MissReason, NeededAction, ReconnectPolicy, WaitError, WaitGoal, WaitOutcome, WatchUpdate,
    wait_until,
};
use viridian_proto::v1::{Deployment, DeploymentEvent, RolloutOutcome};

use super::{
    CliSession, DeploymentError,
    read::{self, DeploymentClient},
    session::DeploymentReply,
    show::RevisionNames,
};
use crate::{duration, enum_names::qualified_name, signals::StopSignals, table::clean};

mod bar;

use self::bar::WaitBar;

/// The flags of every command whose effect takes time.
#[derive(Debug, Args)]
#[command(next_help_heading = "Wait")]
pub(super) struct WaitArgs {
    /// Wait until the change has taken effect, or until someone must act.
    ///
    /// Prints progress on stderr. Exits with 1 and the reason if it does not take effect:
    /// the rollout went back, or nothing moves for the policy's progress deadline. Exits
    /// with 3 where someone has to act, as at a manual gate. Ctrl-C stops the waiting,
    /// not the rollout.
    #[arg(long)]
    wait: bool,
    /// Stop waiting after this time, with exit code 1 [default: wait for ever].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, requires = "wait")]
    timeout: Option<Duration>,
}

/// Where a wait has ended.
#[derive(Debug)]
pub(super) struct WaitEnd {
    pub(super) deployment: Deployment,
    /// What someone has to do now, if the goal is not reached.
    action: Option<NeededAction>,
}

impl WaitEnd {
    /// The end of no wait.
    pub(super) fn at_once(deployment: Deployment) -> Self {
        Self {
            deployment,
            action: None,
        }
    }

    /// Fails where someone has to act. To be called after the output: what is done so far
    /// is shown in any case.
    pub(super) fn check(self, revisions: &RevisionNames) -> Result<(), DeploymentError> {
        match self.action {
            Some(action) => Err(action_needed(&self.deployment, action, revisions)),
            None => Ok(()),
        }
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
        let deployment = deployment.ok_or(DeploymentError::EmptyReply)?;
        self.finish_with(client, deployment, "", wait, goal).await
    }

    /// The same with a sentence above the deployment; empty for none.
    pub(super) async fn finish_with(
        &self,
        client: &mut DeploymentClient,
        deployment: Deployment,
        headline: &str,
        wait: &WaitArgs,
        goal: impl FnOnce(&Deployment) -> WaitGoal,
    ) -> Result<(), DeploymentError> {
        let goal = goal(&deployment);
        let end = self.wait_if_asked(deployment, wait, &goal).await?;
        let reply = DeploymentReply {
            message: "Deployment",
            reply: &end.deployment,
            deployment: &end.deployment,
            headline,
        };
        self.show_reply(client, &reply).await?;
        self.check_end(client, end).await
    }

    /// Waits if --wait was given.
    pub(super) async fn wait_if_asked(
        &self,
        deployment: Deployment,
        wait: &WaitArgs,
        goal: &WaitGoal,
    ) -> Result<WaitEnd, DeploymentError> {
        if wait.wait {
            self.wait_for(&deployment, wait, goal).await
        } else {
            Ok(WaitEnd::at_once(deployment))
        }
    }

    /// Fails where someone has to act, after the output.
    pub(super) async fn check_end(
        &self,
        client: &mut DeploymentClient,
        end: WaitEnd,
    ) -> Result<(), DeploymentError> {
        if end.action.is_none() {
            return Ok(());
        }
        // Without names the sentence has ids.
        let revisions = read::revision_names(client, &end.deployment.id).await;
        end.check(&revisions.unwrap_or_default())
    }

    /// Waits for the goal, or until someone has to act.
    async fn wait_for(
        &self,
        from: &Deployment,
        wait: &WaitArgs,
        goal: &WaitGoal,
    ) -> Result<WaitEnd, DeploymentError> {
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
            Ok(Ok(WaitOutcome::Reached(deployment))) => Ok(WaitEnd::at_once(deployment)),
            Ok(Ok(WaitOutcome::ActionNeeded(action, deployment))) => Ok(WaitEnd {
                deployment,
                action: Some(action),
            }),
            Ok(Err(WaitError::Missed { reason, deployment })) => {
                Err(not_reached(name, goal, missed(&deployment, reason)))
            }
            Ok(Err(WaitError::TimedOut { limit })) => {
                let reason = format!("{}, and the rollout goes on", timed_out(limit));
                Err(not_reached(name, goal, reason))
            }
            Ok(Err(WaitError::Watch(error))) => {
                Err(stopped_waiting(&name, DeploymentError::Read(error)))
            }
            Err(error) => Err(stopped_waiting(&name, error)),
        }
    }
}

/// What someone has to do, what serves until then, and the command for it.
fn action_needed(
    deployment: &Deployment,
    action: NeededAction,
    revisions: &RevisionNames,
) -> DeploymentError {
    let name = qualified_name(deployment);
    let serving = match (action, deployment.current_revision_id.as_str()) {
        (_, "") => String::new(),
        (_, current) => format!("; revision {} serves until then", revisions.name(current)),
    };
    DeploymentError::ActionNeeded {
        action,
        serving,
        command: action_command(action, &name),
        deployment: name,
    }
}

/// The command that does what is needed.
pub(super) fn action_command(action: NeededAction, deployment: &str) -> String {
    let (verb, rest) = match action {
        NeededAction::Promote => ("promote", ""),
        NeededAction::Advance => ("advance", ""),
        NeededAction::Resume => ("resume", ""),
        NeededAction::AddReplicas => ("scale", " REPLICAS"),
        NeededAction::ActivateRevision => ("activate", " --image IMAGE"),
    };
    format!("viridian deployment {verb} {deployment}{rest}")
}

pub(super) fn timed_out(limit: Duration) -> String {
    format!("timed out after {}", duration::to_words(limit))
}

/// Why the goal was missed, with what the server says of it.
pub(super) fn missed(deployment: &Deployment, reason: MissReason) -> String {
    match reason {
        MissReason::RolledBack | MissReason::NeverReady => {
            format!("{reason}{}", why(deployment))
        }
        MissReason::NoProgress(limit) => {
            let blockers = deployment.blockers.iter();
            let blockers: Vec<_> = blockers.map(|it| clean(&it.message)).collect();
            let limit = duration::to_words(limit);
            match blockers.join("; ") {
                text if text.is_empty() => format!("there was no progress for {limit}"),
                text => format!("there was no progress for {limit}: {text}"),
            }
        }
        _ => reason.to_string(),
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
