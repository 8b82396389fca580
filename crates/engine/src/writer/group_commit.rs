//! The commit of a group, which happens even if the unit that began it is given up.

use std::sync::Arc;

use tokio::{runtime::Handle, sync::Mutex};

use super::WriterState;

/// The commit of a group. Dropped, it joins the queue.
pub(super) struct GroupCommit {
    /// None when it was done.
    pub(super) queue: Option<Arc<Mutex<WriterState>>>,
}

impl Drop for GroupCommit {
    fn drop(&mut self) {
        let Some(queue) = self.queue.take() else {
            return;
        };
        let commit = async move { queue.lock_owned().await.commit().await };
        #[cfg(feature = "testing")]
        let commit = crate::fail_points::inherited(commit);
        // Without a runtime the process is ending.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(commit);
        }
    }
}
