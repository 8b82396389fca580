//! Checkpointer of a SQLite database: what was committed goes from its log into the
//! file. They are done beside the writer, for whom everyone would wait otherwise.

use std::{
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread::{self, JoinHandle},
};

use diesel::{SqliteConnection, connection::SimpleConnection as _};
use tracing::debug;

use super::writer::ConnectWriter;

/// The thread that does them. Dropped, it has ended.
pub(super) struct Checkpointer {
    /// None only while it is being ended.
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Has them done on a connection of their own.
    pub(super) fn on(connect: ConnectWriter) -> Self {
        let (wake, woken) = sync_channel(1);
        let thread = thread::Builder::new().name("checkpoints".into());
        // Without a thread the writer does them.
        let thread = thread.spawn(move || run(&woken, &connect)).ok();
        Self {
            wake: Some(wake),
            thread,
        }
    }

    /// Has one done, if none is under way that does it as well.
    pub(super) fn wake(&self) {
        if let Some(wake) = &self.wake
            && let Err(TrySendError::Disconnected(())) = wake.try_send(())
        {
            debug!("the writer does the checkpoints");
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            // How it ended is of no interest any more.
            let _ = thread.join();
        }
    }
}

fn run(woken: &Receiver<()>, connect: &ConnectWriter) {
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
            // What it did not do is done by the next one, or by the writer.
            debug!(why, "no checkpoint");
            connection = None;
        }
    }
}

/// What readers or the writer still need is left to the next one.
fn checkpoint(connection: &mut SqliteConnection) -> Result<(), String> {
    let done = connection.batch_execute("PRAGMA wal_checkpoint(PASSIVE)");
    done.map_err(|error| error.to_string())
}
