//! Why a database that answers cannot be written.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use thiserror::Error;

/// Why a database that answers cannot be written. It may pass, and nothing is written until
/// then. Displays as one sentence, without the paths of files.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WriteFault {
    /// SQLite's file is not the one that was opened. What is written would be lost.
    #[error("the database's file {0}")]
    FileMoved(FileChange),
    /// There is no room for what is to be written, or a quota allows no more.
    #[error("the database's disk is full")]
    StorageFull,
    /// It takes no writes: a standby, a database that was made read-only, or a file system.
    #[error("the database takes no writes: it is a standby, or read-only")]
    ReadOnly,
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

impl WriteFault {
    /// Returns the fault that an error is about.
    pub(crate) fn of(error: &DieselError) -> Option<Self> {
        match error {
            DieselError::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _) => {
                Some(Self::ReadOnly)
            }
            DieselError::DatabaseError(_, info) => Self::of_message(info.message()),
            _ => None,
        }
    }

    /// The same by the text of a driver, which passes no code on.
    pub(crate) fn of_message(message: &str) -> Option<Self> {
        const FULL: [&str; 4] = [
            // SQLite's, and those that PostgreSQL quotes from the system.
            "database or disk is full",
            "No space left on device",
            "Disk quota exceeded",
            "disk full",
        ];
        if FULL.iter().any(|words| message.contains(words)) {
            Some(Self::StorageFull)
        } else if READ_ONLY.iter().any(|words| message.contains(words)) {
            Some(Self::ReadOnly)
        } else {
            None
        }
    }
}

/// The last fault that was met, until a probe finds that it is over.
#[derive(Clone, Default)]
pub(crate) struct LastWriteFault(Arc<LastWriteFaultInner>);

#[derive(Default)]
struct LastWriteFaultInner {
    /// So that the lock is not taken while all is well.
    any: AtomicBool,
    fault: Mutex<Option<WriteFault>>,
}

impl LastWriteFault {
    pub(crate) fn get(&self) -> Option<WriteFault> {
        if !self.0.any.load(Ordering::Acquire) {
            return None;
        }
        let fault = self.0.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.clone()
    }

    pub(crate) fn set(&self, fault: Option<WriteFault>) {
        let any = fault.is_some();
        *self.0.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        self.0.any.store(any, Ordering::Release);
    }
}

const READ_ONLY: [&str; 2] = [
    // tokio-postgres, of a server that is not the one that takes writes.
    "database does not allow writes",
    // SQLite.
    "attempt to write a readonly database",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_known_by_what_the_database_says() {
        for (message, fault) in [
            ("database or disk is full", Some(WriteFault::StorageFull)),
            (
                "could not extend file \"base/5/16399\": No space left on device",
                Some(WriteFault::StorageFull),
            ),
            (
                "could not extend file \"pg_tblspc/1/PG_15/5/1\": Disk quota exceeded",
                Some(WriteFault::StorageFull),
            ),
            ("database does not allow writes", Some(WriteFault::ReadOnly)),
            ("database is locked", None),
            ("disk I/O error", None),
        ] {
            assert_eq!(WriteFault::of_message(message), fault, "{message}");
        }
        let why = Box::new("cannot execute INSERT in a read-only transaction".to_owned());
        let error = DieselError::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, why);
        assert_eq!(WriteFault::of(&error), Some(WriteFault::ReadOnly));
    }

    #[test]
    fn the_last_fault_stays_until_it_is_over() {
        let last = LastWriteFault::default();
        assert_eq!(last.get(), None);
        last.set(Some(WriteFault::ReadOnly));
        last.clone().set(Some(WriteFault::StorageFull));
        assert_eq!(last.get(), Some(WriteFault::StorageFull));
        last.set(None);
        assert_eq!(last.get(), None);
    }
}
