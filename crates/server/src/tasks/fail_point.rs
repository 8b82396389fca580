//! Lets a test of the whole program have one task panic. Not in release builds.

use std::{convert::Infallible, env, future::pending, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::BackgroundTask;

/// The task that panics at SIGUSR1, if the environment names one.
pub(super) struct FailPoint {
    named: Option<(String, io::Result<Signal>)>,
}

impl FailPoint {
    /// Listens for the signal from now on. Before the first task begins, for one that comes
    /// before anybody listens would end the process.
    pub(super) fn from_env() -> Self {
        let name = env::var(VARIABLE).ok();
        Self {
            named: name.map(|name| (name, signal(SignalKind::user_defined1()))),
        }
    }

    /// The work of a task, which panics at the signal if it is the named one.
    pub(super) fn guard<F: Future<Output = ()>>(
        &mut self,
        task: BackgroundTask,
        work: F,
    ) -> impl Future<Output = ()> + use<F> {
        let signals = self.named.take_if(|(name, _)| name == task.as_str());
        async move {
            tokio::select! {
                () = work => {}
                never = panic_at(signals.map(|(_, signals)| signals)) => match never {},
            }
        }
    }
}

async fn panic_at(signals: Option<io::Result<Signal>>) -> Infallible {
    let Some(signals) = signals else {
        return pending().await;
    };
    signals.expect("signals can be listened for").recv().await;
    panic!("a test asked for it")
}

const VARIABLE: &str = "VIRIDIAN_PANIC_IN";
