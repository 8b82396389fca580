//! `viridian demo`: deploys a new version from start to end, in one process, with a
//! real server, a real agent and real HTTP requests.
//!
//! - `environment`: the server, the agent and the temporary database.
//! - `scenario`: the flags, and which variant they choose.
//! - `runner`, `steps`: the steps of a variant, and what they share.
//! - `operator`: the calls that an operator would make.
//! - `load_generator`, `round_robin`: requests, spread as a proxy would.
//! - `frame`, `view`: what is shown at one moment, and how.
//! - `replica`: the web server that is deployed.

use std::{cell::Cell, io, process::ExitCode, time::Duration};

use tokio::{runtime::Runtime, task::JoinError};
use viridian_agent::AgentError;
use viridian_client::{CallError, UrlError};
use viridian_server::{StartError, TaskFailure};

use crate::{
    call_error, exit_code,
    logging::{self, LogError},
    output,
    runtime::TASK_SHUTDOWN_TIMEOUT,
    signals::{StopSignal, StopSignals},
};

mod environment;
mod frame;
mod load_generator;
mod operator;
pub(crate) mod replica;
mod round_robin;
mod runner;
mod scenario;
mod steps;
mod view;

pub(crate) use self::scenario::DemoArgs;
use self::{
    environment::{DemoEnvironment, TempFolder},
    load_generator::RequestTally,
    scenario::{DemoScenario, ScenarioError},
    view::DemoView,
};

/// Why the demonstration failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    #[error("cannot create or remove the temporary folder: {0}")]
    Folder(#[source] io::Error),
    #[error("cannot find the path of this program: {0}")]
    Executable(#[source] io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the server's address is not a URL: {0}")]
    Address(#[source] UrlError),
    #[error("{}", call_error::describe(.0))]
    Call(#[from] CallError),
    #[error("cannot send requests: {0}")]
    Load(#[from] reqwest::Error),
    #[error("cannot write to stdout: {0}")]
    Output(#[from] io::Error),
    #[error("the server sent an empty reply to {call}")]
    EmptyReply { call: &'static str },
    #[error("version 2 did not become ready and was rolled back; version 1 still serves")]
    RolledBack,
    #[error("version 2 was promoted although it was never healthy")]
    Promoted,
    #[error("the roll-back was not instant: no routes of version 1 were retained")]
    NotInstant,
    #[error("the server stopped before the end of the demonstration: {0}")]
    ServerFailed(TaskFailure),
    #[error("the agent stopped before the end of the demonstration")]
    AgentEnded,
    #[error("the agent failed: {0}")]
    Agent(#[source] AgentError),
    #[error("the agent did not stop in time")]
    AgentHangs,
    #[error("a task of the demonstration panicked: {0}")]
    Crashed(#[source] JoinError),
    #[error("timed out after {} s, waiting for {waiting_for}", TIME_LIMIT.as_secs())]
    TooLong { waiting_for: &'static str },
}

impl DemoError {
    /// 2 for flags that conflict, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Scenario(_) => exit_code::USAGE,
            _ => exit_code::FAILURE,
        }
    }
}

/// How the demonstration ended, if its environment did not fail.
enum DemoOutcome {
    Finished(RequestTally),
    Stopped(StopSignal),
}

/// Runs the demonstration. Exit code 0 when no request failed.
pub(crate) fn run(args: DemoArgs) -> Result<ExitCode, DemoError> {
    let scenario = DemoScenario::try_from(args)?;
    let logs_to_stderr = logging::start_if_requested()?;
    let runtime = Runtime::new().map_err(DemoError::Runtime)?;
    // Signals are caught before anything exists that must be cleaned up: otherwise
    // Ctrl-C could kill this process and leave its children and files.
    let signals = {
        let _guard = runtime.enter();
        StopSignals::listen().map_err(DemoError::Runtime)?
    };
    let folder = TempFolder::create()?;
    let outcome = runtime.block_on(Box::pin(supervise(
        scenario,
        &folder,
        signals,
        logs_to_stderr,
    )));
    // The folder is removed after the runtime is gone: a task that still runs could
    // write to the database, and the folder would not be empty.
    runtime.shutdown_timeout(TASK_SHUTDOWN_TIMEOUT);
    let removed = folder.remove();
    // An error of the demonstration says more than one of the removal.
    match outcome? {
        DemoOutcome::Stopped(stop) => {
            removed?;
            Ok(stop.exit_code())
        }
        DemoOutcome::Finished(tally) => {
            removed?;
            print_summary(&tally)
        }
    }
}

/// Runs the scenario until its end, a signal or the time limit, then stops everything.
async fn supervise(
    scenario: DemoScenario,
    folder: &TempFolder,
    mut signals: StopSignals,
    logs_to_stderr: bool,
) -> Result<DemoOutcome, DemoError> {
    let mut view = DemoView::open(logs_to_stderr);
    // Outside of the scenario's future: a signal drops that,
    // and the environment must still be stopped.
    let mut environment = DemoEnvironment::default();
    // A Cell: the scenario writes it, and the branch of the time limit reads it.
    let waiting_for = Cell::new("the server to start");
    let outcome = tokio::select! {
        finished = Box::pin(run_scenario(scenario, &mut environment, folder, &mut view, &waiting_for)) => {
            finished.map(DemoOutcome::Finished)
        }
        stop = signals.next() => Ok(DemoOutcome::Stopped(stop)),
        () = tokio::time::sleep(TIME_LIMIT) => {
            Err(DemoError::TooLong { waiting_for: waiting_for.get() })
        }
    };
    let closed_view = match &outcome {
        Ok(DemoOutcome::Stopped(_)) => view.clear().and_then(|()| view.say("stopping")),
        _ => view.keep(),
    };
    let stopped_environment = tokio::select! {
        stopped = environment.stop() => stopped,
        // A second signal: end at once. The supervisors of the routes stop them
        // as soon as this process is gone.
        stop = signals.next() => return Ok(DemoOutcome::Stopped(stop)),
    };
    // Before the errors of the cleanup, which may only follow from this one.
    let outcome = outcome?;
    if let DemoOutcome::Finished(_) = outcome {
        stopped_environment?;
        closed_view?;
    }
    Ok(outcome)
}

async fn run_scenario(
    scenario: DemoScenario,
    environment: &mut DemoEnvironment,
    folder: &TempFolder,
    view: &mut DemoView,
    waiting_for: &Cell<&'static str>,
) -> Result<RequestTally, DemoError> {
    let address = environment.start(folder).await?;
    tokio::select! {
        tally = Box::pin(steps::run(scenario, address, view, waiting_for)) => tally,
        error = environment.failure() => Err(error),
    }
}

/// Prints the results of the requests. Scripts may read the last line.
fn print_summary(tally: &RequestTally) -> Result<ExitCode, DemoError> {
    for error in &tally.first_errors {
        output::line(&format!("failed: {error}"))?;
    }
    let (first, second) = (tally.answered_by("v1"), tally.answered_by("v2"));
    output::line(&format!(
        "version 1 answered {first} requests, version 2 answered {second}"
    ))?;
    output::line(&format!(
        "{} requests, {} failed",
        tally.total(),
        tally.failed
    ))?;
    Ok(if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// With the shutdown after it, the demonstration takes less than a minute.
const TIME_LIMIT: Duration = Duration::from_secs(50);
