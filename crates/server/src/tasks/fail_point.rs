//! Lets a test of the whole program have one task panic. Not in release builds.

use std::{convert::Infallible, env, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::BackgroundTask;

/// The work of a task, which panics at SIGUSR1 if the environment names the task.
pub(super) fn panics<F: Future<Output = ()>>(
    task: BackgroundTask,
    work: F,
) -> impl Future<Output = ()> + use<F> {
    let is_named = env::var(VARIABLE).is_ok_and(|name| name == task.as_str());
    // Listened for at once: a signal that comes earlier would end the process.
    let signals = is_named.then(|| signal(SignalKind::user_defined1()));
    async move {
        match signals {
            None => work.await,
            Some(signals) => tokio::select! {
                () = work => {}
                never = panic_at(signals) => match never {},
            },
        }
    }
}

async fn panic_at(signals: io::Result<Signal>) -> Infallible {
    let mut signals = signals.expect("signals can be listened for");
    signals.recv().await;
    panic!("a test asked for it")
}

const VARIABLE: &str = "VIRIDIAN_PANIC_IN";
