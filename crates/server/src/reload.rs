//! Values that are read from files, and read again when the files change.
//!
//! The files are polled, which works on any file system and however they are replaced. New
//! contents count once two polls in a row found the same, so that a file that is being
//! written is not read in the middle. Contents that cannot be read or parsed are logged
//! once, and the value before stays.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use nix::fcntl::OFlag;
use sha2::{Digest as _, Sha256};
use tokio::{sync::watch, task, time::sleep};

/// The current value of what is in the files.
#[derive(Debug)]
pub(crate) struct ReloadedValue<T>(watch::Receiver<Arc<T>>);

/// Polls the files while [`FileFollower::run`] runs.
pub(crate) struct FileFollower<T, P> {
    files: Vec<PathBuf>,
    parse: P,
    debounce: ChangeDebounce,
    current: watch::Sender<Arc<T>>,
}

/// The contents of the files, or why they cannot be read.
type FileContents = Result<Vec<Vec<u8>>, String>;

/// A digest and not the contents, so that no key stays in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContentDigest([u8; 32]);

/// Decides when a change counts.
#[derive(Debug)]
struct ChangeDebounce {
    /// The contents that count now, valid or not.
    settled: ContentDigest,
    /// Other contents that the last poll found.
    new: Option<ContentDigest>,
}

impl<T> Clone for ReloadedValue<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> ReloadedValue<T> {
    pub(crate) fn now(&self) -> Arc<T> {
        // The borrow is a read lock: to keep it across an await would block the follower.
        Arc::clone(&self.0.borrow())
    }

    /// Resolves when there is a newer value than at the last call.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The follower has ended, and with it the server does.
            std::future::pending().await
        }
    }
}

/// Reads files, and gives what polls them from then on.
///
/// # Errors
///
/// A sentence, when they cannot be read or parsed now.
pub(crate) fn load<T, P>(
    files: Vec<PathBuf>,
    parse: P,
) -> Result<(ReloadedValue<T>, FileFollower<T, P>), String>
where
    P: Fn(&[Vec<u8>]) -> Result<T, String>,
{
    let contents = read(&files)?;
    let value = parse(&contents)?;
    let (current, receiver) = watch::channel(Arc::new(value));
    let follower = FileFollower {
        files,
        parse,
        // Of the contents that were parsed: to read them again would miss a change in between.
        debounce: ChangeDebounce::at(ContentDigest::of(&Ok(contents))),
        current,
    };
    Ok((ReloadedValue(receiver), follower))
}

impl<T, P> FileFollower<T, P>
where
    P: Fn(&[Vec<u8>]) -> Result<T, String>,
{
    /// Polls the files for ever. The log calls their contents `what`.
    pub(crate) async fn run(mut self, what: &'static str) {
        loop {
            sleep(POLL_INTERVAL).await;
            let files = self.files.clone();
            // Not on this thread: a network file system may block.
            let Ok(seen) = task::spawn_blocking(move || read(&files)).await else {
                continue;
            };
            if !self.debounce.observe(ContentDigest::of(&seen)) {
                continue;
            }
            match seen.and_then(|contents| (self.parse)(&contents)) {
                Ok(value) => {
                    // Not `send`: that keeps the old value when there is no receiver.
                    self.current.send_replace(Arc::new(value));
                    tracing::info!(what, "changed files were read again");
                }
                Err(why) => {
                    tracing::error!(
                        what,
                        why,
                        "changed files are not valid: what was there counts"
                    );
                }
            }
        }
    }
}

impl ChangeDebounce {
    fn at(settled: ContentDigest) -> Self {
        Self { settled, new: None }
    }

    /// Whether these contents begin to count with this poll.
    fn observe(&mut self, seen: ContentDigest) -> bool {
        if seen == self.settled {
            self.new = None;
            return false;
        }
        if self.new != Some(seen) {
            self.new = Some(seen);
            return false;
        }
        *self = Self::at(seen);
        true
    }
}

impl ContentDigest {
    fn of(seen: &FileContents) -> Self {
        let mut hasher = Sha256::new();
        match seen {
            Ok(contents) => {
                for content in contents {
                    // With its length, or a byte that moves from one
                    // file to the next would be no change.
                    hasher.update(content.len().to_be_bytes());
                    hasher.update(content);
                }
            }
            // An error is a state of its own, so that it is logged once and not at each poll.
            Err(why) => hasher.update(why),
        }
        Self(hasher.finalize().into())
    }
}

/// The contents of all files, or why one cannot be read.
pub(crate) fn read(files: &[PathBuf]) -> FileContents {
    let content = |file: &PathBuf| {
        read_file(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
    };
    files.iter().map(content).collect()
}

fn read_file(file: &PathBuf) -> io::Result<Vec<u8>> {
    // To open a pipe waits until someone writes, and while this waits no token is revoked.
    let mut options = fs::File::options();
    let opened = options
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(file)?;
    // A device has a size of 0 and no end.
    if !opened.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut content = Vec::new();
    let limit = MAX_FILE_SIZE + 1;
    // The size is not asked for: a file may grow while it is read.
    opened.take(limit).read_to_end(&mut content)?;
    if content.len() as u64 == limit {
        return Err(io::Error::other("it is too large"));
    }
    Ok(content)
}

const POLL_INTERVAL: Duration = Duration::from_millis(500);
const MAX_FILE_SIZE: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> ContentDigest {
        ContentDigest::of(&Ok(vec![text.into()]))
    }

    #[test]
    fn a_change_counts_when_it_was_seen_twice_in_a_row() {
        let mut debounce = ChangeDebounce::at(seen("a"));
        assert!(!debounce.observe(seen("a")));
        assert!(!debounce.observe(seen("b")));
        assert!(debounce.observe(seen("b")));
        assert!(!debounce.observe(seen("b")), "and only then");
    }

    #[test]
    fn what_is_there_for_a_moment_does_not_count() {
        let mut debounce = ChangeDebounce::at(seen("a"));
        for text in ["", "b", "", "bc", "a", "", "a", "b", "a"] {
            assert!(!debounce.observe(seen(text)), "{text}");
        }
        assert!(!debounce.observe(seen("b")));
        assert!(debounce.observe(seen("b")));
    }

    #[test]
    fn what_cannot_be_read_settles_like_anything_else() {
        let away = || ContentDigest::of(&Err("away".to_owned()));
        let mut debounce = ChangeDebounce::at(seen("a"));
        assert!(!debounce.observe(away()));
        assert!(debounce.observe(away()), "it is said once");
        assert!(!debounce.observe(away()));
        assert!(!debounce.observe(seen("a")));
        assert!(debounce.observe(seen("a")), "it is back");
    }

    #[test]
    fn two_files_are_not_one() {
        let two = ContentDigest::of(&Ok(vec![b"a".to_vec(), b"b".to_vec()]));
        let other = ContentDigest::of(&Ok(vec![b"ab".to_vec(), Vec::new()]));
        assert_ne!(two, other);
    }
}
