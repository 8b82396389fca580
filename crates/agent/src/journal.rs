//! The journal: the routes that were started and whose end the server has not
//! acknowledged. It is on disk, so that after this agent was killed the next one
//! reports the ends. The routes themselves end with the agent.
//!
//! Each route is an empty file. Creating and removing a name is atomic and costs the
//! same for any number of routes, unlike rewriting one file.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::warn;

/// The running routes of this agent, in a folder of its own. Without a folder it
/// records nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct RouteJournal(Option<Arc<JournalFolder>>);

#[derive(Debug)]
struct JournalFolder {
    routes: PathBuf,
    #[expect(dead_code, reason = "the lock is released when it is dropped")]
    lock: File,
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("another agent uses it")]
    InUse,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl RouteJournal {
    /// Locks a folder, which is created if it is missing. Returns the routes that an
    /// earlier agent left in it.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Vec<String>), JournalError> {
        let routes = folder.join("routes");
        // Other users have no business with what runs here.
        let mut private = fs::DirBuilder::new();
        private.recursive(true).mode(0o700).create(&routes)?;
        let lock = File::create(folder.join("lock"))?;
        // Two agents on one journal would report each other's running routes as ended.
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut recorded = Vec::new();
        for entry in fs::read_dir(&routes)? {
            recorded.extend(entry?.file_name().into_string());
        }
        // What a person put into the folder is no route.
        recorded.retain(|name| is_name(name));
        let folder = JournalFolder { routes, lock };
        Ok((Self(Some(Arc::new(folder))), recorded))
    }

    /// Adds a route, durably. To be called before the route is reported: otherwise a
    /// crash in between leaves a route that only the server knows.
    pub(crate) async fn add(&self, route_id: &str) {
        let routes = vec![route_id.to_owned()];
        self.change(routes, |folder, file| {
            File::create(file)?;
            // A new name is durable only once its folder is.
            File::open(folder)?.sync_all()
        })
        .await;
    }

    /// Removes routes whose end the server has acknowledged. If a crash undoes this,
    /// the end is reported once more, which changes nothing.
    pub(crate) async fn remove(&self, route_ids: Vec<String>) {
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        self.change(route_ids, move |_, file| match fs::remove_file(file) {
            Err(error) if !gone(&error) => Err(error),
            _ => Ok(()),
        })
        .await;
    }

    /// Logs a failure instead of returning it: a route that serves must not stop for it.
    async fn change(
        &self,
        route_ids: Vec<String>,
        change: impl Fn(&Path, &Path) -> io::Result<()> + Send + 'static,
    ) {
        let Some(folder) = self.0.clone().filter(|_| !route_ids.is_empty()) else {
            return;
        };
        let changing = tokio::task::spawn_blocking(move || {
            let mut names = route_ids.iter().filter(|id| is_name(id));
            names.try_for_each(|name| change(&folder.routes, &folder.routes.join(name)))
        });
        if let Ok(Err(error)) = changing.await {
            warn!(%error, "cannot write the journal of running routes; after a crash of the agent the ends of some \
                 may not be reported");
        }
    }
}

/// Returns whether it can be the name of a file. Every UUID can.
fn is_name(route_id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=MAX_NAME_LEN).contains(&route_id.len()) && route_id.bytes().all(plain)
}

const MAX_NAME_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn routes_that_were_not_removed_are_there_for_the_next_agent() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (journal, recorded) = RouteJournal::open(folder.path()).expect("a journal");
        assert!(recorded.is_empty(), "{recorded:?}");
        for route in ["a", "b", "b", "../c"] {
            journal.add(route).await;
        }
        journal.remove(vec!["b".into(), "unknown".into()]).await;
        let taken = RouteJournal::open(folder.path()).map(drop);
        assert!(matches!(taken, Err(JournalError::InUse)), "{taken:?}");

        drop(journal);
        let (_, recorded) =
            RouteJournal::open(folder.path()).expect("a journal that is free again");
        assert_eq!(recorded, ["a"]);
        assert!(!folder.path().join("c").exists());
    }

    #[tokio::test]
    async fn without_a_folder_nothing_is_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (recording, _) = RouteJournal::open(folder.path()).expect("a journal");
        let routes = || {
            let entries = fs::read_dir(folder.path().join("routes"));
            entries.expect("a folder").count()
        };
        for (journal, written) in [(RouteJournal::default(), 0), (recording, 1)] {
            journal.add("a").await;
            assert_eq!(routes(), written);
            journal.remove(vec!["a".into()]).await;
            assert_eq!(routes(), 0);
        }
    }
}
