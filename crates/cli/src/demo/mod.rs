//! `viridian demo`: a deployment of a new version from start to end, in one process,
//! with a real server, a real agent and real requests.

use std::{cell::Cell, io, process::ExitCode, time::Duration};

use tokio::{runtime::Runtime, task::JoinError};
use viridian_agent::AgentError;
use viridian_server::StartError;

use crate::{
    client::CallError,
    error,
    logging::{self, LogError},
    output,
    signals::{Signals, Stop},
};

mod load;
mod operator;
mod plot;
pub(crate) mod replica;
mod rotation;
mod scene;
mod stage;
mod story;
mod teller;
mod view;

pub(crate) use self::plot::DemoArgs;
use self::{
    load::Tally,
    plot::{Plot, PlotError},
    stage::{Folder, Stage},
    view::View,
};

/// Why the demonstration failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error(transparent)]
    Plot(#[from] PlotError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    #[error("cannot keep a temporary folder: {0}")]
    Folder(#[source] io::Error),
    #[error("cannot find the program itself: {0}")]
    Executable(#[source] io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("cannot send requests: {0}")]
    Load(#[from] reqwest::Error),
    #[error("cannot write to stdout: {0}")]
    Output(#[from] io::Error),
    #[error("the server's reply to {call} is empty")]
    EmptyReply { call: &'static str },
    #[error("version 2 did not come up and was rolled back; version 1 still serves")]
    RolledBack,
    #[error("version 2 was promoted although it was never healthy")]
    Promoted,
    #[error("version 1 was not kept for an instant roll-back")]
    NotInstant,
    #[error("the server ended before the demonstration did")]
    ServerEnded,
    #[error("the agent ended before the demonstration did")]
    AgentEnded,
    #[error("the agent failed: {0}")]
    Agent(#[source] AgentError),
    #[error("the agent does not stop")]
    AgentHangs,
    #[error("a part of the demonstration crashed: {0}")]
    Crashed(#[source] JoinError),
    #[error("gave up after {} s, while waiting for {waiting_for}", TIME_LIMIT.as_secs())]
    TooLong { waiting_for: &'static str },
}

impl DemoError {
    /// 2 for flags that do not fit, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Plot(_) => error::USAGE,
            _ => 1,
        }
    }
}

/// How the demonstration ended, if nothing went wrong around it.
enum Ending {
    Played(Tally),
    Stopped(Stop),
}

/// Runs the demonstration. Exit code 0 when no request failed.
pub(crate) fn run(args: DemoArgs) -> Result<ExitCode, DemoError> {
    let plot = Plot::try_from(args)?;
    let others_write = logging::start_if_asked()?;
    let runtime = Runtime::new().map_err(DemoError::Runtime)?;
    // Before there is anything to tidy up, signals must not end the process.
    let signals = {
        let _guard = runtime.enter();
        Signals::listen_in_terminal().map_err(DemoError::Runtime)?
    };
    let folder = Folder::create()?;
    let ending = runtime.block_on(Box::pin(perform(plot, &folder, signals, others_write)));
    // What still runs ends with the runtime; only then nobody writes any more.
    runtime.shutdown_timeout(LAST_TASKS);
    let removed = folder.remove();
    match ending? {
        Ending::Stopped(stop) => {
            removed?;
            Ok(stop.exit_code())
        }
        Ending::Played(tally) => {
            removed?;
            conclude(&tally)
        }
    }
}

async fn perform(
    plot: Plot,
    folder: &Folder,
    mut signals: Signals,
    others_write: bool,
) -> Result<Ending, DemoError> {
    let mut view = View::open(others_write);
    let mut stage = Stage::default();
    let waiting_for = Cell::new("the server to start");
    let ending = tokio::select! {
        played = Box::pin(play(plot, &mut stage, folder, &mut view, &waiting_for)) => {
            played.map(Ending::Played)
        }
        stop = signals.next() => Ok(Ending::Stopped(stop)),
        () = tokio::time::sleep(TIME_LIMIT) => {
            Err(DemoError::TooLong { waiting_for: waiting_for.get() })
        }
    };
    let closed_view = match &ending {
        Ok(Ending::Stopped(_)) => view.clear().and_then(|()| view.say("stopping")),
        _ => view.keep(),
    };
    let closed_stage = tokio::select! {
        closed = stage.close() => closed,
        // Whoever asks again does not want to wait: the supervisors of the
        // routes end them as soon as this process is gone.
        stop = signals.next() => return Ok(Ending::Stopped(stop)),
    };
    let ending = ending?;
    if let Ending::Played(_) = ending {
        closed_stage?;
        closed_view?;
    }
    Ok(ending)
}

async fn play(
    plot: Plot,
    stage: &mut Stage,
    folder: &Folder,
    view: &mut View,
    waiting_for: &Cell<&'static str>,
) -> Result<Tally, DemoError> {
    let address = stage.open(folder).await?;
    tokio::select! {
        tally = Box::pin(story::tell(plot, address, view, waiting_for)) => tally,
        error = stage.broken() => Err(error),
    }
}

/// Says what came of the requests; the last line is for scripts too.
fn conclude(tally: &Tally) -> Result<ExitCode, DemoError> {
    for complaint in &tally.complaints {
        output::line(&format!("failed: {complaint}"))?;
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

/// The whole demonstration takes less than a minute.
const TIME_LIMIT: Duration = Duration::from_secs(50);

/// How long what is still running may take to end after the stage is closed.
const LAST_TASKS: Duration = Duration::from_millis(500);
