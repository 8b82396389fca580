use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::give_to_owner;

/// A file system of a few megabytes, which the test fills and empties. Needs root, and a test
/// that cannot mount it fails.
pub(crate) struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    pub(crate) fn mount(megabytes: u32) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o"]);
        mount
            .arg(format!("size={megabytes}m,mode=755"))
            .arg("tmpfs");
        run(mount.arg(folder.path()));
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets PostgreSQL write to it.
    pub(crate) fn give_to_postgres(&self) {
        give_to_owner(self.path());
    }

    /// Takes all room that is left.
    pub(crate) fn fill(&self) {
        let mut filler = File::options()
            .create(true)
            .append(true)
            .open(self.filler())
            .expect("a file");
        // The last bytes one by one page, for what is left of a larger piece is not written.
        for piece in [1 << 20, 1 << 12, 1] {
            let piece = vec![0; piece];
            loop {
                match filler.write_all(&piece) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("it cannot be filled: {error}"),
                }
            }
        }
    }

    /// Gives all of it back.
    pub(crate) fn free(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a program may still be ending that has a file on it.
        run(Command::new("umount").arg("--lazy").arg(self.path()));
    }
}

fn run(command: &mut Command) {
    let status = command.status().expect("it can be started");
    assert!(status.success(), "{command:?}: {status}");
}
