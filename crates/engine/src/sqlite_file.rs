//! Which file a SQLite database is, and whether its name still leads to it.
//!
//! SQLite writes to the file that it has open, whatever becomes of its name. A file that was
//! deleted takes every commit, and all of them are lost when the process ends. A file with
//! two names has two logs, each of which lacks what is in the other one. So the server looks
//! before each transaction, and before it acknowledges one.

use std::{
    fs::{self, File, Metadata, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

use diesel::{
    ConnectionError, QueryableByName, RunQueryDsl as _, SqliteConnection, sql_query,
    sql_types::BigInt,
};

use crate::{
    error::OpenError,
    write_fault::{FileChange, WriteFault},
};

/// A file that no other server may open while this exists.
pub(crate) struct SqliteFile {
    path: PathBuf,
    uri: String,
    /// The `-wal` and `-shm` files, once they are there.
    companions: OnceLock<[Companion; 2]>,
    /// Keeps them: SQLite deletes them with the last connection, and makes others.
    keeper: Mutex<Option<SqliteConnection>>,
    /// The file itself, locked by whatever name it was opened. Not closed before SQLite's
    /// connections are: closing it drops their locks.
    file: File,
    lock: File,
}

struct Companion {
    path: PathBuf,
    identity: FileIdentity,
}

/// The same for two names of one file, and for no two files.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

impl SqliteFile {
    /// Claims a file, and creates it if there is none.
    pub(crate) fn create_or_claim(path: &Path) -> Result<Self, String> {
        Self::claim(path, create_private)
    }

    /// Claims a file that exists.
    fn claim_existing(path: &Path) -> Result<Self, String> {
        if !path.is_file() {
            return Err("there is no such file".to_owned());
        }
        Self::claim(path, |_| Ok(()))
    }

    fn claim(path: &Path, create: impl Fn(&Path) -> io::Result<()>) -> Result<Self, String> {
        let path = real_path(path)?;
        // First: a second server in this process must not open the file, since closing it again
        // would drop the locks of the first one's connections.
        let lock = lock_beside(&path)?;
        create(&path).map_err(|error| error.to_string())?;
        let file = open_to_write(&path).map_err(|error| error.to_string())?;
        // Before the second name is looked for: a server on it is the better reason.
        exclude_others(&file)?;
        let claimed = Self {
            uri: uri(&path, "rw")?,
            path,
            companions: OnceLock::new(),
            keeper: Mutex::new(None),
            file,
            lock,
        };
        match claimed.change() {
            None => {}
            Some(change @ FileChange::Linked) => {
                return Err(format!(
                    "it {change}; remove that, and copy the file instead (VACUUM INTO)"
                ));
            }
            Some(change) => return Err(format!("it {change}")),
        }
        Ok(claimed)
    }

    /// Returns the URI by which SQLite opens the file. It creates none.
    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// Looks at the `-wal` and `-shm` files, too, from now on. Takes a connection, which stays
    /// open as long as this exists.
    pub(crate) fn watch_companions(
        &self,
        mut connection: SqliteConnection,
    ) -> Result<(), ConnectionError> {
        // Both files are opened by the first read.
        let read = sql_query("SELECT COUNT(*) AS n FROM sqlite_schema");
        read.get_result::<Count>(&mut connection)
            .map_err(ConnectionError::CouldntSetupConfiguration)?;
        let found = ["-wal", "-shm"].map(|suffix| {
            let path = beside(&self.path, suffix);
            let identity = FileIdentity::of(&fs::metadata(&path).ok()?);
            Some(Companion { path, identity })
        });
        // A file system that cannot share memory has none: SQLite does without a WAL then.
        if let [Some(wal), Some(shm)] = found {
            let _ = self.companions.set([wal, shm]);
        }
        if let Ok(mut keeper) = self.keeper.lock() {
            *keeper = Some(connection);
        }
        Ok(())
    }

    /// Checks that the name leads to the file that is open, and that it has no other one.
    pub(crate) fn expect_unmoved(&self) -> Result<(), WriteFault> {
        self.change()
            .map_or(Ok(()), |change| Err(WriteFault::FileMoved(change)))
    }

    fn change(&self) -> Option<FileChange> {
        let Ok(open) = self.file.metadata() else {
            return Some(FileChange::Hidden);
        };
        let named = match fs::metadata(&self.path) {
            Ok(named) => named,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Some(FileChange::Removed);
            }
            Err(_) => return Some(FileChange::Hidden),
        };
        if FileIdentity::of(&named) != FileIdentity::of(&open) {
            return Some(FileChange::Replaced);
        }
        if open.nlink() > 1 {
            return Some(FileChange::Linked);
        }
        let companions = self.companions.get()?;
        let kept = companions.iter().all(|it| {
            fs::metadata(&it.path).is_ok_and(|found| FileIdentity::of(&found) == it.identity)
        });
        (!kept).then_some(FileChange::Companion)
    }

    /// Writes a file beside this one, and deletes it.
    pub(crate) fn expect_room(&self) -> io::Result<()> {
        let path = beside(&self.path, "-room");
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(OWNER_ONLY);
        let written = options.open(&path).and_then(|mut file| {
            file.write_all(&vec![0; ROOM])?;
            file.sync_data()
        });
        // Before anything else: it takes the room that SQLite needs.
        fs::remove_file(&path)?;
        written
    }

    /// Warns of a file that other users of the machine can read or write.
    pub(crate) fn warn_of_others(&self) {
        let Ok(metadata) = self.file.metadata() else {
            return;
        };
        let mode = metadata.permissions().mode();
        if mode & ANYBODY_ELSE != 0 {
            tracing::warn!(
                path = %self.path.display(),
                mode = format!("{:o}", mode & 0o777),
                "other users of this machine can read the database; chmod 600 it"
            );
        }
    }
}

/// Keeps servers away from a file as long as it exists.
pub struct FileClaim(Arc<SqliteFile>);

impl FileClaim {
    pub(crate) fn of(file: &Arc<SqliteFile>) -> Self {
        Self(Arc::clone(file))
    }
}

/// Another program that opens the file need not wait until the last statement has ended: the
/// handle stays open as long as connections do.
impl Drop for FileClaim {
    fn drop(&mut self) {
        for file in [&self.0.file, &self.0.lock] {
            // The system does it at the end of the process.
            let _ = file.unlock();
        }
    }
}

/// Keeps servers away from an existing file.
///
/// # Errors
///
/// When there is no such file, a server has it open, or it has a second name.
pub fn claim(path: &Path) -> Result<FileClaim, OpenError> {
    let claimed = SqliteFile::claim_existing(path).map_err(|why| OpenError::File {
        path: path.display().to_string(),
        why,
    });
    Ok(FileClaim(Arc::new(claimed?)))
}

/// Returns how many names a file has, hard links included. None if there is no such file.
pub fn count_names(path: &Path) -> Option<u64> {
    Some(fs::metadata(path).ok()?.nlink())
}

/// Returns a URI that opens a file in a mode of SQLite's, and creates none.
pub(crate) fn uri(path: &Path, mode: &str) -> Result<String, String> {
    let path = path.to_str().ok_or("its name is not UTF-8")?;
    let escaped = path
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    Ok(format!("file:{escaped}?mode={mode}"))
}

/// Returns the path without symbolic links: two servers must find the same lock beside it, and
/// its log is there. The file need not exist.
fn real_path(path: &Path) -> Result<PathBuf, String> {
    let mut path = path.to_owned();
    for _ in 0..MAX_SYMLINKS {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            return Err(format!("there is no folder {}", folder.display()));
        }
        if path.is_dir() {
            return Err("it is a folder".to_owned());
        }
        let name = path.file_name().ok_or("it has no name")?;
        let folder = folder.canonicalize().map_err(|error| error.to_string())?;
        let real = folder.join(name);
        match fs::read_link(&real) {
            // Also one that leads to a file that is not there yet.
            Ok(target) => path = folder.join(target),
            Err(_) => return Ok(real),
        }
    }
    Err("its symbolic links lead in a circle".to_owned())
}

