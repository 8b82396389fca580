//! The edges of the program: signals, modes of files, a log that nobody reads, and which
//! program answers.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::Stdio,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rstest::rstest;
use rstest_reuse::apply;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
};
use tonic::Code;
use viridian_proto::v1::{GetServerInfoRequest, system_service_client::SystemServiceClient};

use crate::{
    engines::both_engines,
    harness::{
        Api, Engine, Server, TestEnv, closed_port, eventually, finish, manual, root, tool,
        viridian, within,
    },
};

#[tokio::test]
async fn e7_what_the_server_makes_only_its_owner_reads() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let data = home.path().join("data");
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let mut command = viridian(&serve);
    command.env("HOME", home.path()).env("XDG_DATA_HOME", &data);
    let mut server = command.spawn().expect("it can be started");
    let folder = data.join("viridian");
    let names = [
        "viridian.db",
        "viridian.db-lock",
        "viridian.db-wal",
        "viridian.db-shm",
    ];
    eventually("the database", async || {
        names
            .iter()
            .all(|name| folder.join(name).exists())
            .then_some(())
    })
    .await;
    for folder in [&data, &folder] {
        assert_eq!(mode(folder), 0o700, "{folder:?}");
    }
    for name in names {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    server.kill().await.expect("it runs");
}

#[tokio::test]
async fn e7_a_mode_that_somebody_chose_stays_and_is_warned_of() {
    let mut server = Server::start(Engine::Sqlite).await;
    assert!(
        !server.log().contains("can read the database"),
        "{}",
        server.log()
    );
    let url = server.database().url().to_owned();
    let file = Path::new(url.strip_prefix("sqlite:").expect("a file")).to_owned();
    server.signal(Signal::SIGTERM);
    server.ended().await;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("its mode is set");
    let again = Server::at(&url, |_| {}).await;
    assert_eq!(mode(&file), 0o640);
    let log = again.log();
    assert!(
        log.contains("can read the database") && log.contains("640"),
        "{log}"
    );
}

#[tokio::test]
async fn e7_the_state_of_an_agent_is_its_owners() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let home = tempfile::tempdir().expect("a temporary folder");
    let state = home.path().join("state").join("agent");
    let mut command = viridian(&["agent", "--server", &env.server.url()]);
    command.env("VIRIDIAN_STATE_DIR", &state);
    let mut agent = command.spawn().expect("it can be started");
    eventually("its state", async || {
        state.join("lock").exists().then_some(())
    })
    .await;
    assert_eq!(mode(&state), 0o700);
    agent.kill().await.expect("it runs");
}

#[tokio::test]
async fn e11_a_server_under_nohup_outlives_its_terminal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite:{}", folder.path().join("v.db").display());
    let mut command = Command::new("nohup");
    command
        .arg(env!("CARGO_BIN_EXE_viridian"))
        .args(["serve", "--listen", "127.0.0.1:0", "--database", &url])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut server = command.spawn().expect("nohup is everywhere");
    eventually("the database", async || {
        folder.path().join("v.db-wal").exists().then_some(())
    })
    .await;
    signal(&server, Signal::SIGHUP);
    // Whatever it does about the first, the second comes after it.
    signal(&server, Signal::SIGTERM);
    let status = within("its end", server.wait()).await.expect("a status");
    assert_eq!(
        status.code(),
        Some(0),
        "in order, and by the second signal: {status:?}"
    );
}

#[tokio::test]
async fn e11_a_closed_terminal_ends_an_agent_in_order() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let state = tempfile::tempdir().expect("a temporary folder");
    let mut command = viridian(&["agent", "--server", &env.server.url()]);
    command.env("VIRIDIAN_STATE_DIR", state.path());
    let mut agent = command.spawn().expect("it can be started");
    eventually("its journal", async || {
        state.path().join("lock").exists().then_some(())
    })
    .await;
    signal(&agent, Signal::SIGHUP);
    let status = within("its end", agent.wait()).await.expect("a status");
    assert_eq!(status.code(), Some(0), "{status:?}");
}

#[tokio::test]
async fn e9_a_log_that_nobody_reads_stops_neither_calls_nor_the_end() {
    let mut case = UnreadLog::start().await;
    case.call_until_the_pipe_is_full().await;
    signal(&case.server, Signal::SIGTERM);
    let status = within("its end", case.server.wait())
        .await
        .expect("a status");
    assert_eq!(status.code(), Some(0), "{status:?}");
    let mut left = Vec::new();
    let mut stderr = case.server.stderr.take().expect("a pipe");
    stderr.read_to_end(&mut left).await.expect("it can be read");
    assert!(left.len() > 32_000, "the pipe was full: {}", left.len());
}

