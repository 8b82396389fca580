//! A SQLite connection has a thread of its own.

use std::{
    cell::Cell,
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Sender, channel},
    },
    thread,
};

use diesel::{ConnectionError, SqliteConnection};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use futures::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::oneshot,
    task::block_in_place,
};

/// Runs statements one after the other, in the order in which they were begun. A statement
/// whose caller is gone ends before the next one begins, which a pool of threads would not
/// promise.
///
/// Within [`run_inline`] statements run on the caller's thread, if no other is under way.
pub struct SqliteThread {
    tasks: Sender<Task>,
    /// How many statements were begun and have not ended.
    unfinished: Arc<AtomicUsize>,
}

/// A connection with a thread of its own.
pub type SqliteConn = SyncConnectionWrapper<SqliteConnection, SqliteThread>;

/// Opens another connection to the same file.
pub(crate) type SqliteConnector =
    Arc<dyn Fn() -> Result<SqliteConnection, ConnectionError> + Send + Sync>;

/// Gives a connection a thread of its own.
pub(crate) fn with_thread(connection: SqliteConnection) -> SqliteConn {
    SqliteConn::with_runtime(connection, SqliteThread::get_runtime())
}

type Task = Box<dyn FnOnce() + Send>;

thread_local! {
    /// Whether this thread may block.
    static INLINE: Cell<bool> = const { Cell::new(false) };
}

/// Runs work with SQLite on this thread, and moves the thread's other tasks to another one.
/// That saves a change of threads for each statement. The work cannot be cancelled. On a
/// runtime of one thread it runs as usual, since its other tasks have nowhere to go.
pub(crate) async fn run_inline<T>(work: impl Future<Output = T>) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            INLINE.set(false);
        }
    }
    let runtime = Handle::current();
    if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return work.await;
    }
    block_in_place(|| {
        INLINE.set(true);
        // Also if the work panics: the thread is tokio's and continues with other tasks.
        let _leave = Leave;
        runtime.block_on(work)
    })
}

impl SpawnBlocking for SqliteThread {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> BoxFuture<'a, Result<R, Box<dyn Error + Send + Sync>>>
    where
        R: Send + 'static,
    {
        // A statement of a cancelled caller may still run on the connection's thread. Then this one
        // goes there too, so that it comes after it.
        if INLINE.get() && self.unfinished.load(Ordering::Acquire) == 0 {
            let done = catch_unwind(AssertUnwindSafe(task));
            return ready(done.map_err(|_| PANICKED.into())).boxed();
        }
        let (sender, receiver) = oneshot::channel();
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        let unfinished = Unfinished(Arc::clone(&self.unfinished));
        // Without a thread the task is dropped, and its sender with it.
        let _ = self.tasks.send(Box::new(move || {
            let done = task();
            // Before the answer: the caller's next statement should find that none is under way, or
            // it changes threads for nothing.
            drop(unfinished);
            // The caller may be gone.
            let _ = sender.send(done);
        }));
        async move { Ok(receiver.await?) }.boxed()
    }

    /// Starts the thread. It ends when it is dropped and all that was begun has ended.
    fn get_runtime() -> Self {
        let (sender, receiver) = channel::<Task>();
        let run = move || {
            for task in receiver {
                // The caller sees a panic as a missing answer.
                let _ = catch_unwind(AssertUnwindSafe(task));
            }
        };
        // Without a thread no caller gets an answer, and each returns an error.
        let _ = thread::Builder::new().name("sqlite".into()).spawn(run);
        Self {
            tasks: sender,
            unfinished: Arc::default(),
        }
    }
}

/// Counts one less when it is dropped, however the statement ends.
struct Unfinished(Arc<AtomicUsize>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Pairs with `Acquire`: a statement that runs inline sees all that this one did.
        self.0.fetch_sub(1, Ordering::Release);
    }
}

const PANICKED: &str = "a statement panicked";

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread::current};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_begun_here_runs_on_this_thread() {
        let mut of_it = SqliteThread::get_runtime();
        let elsewhere = of_it.spawn_blocking(|| current().id()).await;
        assert_ne!(elsewhere.expect("it runs"), current().id());
        let (ran_on, here_is) = run_inline(async {
            let ran_on = of_it.spawn_blocking(|| current().id()).await;
            (ran_on.expect("it runs"), current().id())
        })
        .await;
        assert_eq!(ran_on, here_is);
    }

    /// Its order is that in which it was begun, wherever it runs.
    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_overtakes_what_was_given_up() {
        let mut of_it = SqliteThread::get_runtime();
        let (sender, done) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let first = sender.clone();
        drop(of_it.spawn_blocking(move || {
            gone.recv().expect("it is told to go on");
            first.send(1).expect("someone listens");
        }));
        let second = run_inline(async {
            let second = of_it.spawn_blocking(move || sender.send(2).expect("someone listens"));
            go.send(()).expect("it waits");
            second.await
        });
        second.await.expect("it runs");
        assert_eq!(done.iter().collect::<Vec<_>>(), [1, 2]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_here_is_an_error_and_the_next_one_runs() {
        let mut of_it = SqliteThread::get_runtime();
        let both = run_inline(async {
            let panicked = of_it
                .spawn_blocking(|| std::panic::resume_unwind(Box::new("a test")))
                .await;
            (panicked, of_it.spawn_blocking(|| 7).await)
        });
        let (panicked, next) = both.await;
        assert_eq!(panicked.expect_err("it panicked").to_string(), PANICKED);
        assert_eq!(next.expect("it runs"), 7);
    }
}
