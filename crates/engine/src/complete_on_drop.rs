//! Work that is completed even if its caller goes away.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::runtime::Handle;

/// Runs work to its end: dropped before that, it continues in a task of its own.
pub(crate) fn complete_on_drop<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> CompleteOnDrop<T> {
    CompleteOnDrop(Some(work.boxed()))
}

/// Returned by [`complete_on_drop`].
pub(crate) struct CompleteOnDrop<T: Send + 'static>(Option<BoxFuture<'static, T>>);

impl<T: Send + 'static> Future for CompleteOnDrop<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Work that panics is dropped here, and is not polled again by `Drop`.
        let mut work = self.0.take().expect("it is not polled after its end");
        match work.poll_unpin(context) {
            Poll::Pending => {
                self.0 = Some(work);
                Poll::Pending
            }
            ready => ready,
        }
    }
}

impl<T: Send + 'static> Drop for CompleteOnDrop<T> {
    fn drop(&mut self) {
        // Without a runtime the process is ending.
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}
