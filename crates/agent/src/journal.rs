//! Which routes run that the server has not been told the end of: on disk, so that
//! the next agent tells it when this one was killed. Its routes end with it.
//!
//! One empty file a route, in the place of one file that is rewritten: to make and
//! to remove a name is atomic, and costs the same however many routes there are.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::warn;

/// The routes of this agent, in a folder that it has for itself. One without a
/// folder notes nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record(Option<Arc<Folder>>);

#[derive(Debug)]
struct Folder {
    routes: PathBuf,
    #[expect(dead_code, reason = "it is locked until it is dropped")]
    lock: File,
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("another agent uses it")]
    InUse,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Record {
    /// Takes a folder, which is made if need be. Gives the routes that were noted
    /// there by an agent that has ended.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Vec<String>), RecordError> {
        let routes = folder.join("routes");
        fs::create_dir_all(&routes)?;
        let lock = File::create(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RecordError::InUse),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut noted = Vec::new();
        for entry in fs::read_dir(&routes)? {
            noted.extend(entry?.file_name().into_string());
        }
        noted.retain(|name| is_name(name));
        let folder = Folder { routes, lock };
        Ok((Self(Some(Arc::new(folder))), noted))
    }

    /// Notes a route, durably. Before its report, so that there is none of which
    /// the server alone knows.
    pub(crate) async fn add(&self, route_id: &str) {
        let routes = vec![route_id.to_owned()];
        self.change(routes, |folder, file| {
            File::create(file)?;
            File::open(folder)?.sync_all()
        })
        .await;
    }

    /// Forgets routes of whose end the server knows. If that is lost, it is told
    /// once more, in vain.
    pub(crate) async fn remove(&self, route_ids: Vec<String>) {
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        self.change(route_ids, move |_, file| match fs::remove_file(file) {
            Err(error) if !gone(&error) => Err(error),
            _ => Ok(()),
        })
        .await;
    }

    /// A failure is no reason to stop a route that serves.
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
            warn!(%error, "cannot note which routes run; if the agent is killed, some are not reported");
        }
    }
}

/// Whether it can be a file's name. Every UUID can.
fn is_name(route_id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=LONGEST).contains(&route_id.len()) && route_id.bytes().all(plain)
}

const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_noted_and_not_forgotten_is_there_for_the_next_agent() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (record, noted) = Record::open(folder.path()).expect("it can be used");
        assert!(noted.is_empty(), "{noted:?}");
        for route in ["a", "b", "b", "../c"] {
            record.add(route).await;
        }
        record.remove(vec!["b".into(), "unknown".into()]).await;
        let taken = Record::open(folder.path()).map(drop);
        assert!(matches!(taken, Err(RecordError::InUse)), "{taken:?}");

        drop(record);
        let (_, noted) = Record::open(folder.path()).expect("it is free again");
        assert_eq!(noted, ["a"]);
        assert!(!folder.path().join("c").exists());
    }

    #[tokio::test]
    async fn without_a_folder_nothing_is_noted() {
        let record = Record::default();
        record.add("a").await;
        record.remove(vec!["a".into()]).await;
    }
}
