//! `--wait`: from a call to what it leads to.

use std::{io::Write as _, ops::ControlFlow, time::Duration};

use clap::Args;
use tokio::time::{Instant, timeout_at};
use viridian_proto::v1::{Deployment, HistoryResult};

use super::{
    DeploymentError, Session,
    follow::{Begun, follow_closely},
    read,
    session::Client,
};
use crate::{duration, enum_names::qualified_name, signals::StopSignals, table::clean};

mod bar;
mod goal;

pub(super) use self::goal::Goal;
use self::{bar::Bar, goal::Progress};

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
        goal: impl FnOnce(&Deployment) -> Goal,
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
        goal: &Goal,
    ) -> Result<Deployment, DeploymentError> {
        let mut signals = StopSignals::listen().map_err(DeploymentError::Runtime)?;
        let mut bar = Bar::open();
        let see = |_: &_, deployment: &Deployment| {
            bar.show(deployment);
            Ok(match goal.progress(deployment) {
                Progress::Going => ControlFlow::Continue(()),
                progress => ControlFlow::Break((progress, deployment.clone())),
            })
        };
        let waiting = follow_closely(self, &from.id, Begun(true), see, |_| {});
        let limited = async {
            match wait.timeout.and_then(|it| Instant::now().checked_add(it)) {
                Some(at) => timeout_at(at, waiting).await.ok(),
                None => Some(waiting.await),
            }
        };
        let name = qualified_name(from);
        let ended = tokio::select! {
            ended = limited => ended.transpose(),
            stop = signals.next() => Err(DeploymentError::Stopped(stop)),
        };
        bar.close();
        match ended {
            Ok(Some((Progress::Failed(instead), deployment))) => {
                let why = why(client, &deployment).await;
                Err(not_reached(name, goal, format!("{instead}{why}")))
            }
            Ok(Some((_, deployment))) => Ok(deployment),
            Ok(None) => {
                let limit = wait.timeout.unwrap_or_default();
                let instead = format!("the time is over ({limit:?}), and the server goes on");
                Err(not_reached(name, goal, instead))
            }
            Err(error) => {
                // Whoever is gone does not read it.
                let _ = writeln!(
                    std::io::stderr(),
                    "no longer waiting; what was asked for is done, and the server goes on: \
                     viridian deployment watch {name}"
                );
                Err(error)
            }
        }
    }
}

fn not_reached(deployment: String, goal: &Goal, instead: String) -> DeploymentError {
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
