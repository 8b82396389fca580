//! Checkpoints of a SQLite database, which copy what was committed from the WAL to the
//! file. A thread of its own does them, since every caller waits for the writer.

use std::{
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread::{self, JoinHandle},
};

use diesel::{SqliteConnection, connection::SimpleConnection as _};
use tracing::debug;

use crate::sqlite_thread::SqliteConnector;

/// The thread that checkpoints. It has ended when this is dropped.
pub(crate) struct Checkpointer {
    /// None only while it is being ended.
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread, with a connection of its own.
    pub(crate) fn on(connect: SqliteConnector) -> Self {
        let (wake, woken) = sync_channel(1);
        let thread = thread::Builder::new().name("checkpoints".into());
        // Without a thread the writer checkpoints.
        let thread = thread.spawn(move || run(&woken, &connect)).ok();
        Self {
            wake: Some(wake),
            thread,
        }
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

/// Checkpoints what no reader needs any more. It waits for nobody.
fn checkpoint(connection: &mut SqliteConnection) -> Result<(), String> {
    let done = connection.batch_execute("PRAGMA wal_checkpoint(PASSIVE)");
    done.map_err(|error| error.to_string())
}
