//! The file of a SQLite database, under a server that has it open: removed, moved, replaced, and
//! by other names.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use rstest::rstest;
use tempfile::TempDir;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};

use crate::{
    harness::{
        CallerLoad, Engine, Server, TestDatabase, eventually, finish, named, refused, viridian,
    },
    health::until_ready_is,
};

/// What happens to the file.
#[derive(Clone, Copy, Debug)]
enum Accident {
    /// `rm viridian.db*`
    AllRemoved,
    /// `rm viridian.db`
    Removed,
    /// `mv other.db viridian.db`
    Replaced,
    /// `rm viridian.db-wal`: the last commits are in it.
    LogRemoved,
    /// `rm viridian.db-shm`: others would make another one, and lock nothing in common.
    IndexRemoved,
    /// `mv folder elsewhere`
    FolderMoved,
    /// `ln viridian.db other.db`
    Linked,
}

impl Accident {
    fn happens_to(self, path: &Path) {
        let other = path.with_file_name("other.db");
        match self {
            Self::AllRemoved => {
                for suffix in ["", "-wal", "-shm", "-lock"] {
                    fs::remove_file(beside(path, suffix)).expect("it is there");
                }
            }
            Self::Removed => fs::remove_file(path).expect("it is there"),
            Self::Replaced => {
                fs::copy(path, &other).expect("it is copied");
                fs::rename(other, path).expect("it is renamed");
            }
            Self::LogRemoved => fs::remove_file(beside(path, "-wal")).expect("it is there"),
            Self::IndexRemoved => fs::remove_file(beside(path, "-shm")).expect("it is there"),
            Self::FolderMoved => fs::rename(folder(path), elsewhere(path)).expect("it is renamed"),
            Self::Linked => fs::hard_link(path, other).expect("it is linked"),
        }
    }

    /// Puts right what can be put right.
    fn is_mended(self, path: &Path) -> bool {
        match self {
            Self::FolderMoved => fs::rename(elsewhere(path), folder(path)).expect("it is renamed"),
            Self::Linked => {
                fs::remove_file(path.with_file_name("other.db")).expect("it is removed");
            }
            _ => return false,
        }
        true
    }
}

#[rstest]
#[case::all_removed(Accident::AllRemoved)]
#[case::removed(Accident::Removed)]
#[case::replaced(Accident::Replaced)]
#[case::log_removed(Accident::LogRemoved)]
#[case::index_removed(Accident::IndexRemoved)]
#[case::folder_moved(Accident::FolderMoved)]
#[case::linked(Accident::Linked)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e6_nothing_is_acknowledged_that_would_be_lost(#[case] accident: Accident) {
    let outer = tempfile::tempdir().expect("a temporary folder");
    let path = outer.path().join("data/viridian.db");
    fs::create_dir(folder(&path)).expect("a folder");
    let mut server = Server::at(&format!("sqlite:{}", path.display()), |_| {}).await;
    let api = server.api().await;
    let load = CallerLoad::start(&api, 4);
    eventually("some deployments", async || {
        (load.answered() >= 20).then_some(())
    })
    .await;
    accident.happens_to(&path);
    // Those that were under way may still have been in time. No one that begins now is.
    for _ in 0..20 {
        let refusal = api.create(named()).await.expect_err("it would be lost");
        let details = refused(&refusal, Code::Unavailable, "DATABASE_FILE_MOVED");
        assert!(details.retry_info().is_some(), "{refusal:?}");
        assert!(refusal.message().contains("file"), "{refusal:?}");
        assert!(!refusal.message().contains("viridian.db"), "{refusal:?}");
    }
    let acknowledged = load.stop().await;
    until_ready_is(&api, NotServing).await;
    server.logs("not ready").await;

    if !accident.is_mended(&path) {
        server.signal(nix::sys::signal::Signal::SIGTERM);
        assert_eq!(server.ended().await.code(), Some(0));
        return;
    }
    until_ready_is(&api, Serving).await;
    api.create(named()).await.expect("it is created");
    let server = restarted(server, &path).await;
    let api = server.api().await;
    for id in acknowledged {
        api.get(&id).await;
    }
}

/// How a second server is led to the file.
#[derive(Clone, Copy, Debug)]
enum OtherName {
    Symlink,
    SymlinkedFolder,
    SymlinkOfSymlink,
    RelativeSymlink,
    HardLink,
    /// `mount --bind`, as a container gets it: the link count is 1.
    BindMount,
    /// The same name, but the lock beside it is gone.
    LockRemoved,
}

