//! What stands in files and may change while the server runs.
//!
//! The files are read again and again, which works wherever they lie and however
//! they are replaced. What is new counts once it was the same twice in a row, so
//! that a file that is just being written is let finish. What cannot be read or
//! understood is said in the log, once, and what was there before stays.

use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};
use tokio::{sync::watch, task, time::sleep};

/// The present value of something that stands in files.
#[derive(Debug)]
pub(crate) struct ReloadedValue<T>(watch::Receiver<Arc<T>>);

/// Follows files. Nothing is followed unless [`FileFollower::run`] is.
pub(crate) struct FileFollower<T, P> {
    files: Vec<PathBuf>,
    parse: P,
    settling: ChangeDebounce,
    current: watch::Sender<Arc<T>>,
}

/// What one look at the files found: what is in them, or why it cannot be had.
type FileContents = Result<Vec<Vec<u8>>, String>;

/// A digest, so that no key is kept longer than needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContentDigest([u8; 32]);

/// When a change counts.
#[derive(Debug)]
struct ChangeDebounce {
    /// What counts now, whether it was good or not.
    settled: ContentDigest,
    /// What was seen instead, once.
    new: Option<ContentDigest>,
}

impl<T> Clone for ReloadedValue<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> ReloadedValue<T> {
    pub(crate) fn now(&self) -> Arc<T> {
        Arc::clone(&self.0.borrow())
    }

    /// Resolves when there is another value than the last one that this was asked
    /// about.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody follows any more: the server ends.
            std::future::pending().await
        }
    }
}

/// Reads files, and follows them from then on.
///
/// # Errors
///
/// A sentence, when they cannot be read or understood now.
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
        settling: ChangeDebounce::at(ContentDigest::of(&Ok(contents))),
        current,
    };
    Ok((ReloadedValue(receiver), follower))
}

impl<T, P> FileFollower<T, P>
where
    P: Fn(&[Vec<u8>]) -> Result<T, String>,
{
    /// Follows the files for ever. `what` they hold is for the log.
    pub(crate) async fn run(mut self, what: &'static str) {
        loop {
            sleep(POLL_INTERVAL).await;
            let files = self.files.clone();
            let Ok(seen) = task::spawn_blocking(move || read(&files)).await else {
                continue;
            };
            if !self.settling.observe(ContentDigest::of(&seen)) {
                continue;
            }
            match seen.and_then(|contents| (self.parse)(&contents)) {
                Ok(value) => {
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

    /// Whether what is seen begins to count.
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
                    hasher.update(content.len().to_be_bytes());
                    hasher.update(content);
                }
            }
            Err(why) => hasher.update(why),
        }
        Self(hasher.finalize().into())
    }
}

/// What is in files, as far as all of them can be read.
pub(crate) fn read(files: &[PathBuf]) -> FileContents {
    let content = |file: &PathBuf| {
        read_file(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
    };
    files.iter().map(content).collect()
}

fn read_file(file: &PathBuf) -> io::Result<Vec<u8>> {
    if fs::metadata(file)?.len() > MAX_FILE_SIZE {
        return Err(io::Error::other("it is too large"));
    }
    fs::read(file)
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
        let mut settling = ChangeDebounce::at(seen("a"));
        assert!(!settling.observe(seen("a")));
        assert!(!settling.observe(seen("b")));
        assert!(settling.observe(seen("b")));
        assert!(!settling.observe(seen("b")), "and only then");
    }

    #[test]
    fn what_is_there_for_a_moment_does_not_count() {
        let mut settling = ChangeDebounce::at(seen("a"));
        for text in ["", "b", "", "bc", "a", "", "a", "b", "a"] {
            assert!(!settling.observe(seen(text)), "{text}");
        }
        assert!(!settling.observe(seen("b")));
        assert!(settling.observe(seen("b")));
    }

    #[test]
    fn what_cannot_be_read_settles_like_anything_else() {
        let away = || ContentDigest::of(&Err("away".to_owned()));
        let mut settling = ChangeDebounce::at(seen("a"));
        assert!(!settling.observe(away()));
        assert!(settling.observe(away()), "it is said once");
        assert!(!settling.observe(away()));
        assert!(!settling.observe(seen("a")));
        assert!(settling.observe(seen("a")), "it is back");
    }

    #[test]
    fn two_files_are_not_one() {
        let two = ContentDigest::of(&Ok(vec![b"a".to_vec(), b"b".to_vec()]));
        let other = ContentDigest::of(&Ok(vec![b"ab".to_vec(), Vec::new()]));
        assert_ne!(two, other);
    }
}