#[tokio::test]
async fn e9_what_was_dropped_is_counted_once_the_log_is_read_again() {
    let mut case = UnreadLog::start().await;
    case.call_until_the_pipe_is_full().await;
    let stderr = case.server.stderr.take().expect("a pipe");
    let mut lines = BufReader::new(stderr).lines();
    let line = within("the line about it", async {
        while let Some(line) = lines.next_line().await.expect("UTF-8") {
            if line.contains("log lines were dropped") {
                return line;
            }
        }
        panic!("it ended");
    });
    let line = line.await;
    assert!(line.contains("dropped="), "{line}");
    // Read on: at this level the reply below is many lines, too.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let mut curl = Command::new(tool("curl"));
    curl.args(["-s", &format!("http://{}/metrics", case.metrics)]);
    let metrics = finish(curl).await.stdout;
    let count = metrics
        .lines()
        .find_map(|line| line.strip_prefix("viridian_log_lines_dropped_total "))
        .and_then(|count| count.parse::<u64>().ok());
    assert!(count.is_some_and(|count| count > 0), "{metrics}");
}

/// A server that logs at the level trace into a pipe that nobody reads.
struct UnreadLog {
    server: Child,
    api: Api,
    metrics: SocketAddr,
    _folder: TempDir,
}

impl UnreadLog {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite:{}", folder.path().join("v.db").display());
        let (address, metrics) = (closed_port(), closed_port());
        let mut command = viridian(&["serve", "--database", &url]);
        command
            .args(["--listen", &address.to_string()])
            .args(["--metrics-listen", &metrics.to_string()])
            .env("VIRIDIAN_LOG", "trace");
        let server = command.spawn().expect("it can be started");
        let url = format!("http://{address}");
        let api = eventually("the server", async || Api::try_connect(&url).await.ok()).await;
        Self {
            server,
            api,
            metrics,
            _folder: folder,
        }
    }

    /// Each call is some KiB of log, the pipe takes 64, and a MiB may wait for it.
    async fn call_until_the_pipe_is_full(&self) {
        for _ in 0..2_000 {
            let refusal = self.api.find("shop/nope").await;
            assert_eq!(refusal.expect_err("there is none").code(), Code::NotFound);
        }
    }
}

#[apply(both_engines)]
#[tokio::test]
async fn d11_a_server_says_which_program_it_is(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(1, manual()).await;
    let channel = tonic::transport::Endpoint::from_shared(env.server.url())
        .expect("a URL")
        .connect_lazy();
    let mut client = SystemServiceClient::new(channel);
    let info = client.get_server_info(GetServerInfoRequest {}).await;
    let info = info.expect("it answers").into_inner();
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    let newest = fs::read_dir(root().join("migrations/sqlite"))
        .expect("the migrations")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .max()
        .expect("there are some");
    let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
    let stamp = newest.split('_').next().expect("a stamp");
    assert_eq!(digits(&info.schema), digits(stamp));
    assert!(info.time.is_some(), "the database answers");

    let run = finish(viridian(&["version", "--server", &env.server.url()])).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let lines: Vec<_> = run.stdout.lines().collect();
    assert!(lines[0].starts_with("program  0."), "{run:?}");
    assert!(lines[1].starts_with("server   0."), "{run:?}");
    assert!(lines[1].contains(&info.schema), "{run:?}");
    let alone = finish(viridian(&["version"])).await;
    assert_eq!(alone.stdout.lines().count(), 1, "{alone:?}");
}

#[tokio::test]
async fn d11_a_metric_says_which_program_runs() {
    let server = Server::start_with(Engine::Sqlite, &["--metrics-listen", "127.0.0.1:0"]).await;
    let metrics = server.metrics().await;
    let version = env!("CARGO_PKG_VERSION");
    let line = metrics
        .text()
        .lines()
        .find(|line| line.starts_with("viridian_build_info{"));
    let line = line.expect("it is there").to_owned();
    assert!(line.contains(&format!(r#"version="{version}""#)), "{line}");
    assert!(
        line.contains(r#"commit=""#) && line.contains(r#"schema="20"#),
        "{line}"
    );
    assert!(line.ends_with(" 1"), "{line}");
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("it is there").mode() & 0o777
}

fn signal(process: &Child, signal: Signal) {
    let id = process.id().and_then(|id| i32::try_from(id).ok());
    kill(Pid::from_raw(id.expect("it runs")), signal).expect("it can be sent");
}