#[rstest]
#[case::symlink(OtherName::Symlink)]
#[case::symlinked_folder(OtherName::SymlinkedFolder)]
#[case::symlink_of_symlink(OtherName::SymlinkOfSymlink)]
#[case::relative_symlink(OtherName::RelativeSymlink)]
#[case::hard_link(OtherName::HardLink)]
#[case::bind_mount(OtherName::BindMount)]
#[case::lock_removed(OtherName::LockRemoved)]
#[tokio::test]
async fn g16_a_file_has_one_server_by_whatever_name(#[case] name: OtherName) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("viridian.db");
    let server = Server::at(&format!("sqlite:{}", path.display()), |_| {}).await;
    let other = OtherPath::make(name, &folder, &path);
    refuses(&other.path, "another server has it open").await;
    drop(other);
    let api = server.api().await;
    // A hard link is gone by now.
    eventually("a deployment", async || api.create(named()).await.ok()).await;
}

#[rstest]
#[case::symlink(OtherName::Symlink)]
#[case::symlinked_folder(OtherName::SymlinkedFolder)]
#[tokio::test]
async fn g16_a_symbolic_link_names_the_file_itself(#[case] name: OtherName) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("viridian.db");
    // The first one is led to a file that is not there yet.
    let other = OtherPath::make(name, &folder, &path);
    let server = Server::at(&format!("sqlite:{}", other.path.display()), |_| {}).await;
    let created = server.api().await.create(named()).await;
    created.expect("it is created");
    assert!(beside(&path, "-wal").is_file(), "beside the file itself");
    refuses(&path, "another server has it open").await;
}

/// Its log is beside the name by which it was opened: what a killed server wrote is in the log
/// beside the other one.
#[tokio::test]
async fn g16_a_file_with_two_names_is_refused() {
    let database = TestDatabase::create(Engine::Sqlite).await;
    let path = PathBuf::from(database.url().trim_start_matches("sqlite:"));
    let server = Server::on(database).await;
    let created = server.api().await.create(named()).await;
    let id = created.expect("it is created").id;
    let database = server.killed();
    let other = path.with_file_name("other.db");
    fs::hard_link(&path, &other).expect("it is linked");
    for path in [&path, &other] {
        refuses(path, "a hard link").await;
        let url = format!("sqlite:{}", path.display());
        let found = finish(viridian(&["doctor", "--database", &url])).await;
        assert_eq!(found.code, Some(1), "{found:?}");
        assert!(found.stdout.contains("a hard link"), "{found:?}");
    }
    fs::remove_file(other).expect("it is removed");
    let server = Server::on(database).await;
    server.api().await.get(&id).await;
}

async fn refuses(path: &Path, why: &str) {
    let url = format!("sqlite:{}", path.display());
    let run = finish(viridian(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--database",
        &url,
    ]))
    .await;
    assert_eq!(run.code, Some(100), "{run:?}");
    let error = run.stderr.lines().last().expect("a line");
    assert!(
        error.starts_with("error: ") && error.contains(why),
        "{run:?}"
    );
}

/// Another name of a file, which is gone when it is dropped.
struct OtherPath {
    path: PathBuf,
    mounted: bool,
}

impl OtherPath {
    fn make(name: OtherName, folder: &TempDir, path: &Path) -> Self {
        let other = folder.path().join("other.db");
        let mut mounted = false;
        let path = match name {
            OtherName::Symlink => {
                symlink(path, &other).expect("a link");
                other
            }
            OtherName::RelativeSymlink => {
                symlink("viridian.db", &other).expect("a link");
                other
            }
            OtherName::SymlinkOfSymlink => {
                let second = folder.path().join("second.db");
                symlink(path, &second).expect("a link");
                symlink(second, &other).expect("a link");
                other
            }
            OtherName::SymlinkedFolder => {
                let linked = folder.path().join("linked");
                symlink(folder.path(), &linked).expect("a link");
                linked.join("viridian.db")
            }
            OtherName::HardLink => {
                fs::hard_link(path, &other).expect("a link");
                other
            }
            OtherName::BindMount => {
                fs::write(&other, "").expect("a file");
                run(Command::new("mount").arg("--bind").arg(path).arg(&other));
                mounted = true;
                other
            }
            OtherName::LockRemoved => {
                fs::remove_file(beside(path, "-lock")).expect("it is there");
                path.to_owned()
            }
        };
        Self { path, mounted }
    }
}

impl Drop for OtherPath {
    fn drop(&mut self) {
        if self.mounted {
            run(Command::new("umount").arg(&self.path));
        }
        if self.path.file_name().is_some_and(|name| name == "other.db") {
            fs::remove_file(&self.path).expect("it is removed");
        }
    }
}

async fn restarted(server: Server, path: &Path) -> Server {
    drop(server);
    Server::at(&format!("sqlite:{}", path.display()), |_| {}).await
}

fn folder(path: &Path) -> &Path {
    path.parent().expect("it has a folder")
}

fn elsewhere(path: &Path) -> PathBuf {
    folder(path).with_file_name("elsewhere")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn run(command: &mut Command) {
    let status = command.status().expect("it can be started");
    assert!(status.success(), "{command:?}: {status}");
}
