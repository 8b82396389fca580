//! Checkpoints of a SQLite database, which copy what was committed from the WAL to the
//! file. A thread of its own does them, since every caller waits for the writer.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread::{self, JoinHandle},
};

use diesel::{SqliteConnection, connection::SimpleConnection as _};
use tokio::sync::watch;
use tracing::debug;

use crate::sqlite_thread::SqliteConnector;

/// The thread that checkpoints. It has ended when this is dropped.
pub(crate) struct Checkpointer {
    /// None only while it is being ended.
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    failure: watch::Receiver<Option<String>>,
}

impl Checkpointer {
    /// Starts the thread, with a connection of its own.
    pub(crate) fn on(connect: SqliteConnector) -> Self {
        // With room for one: a wake-up during a checkpoint leads to one more, and any number of
        // them to no more than that.
        let (wake, woken) = sync_channel(1);
        let thread = thread::Builder::new().name("checkpoints".into());
        let (failed, failure) = watch::channel(None);
        let body = move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&woken, &connect))) {
                let message = panic.downcast_ref::<String>().cloned();
                let message = message.or_else(|| Some(panic.downcast_ref::<&str>()?.to_string()));
                failed.send_replace(Some(message.unwrap_or_else(|| "no message".to_owned())));
            }
        };
        // Without a thread the writer checkpoints.
        let thread = thread.spawn(body).ok();
        Self {
            wake: Some(wake),
            thread,
            failure,
        }
    }

    /// Returns what holds the message of the thread's panic, once it has panicked.
    pub(crate) fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.clone()
    }

    /// Asks for a checkpoint, unless one is asked for already.
    pub(crate) fn wake(&self) {
        if let Some(wake) = &self.wake
            && let Err(TrySendError::Disconnected(())) = wake.try_send(())
        {
            debug!("the writer checkpoints: there is no thread for it");
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        // First: the thread ends when the channel has no sender, and `join` waits for that.
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            // A panic of it changes nothing any more.
            let _ = thread.join();
        }
    }
}

fn run(woken: &Receiver<()>, connect: &SqliteConnector) {
    let mut connection = None;
    for () in woken {
        let done = match &mut connection {
            Some(connection) => checkpoint(connection),
            None => match connect() {
                Ok(new) => checkpoint(connection.insert(new)),
                Err(error) => Err(error.to_string()),
            },
        };
        if let Err(why) = done {
            // The next checkpoint, or the writer, does what this one did not.
            debug!(why, "a checkpoint failed");
            connection = None;
        }
    }
}

/// Checkpoints what no reader needs any more. It never waits.
fn checkpoint(connection: &mut SqliteConnection) -> Result<(), String> {
    let done = connection.batch_execute("PRAGMA wal_checkpoint(PASSIVE)");
    done.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_panic_of_the_thread_does_not_go_unnoticed() {
        let checkpointer = Checkpointer::on(Arc::new(|| panic!("a bug")));
        let mut failure = checkpointer.failure();
        checkpointer.wake();
        let message = failure.wait_for(Option::is_some).await;
        assert_eq!(message.expect("it panicked").as_deref(), Some("a bug"));
    }

    #[tokio::test]
    async fn the_end_of_the_thread_is_no_failure() {
        let checkpointer = Checkpointer::on(Arc::new(|| panic!("it is not woken")));
        let mut failure = checkpointer.failure();
        drop(checkpointer);
        let ended = failure.wait_for(Option::is_some).await;
        ended.expect_err("there is nothing to wait for");
    }
}
