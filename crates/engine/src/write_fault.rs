//! Why a database that answers cannot be written.

use thiserror::Error;

/// Why a database that answers cannot be written. It may pass, and nothing is written until
/// then. Displays as one sentence, without the paths of files.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WriteFault {
    /// SQLite's file is not the one that was opened. What is written would be lost.
    #[error("the database's file {0}")]
    FileMoved(FileChange),
}

/// What became of a file that is open. Displays as the end of a sentence about it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FileChange {
    /// Its name leads to no file.
    #[error("was removed or moved while the server had it open")]
    Removed,
    /// Its name leads to another file.
    #[error("was replaced by another one while the server had it open")]
    Replaced,
    /// It has a second name. A server that opens it by that writes another log beside it.
    #[error("has a second name, a hard link, by which another program may write it")]
    Linked,
    /// The log or the index beside it was removed or replaced: the last commits are in it.
    #[error("has lost the -wal or -shm file beside it while the server had it open")]
    Companion,
    /// The system does not say.
    #[error("cannot be looked at")]
    Hidden,
}