/// Takes the lock that says that a server has this file open, of programs that do not lock the
/// file itself.
fn lock_beside(path: &Path) -> Result<File, String> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(OWNER_ONLY)
        .open(beside(path, "-lock"))
        .map_err(|error| error.to_string())?;
    exclude_others(&file)?;
    Ok(file)
}

/// Locks a file, by whatever name it was opened. The system releases the lock when the process
/// ends, so a killed server leaves none. It is no lock of SQLite's kind: `viridian check` and
/// backups read beside it.
fn exclude_others(file: &File) -> Result<(), String> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => "another server has it open".to_owned(),
        TryLockError::Error(error) => error.to_string(),
    })
}

/// Creates a file that is not there so that only its owner reads it: specs hold secrets.
/// SQLite gives the files beside it the mode of the file. One that is there keeps its mode,
/// which its owner may have chosen.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true).mode(OWNER_ONLY);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn open_to_write(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    #[expect(dead_code, reason = "only that it was read counts")]
    n: i64,
}

/// What a transaction of many calls may need at once.
const ROOM: usize = 1 << 20;

const OWNER_ONLY: u32 = 0o600;
const ANYBODY_ELSE: u32 = 0o077;

/// As many as Linux follows.
const MAX_SYMLINKS: usize = 40;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn e6_what_becomes_of_a_file_is_seen_and_also_that_it_is_back() {
        type Step = fn(&Path, &Path);
        let cases: [(Step, Step, FileChange); 4] = [
            (
                |path, other| fs::rename(path, other).expect("it is renamed"),
                |path, other| fs::rename(other, path).expect("it is renamed"),
                FileChange::Removed,
            ),
            (
                |path, other| {
                    fs::rename(path, other).expect("it is renamed");
                    fs::copy(other, path).expect("it is copied");
                },
                |path, other| fs::rename(other, path).expect("it is renamed"),
                FileChange::Replaced,
            ),
            (
                |path, other| fs::hard_link(path, other).expect("it is linked"),
                |_, other| fs::remove_file(other).expect("it is removed"),
                FileChange::Linked,
            ),
            (
                |path, other| {
                    fs::rename(path, other).expect("it is renamed");
                    symlink("nowhere", path).expect("it is linked");
                },
                |path, other| fs::rename(other, path).expect("it is renamed"),
                FileChange::Removed,
            ),
        ];
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.db");
        let other = folder.path().join("b.db");
        let file = SqliteFile::create_or_claim(&path).expect("it is claimed");
        for (happens, ends, change) in cases {
            assert_eq!(file.change(), None);
            happens(&path, &other);
            assert_eq!(file.change(), Some(change));
            ends(&path, &other);
        }
        assert_eq!(file.change(), None);
    }

    #[test]
    fn g16_a_path_leads_to_one_file_by_whatever_links() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let within = |name: &str| folder.path().join(name);
        let real = within("a.db").canonicalize().unwrap_or(within("a.db"));
        // Also before the file is there.
        symlink(&real, within("absolute")).expect("a link");
        symlink("absolute", within("chain")).expect("a link");
        symlink(folder.path(), within("folder")).expect("a link");
        let found = real_path(&real).expect("a path");
        for name in ["absolute", "chain", "folder/a.db", "folder/chain"] {
            assert_eq!(real_path(&within(name)).as_ref(), Ok(&found), "{name}");
        }
        symlink("circle", within("circle")).expect("a link");
        let why = real_path(&within("circle")).expect_err("it leads nowhere");
        assert!(why.contains("circle"), "{why}");
        let why = real_path(&within("missing/a.db")).expect_err("it is nowhere");
        assert!(why.contains("no folder"), "{why}");
    }

    #[test]
    fn g16_a_claim_is_of_the_file_by_whatever_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.db");
        let file = Arc::new(SqliteFile::create_or_claim(&path).expect("it is claimed"));
        let claim_of_it = FileClaim::of(&file);
        let taken = "another server has it open";
        let again = |path: &Path| SqliteFile::claim_existing(path).map(|_| ());
        assert_eq!(again(&path), Err(taken.to_owned()));
        // Nothing is left of the lock beside it.
        fs::remove_file(beside(&path, "-lock")).expect("it is there");
        assert_eq!(again(&path), Err(taken.to_owned()));
        drop(claim_of_it);
        assert_eq!(again(&path), Ok(()));
    }
}
