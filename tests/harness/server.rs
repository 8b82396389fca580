use std::{
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    process::{Child, ExitStatus},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{process::Command, sync::oneshot};

use super::{Api, Engine, TestDatabase, clock::clean_up_behind, eventually, viridian, within};

/// `viridian serve` as a process, on a database of its own. Killed when it is
/// dropped.
pub(crate) struct Server {
    address: SocketAddr,
    process: Child,
    log: Log,
    // Dropped, and so removed, after the process has ended. The first server on a
    // database has it.
    database: Option<TestDatabase>,
}

type Log = Arc<Mutex<Vec<String>>>;

impl Server {
    pub(crate) async fn start(engine: Engine) -> Self {
        Self::start_with(engine, &[]).await
    }

    /// A server with flags of its own.
    pub(crate) async fn start_with(engine: Engine, flags: &[&str]) -> Self {
        Self::start_by(engine, |command| {
            command.args(flags);
        })
        .await
    }

    /// A server whose command is changed before it is started.
    pub(crate) async fn start_by(engine: Engine, change: impl FnOnce(&mut Command)) -> Self {
        Self::on_with(TestDatabase::create(engine).await, change).await
    }

    /// Another server on the same database.
    pub(crate) async fn beside(&self) -> Self {
        Self::at(self.database().url(), |_| {}).await
    }

    /// The same with flags of its own.
    pub(crate) async fn beside_with(&self, flags: &[&str]) -> Self {
        Self::at(self.database().url(), |command| {
            command.args(flags);
        })
        .await
    }

    /// A server on a database that was there before.
    pub(crate) async fn on(database: TestDatabase) -> Self {
        Self::on_with(database, |_| {}).await
    }

    /// The same, whose command is changed before it is started.
    pub(crate) async fn on_with(database: TestDatabase, change: impl FnOnce(&mut Command)) -> Self {
        let mut server = Self::at(database.url(), change).await;
        server.database = Some(database);
        server
    }

    /// A server on a database that someone else has, by its URL.
    pub(crate) async fn at(database: &str, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = serve(database);
        change(&mut command);
        let mut process = command
            .into_std()
            .spawn()
            .expect("the program can be started");
        let log = Log::default();
        let stderr = process.stderr.take().expect("stderr is a pipe");
        let (told, address) = oneshot::channel();
        thread::spawn({
            let log = Arc::clone(&log);
            move || follow(stderr, &log, told)
        });
        let address = within("the server's address", address).await;
        let address = address.unwrap_or_else(|_| {
            let _ = process.wait();
            panic!("the server ended before it served:\n{}", text(&log))
        });
        Self {
            address,
            process,
            log,
            database: None,
        }
    }

    /// The database of a server that is over. One that is not is killed.
    pub(crate) fn killed(mut self) -> TestDatabase {
        self.database.take().expect("it is the first on it")
    }

    /// Kills it without warning, and starts another on the same database.
    pub(crate) async fn restart(self) -> Self {
        Self::on(self.killed()).await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn database(&self) -> &TestDatabase {
        self.database
            .as_ref()
            .expect("it has one until it is dropped")
    }

    pub(crate) async fn api(&self) -> Api {
        Api::connect(&self.url()).await
    }

    /// Where it tells what it measures, once it has logged it.
    pub(crate) fn metrics_url(&self) -> Option<String> {
        let log = lock(&self.log);
        let address = log
            .iter()
            .find_map(|line| address_in(line, "serving metrics"))?;
        Some(format!("http://{address}/metrics"))
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        text(&self.log)
    }

    /// Waits until the log has some words: what is written is read a moment later.
    pub(crate) async fn logs(&self, words: &str) {
        eventually(words, async || self.log().contains(words).then_some(())).await;
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).expect("a process id")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("the server is there");
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        eventually("the end of the server", async || {
            self.process.try_wait().expect("it is a child")
        })
        .await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        clean_up_behind(self.process.id());
        if thread::panicking() {
            report(&text(&self.log));
        }
    }
}

/// `viridian serve` on a port of the system's choice, which its log tells.
fn serve(database: &str) -> Command {
    let mut command = viridian(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    command
        .args(["--database", database])
        .stdout(std::process::Stdio::null());
    command
}

/// Reads the log to its end, and tells the address when it comes by.
fn follow(stderr: impl Read, log: &Log, told: oneshot::Sender<SocketAddr>) {
    let mut told = Some(told);
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let address = address_in(&line, "serving");
        lock(log).push(line);
        if let Some(address) = address
            && let Some(told) = told.take()
        {
            let _ = told.send(address);
        }
    }
}

/// The address in the log line that tells it with these words.
fn address_in(line: &str, words: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    if line["message"] != words {
        return None;
    }
    line["address"].as_str()?.parse().ok()
}

fn text(log: &Log) -> String {
    lock(log).join("\n")
}

fn lock(log: &Log) -> MutexGuard<'_, Vec<String>> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::print_stderr, reason = "shown with the failure of the test")]
fn report(log: &str) {
    eprintln!("the server's log:\n{log}");
}
