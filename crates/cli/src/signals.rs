//! The signals that ask the program to end.

use std::{fs, io, process::ExitCode};

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
    /// Listens for SIGINT, SIGTERM and SIGHUP. Needs a tokio runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        // Under `nohup` a closed terminal is to end nothing, and a handler would undo that.
        let hang_up = match is_ignored(SignalKind::hangup()) {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up,
        })
    }

    /// The next signal. Safe to cancel: no signal is lost.
    pub(crate) async fn next(&mut self) -> StopSignal {
        // Where SIGHUP is ignored this branch never ends.
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

/// Whether this process was started with a signal ignored.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Bit 0 is signal 1.
    mask.unwrap_or_default() >> (kind.as_raw_value() - 1) & 1 == 1
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
