//! The thread of a SQLite connection.

use std::{
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{Sender, channel},
    thread,
};

use diesel_async::sync_connection_wrapper::SpawnBlocking;
use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::oneshot;

/// Runs statements one after the other, in the order in which they were begun.
/// One whose caller has gone is finished before the next begins: a pool of
/// threads would not promise that.
pub(crate) struct Thread(Sender<Task>);

type Task = Box<dyn FnOnce() + Send>;

impl SpawnBlocking for Thread {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> BoxFuture<'a, Result<R, Box<dyn Error + Send + Sync>>>
    where
        R: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        // Without a thread the task is dropped, and with it the sender.
        let _ = self.0.send(Box::new(move || {
            // The caller may have gone.
            let _ = sender.send(task());
        }));
        async move { Ok(receiver.await?) }.boxed()
    }

    /// Ends when it is dropped and all that was begun is done.
    fn get_runtime() -> Self {
        let (sender, receiver) = channel::<Task>();
        let run = move || {
            for task in receiver {
                // A panic is the caller's to see, as a missing answer.
                let _ = catch_unwind(AssertUnwindSafe(task));
            }
        };
        // Without a thread nobody gets an answer.
        let _ = thread::Builder::new().name("sqlite".into()).spawn(run);
        Self(sender)
    }
}
