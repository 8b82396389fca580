//! The tokio runtimes that commands run in.

use std::{io, time::Duration};

use tokio::runtime::{Builder, Runtime};

/// A runtime on the calling thread, for commands that make a few calls.
pub(crate) fn single_threaded() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// How long tasks that still run at the end of a command may take.
pub(crate) const TASK_SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);
