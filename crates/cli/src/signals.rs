//! The signals that ask the program to end.

use std::{io, process::ExitCode};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for the signals that ask the program to end. While it exists, they no longer
/// kill the process.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Option<Signal>,
}

/// A signal that asked the program to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopSignal {
    /// Ctrl-C.
    Interrupt,
    /// The default of `kill` and of service managers.
    Terminate,
    /// The terminal was closed.
    HangUp,
}

impl StopSignals {
    /// Listens for SIGINT and SIGTERM. Needs a tokio runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: None,
        })
    }

    /// Also listens for SIGHUP: for commands that must clean up when their terminal is
    /// closed.
    pub(crate) fn listen_in_terminal() -> io::Result<Self> {
        Ok(Self {
            hang_up: Some(signal(SignalKind::hangup())?),
            ..Self::listen()?
        })
    }

    /// The next signal. Safe to cancel: no signal is lost.
    pub(crate) async fn next(&mut self) -> StopSignal {
        // Without a handler for SIGHUP this branch never ends.
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => StopSignal::Interrupt,
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = hang_up => StopSignal::HangUp,
        }
    }
}

impl StopSignal {
    /// The code that a shell shows for a program that the signal killed.
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The same as a number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::HangUp => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}
