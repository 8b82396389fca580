//! The thread of a SQLite connection.

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

use diesel_async::sync_connection_wrapper::SpawnBlocking;
use futures::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::oneshot,
    task::block_in_place,
};

/// Runs statements one after the other, in the order in which they were begun.
/// One whose caller has gone is finished before the next begins: a pool of
/// threads would not promise that.
///
/// What is begun [`run_inline`] runs on the caller's thread, if nothing is before it.
pub(crate) struct SqliteThread {
    tasks: Sender<Task>,
    /// Those that were begun and are not finished.
    unfinished: Arc<AtomicUsize>,
}

type Task = Box<dyn FnOnce() + Send>;

thread_local! {
    /// Whether this thread may wait for the disk.
    static INLINE: Cell<bool> = const { Cell::new(false) };
}

/// Does work with SQLite on this thread, whose other tasks go on elsewhere: it need
/// not wait for another thread at each of its statements. Until it is done it cannot
/// be cancelled. A runtime of one thread has no elsewhere: there it is done as usual.
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
        if INLINE.get() && self.unfinished.load(Ordering::Acquire) == 0 {
            let done = catch_unwind(AssertUnwindSafe(task));
            return ready(done.map_err(|_| PANICKED.into())).boxed();
        }
        let (sender, receiver) = oneshot::channel();
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        let unfinished = Unfinished(Arc::clone(&self.unfinished));
        // Without a thread the task is dropped, and with it the sender.
        let _ = self.tasks.send(Box::new(move || {
            let done = task();
            drop(unfinished);
            // The caller may have gone.
            let _ = sender.send(done);
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
        Self {
            tasks: sender,
            unfinished: Arc::default(),
        }
    }
}

/// Counts one less when it is over, however it ends.
struct Unfinished(Arc<AtomicUsize>);

impl Drop for Unfinished {
    fn drop(&mut self) {
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
