use std::{
    fs::{self, File},
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::RngExt as _;
use tempfile::TempDir;
use tokio_postgres::NoTls;
use uuid::Uuid;

use super::{Host, eventually, tools::postgres_programs};

/// A PostgreSQL server of a test's own, which it may stop and start. It keeps what
/// it says it has, and ends with the test.
pub(crate) struct Cluster {
    programs: PathBuf,
    folder: TempDir,
    password: String,
    address: String,
    port: u16,
    /// The file of a network namespace, unless it is this thread's.
    namespace: Option<String>,
    process: Child,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let programs = postgres_programs();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let password = Uuid::new_v4().simple().to_string();
        create(&programs, folder.path(), &password);
        Self::of(programs, folder, password, None).await
    }

    /// A server on a host of a test's network, where other hosts reach it.
    pub(crate) async fn start_on(host: &Host) -> Self {
        let programs = postgres_programs();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let password = Uuid::new_v4().simple().to_string();
        create(&programs, folder.path(), &password);
        let address = host.address();
        configure(folder.path(), &format!("listen_addresses = '{address}'\n"));
        let access = File::options()
            .append(true)
            .open(folder.path().join("data/pg_hba.conf"));
        let written = access
            .expect("a file")
            .write_all(b"host all all 10.0.0.0/8 password\n");
        written.expect("it can be written");
        Self::of(programs, folder, password, Some(host)).await
    }

    /// A standby that streams from this server, which commits nothing from now on that the
    /// standby does not have.
    pub(crate) async fn synchronous_standby(&self) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        File::create(folder.path().join("log")).expect("a file");
        give_to_owner(folder.path());
        let data = folder.path().join("data");
        let mut copy = as_owner(&self.programs.join("pg_basebackup"));
        copy.args(["--checkpoint=fast", "--no-sync", "--dbname"]);
        copy.arg(self.url()).arg("--pgdata").arg(&data);
        succeed(copy.current_dir(folder.path()));
        let (password, port) = (&self.password, self.port);
        configure(
            folder.path(),
            &format!(
                "primary_conninfo = 'host=127.0.0.1 port={port} user=postgres \
                 password={password} application_name=standby'\n"
            ),
        );
        mark_as_standby(folder.path());
        let standby = Self::of(self.programs.clone(), folder, password.clone(), None).await;
        self.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
            .await;
        self.execute("SELECT pg_reload_conf()").await;
        eventually("the standby", async || {
            let count = "SELECT COUNT(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
            (self.number(count).await == 1).then_some(())
        })
        .await;
        standby
    }

    /// Makes a standby of it when it is started again.
    pub(crate) fn demote(&self) {
        mark_as_standby(self.folder.path());
    }

    /// Makes a primary of a standby. Returns once it takes writes.
    pub(crate) async fn promote(&self) {
        self.execute("SELECT pg_promote()").await;
    }

    /// Kills all of its processes. None of them answers anybody after the first is gone.
    pub(crate) async fn kill(&mut self) {
        self.freeze();
        self.signal_children(Signal::SIGKILL);
        self.signal(Signal::SIGKILL);
        eventually("the end of PostgreSQL", async || {
            self.process.try_wait().expect("it is a child")
        })
        .await;
    }

    /// Runs statements as the superuser.
    pub(crate) async fn execute(&self, statements: &str) {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls)
            .await
            .expect("it answers");
        tokio::spawn(connection);
        client.batch_execute(statements).await.expect(statements);
    }

    /// The number that a query gives.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls)
            .await
            .expect("it answers");
        tokio::spawn(connection);
        client.query_one(query, &[]).await.expect(query).get(0)
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// Where it listens.
    pub(crate) fn host(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }

    async fn of(programs: PathBuf, folder: TempDir, password: String, host: Option<&Host>) -> Self {
        let port = free_port();
        let namespace = host.map(Host::namespace);
        let process = spawn(&programs, folder.path(), port, namespace.as_deref());
        let address = host.map_or("127.0.0.1", Host::address).to_owned();
        let mut cluster = Self {
            programs,
            folder,
            password,
            address,
            port,
            namespace,
            process,
        };
        cluster.ready().await;
        cluster
    }

    /// The superuser's URL.
    pub(crate) fn url(&self) -> String {
        let (password, host) = (&self.password, self.host());
        format!("postgres://postgres:{password}@{host}/postgres")
    }

    /// As `pg_ctl stop -m immediate`: no session is asked, and nothing is put in
    /// order.
    pub(crate) async fn stop_at_once(&mut self) {
        self.signal(Signal::SIGQUIT);
        eventually("the end of PostgreSQL", async || {
            self.process.try_wait().expect("it is a child")
        })
        .await;
    }

    /// Starts it again, where it was. Gives back when it takes connections.
    pub(crate) async fn start_again(&mut self) {
        let namespace = self.namespace.as_deref();
        self.process = spawn(&self.programs, self.folder.path(), self.port, namespace);
        self.ready().await;
    }

    /// Has all of it stand still: what is sent to it is taken, and not answered.
    pub(crate) fn freeze(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    /// The first process before those that it starts.
    fn signal_all(&self, signal: Signal) {
        self.signal(signal);
        self.signal_children(signal);
    }

    fn signal_children(&self, signal: Signal) {
        let pid = self.process.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            let child = child.parse().expect("a process id");
            // It may have ended.
            let _ = kill(Pid::from_raw(child), signal);
        }
    }

    async fn ready(&mut self) {
        eventually("PostgreSQL", async || {
            if let Some(status) = self.process.try_wait().expect("it is a child") {
                let log = fs::read_to_string(self.folder.path().join("log"));
                panic!("it ended: {status}\n{}", log.unwrap_or_default());
            }
            // Of the one before it there may be something left.
            let file = fs::read_to_string(self.folder.path().join("data/postmaster.pid")).ok()?;
            let lines: Vec<&str> = file.lines().map(str::trim).collect();
            let is_its_own = lines.first() == Some(&self.process.id().to_string().as_str());
            (is_its_own && lines.last() == Some(&"ready")).then_some(())
        })
        .await;
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("it is there");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            // What stands still would not end.
            self.thaw();
            self.signal(Signal::SIGQUIT);
            let _ = self.process.wait();
        }
    }
}

fn create(programs: &Path, folder: &Path, password: &str) {
    fs::write(folder.join("password"), password).expect("a file");
    File::create(folder.join("log")).expect("a file");
    give_to_owner(folder);
    let mut initdb = as_owner(&programs.join("initdb"));
    initdb
        .arg("--pgdata")
        .arg(folder.join("data"))
        .args(["--username=postgres", "--auth=password", "--encoding=UTF8"])
        .args(["--no-locale", "--no-sync", "--pwfile"])
        .arg(folder.join("password"))
        .current_dir(folder);
    succeed(&mut initdb);
    let config = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\n\
                  max_connections = 300\nfsync = on\nsynchronous_commit = on\n\
                  full_page_writes = on\n";
    configure(folder, config);
}

fn configure(folder: &Path, settings: &str) {
    let file = File::options()
        .append(true)
        .open(folder.join("data/postgresql.conf"));
    let written = file.expect("a file").write_all(settings.as_bytes());
    written.expect("it can be written");
}

/// It begins as a standby, also one that was a primary.
fn mark_as_standby(folder: &Path) {
    let mut touch = as_owner(Path::new("touch"));
    succeed(touch.arg(folder.join("data/standby.signal")));
}

/// PostgreSQL runs as another user when the tests are root's.
pub(crate) fn give_to_owner(folder: &Path) {
    if is_root() {
        let mut chown = Command::new("chown");
        succeed(chown.args(["-R", "postgres:"]).arg(folder));
    }
}

/// It ends when this thread does, should nobody stop it before.
fn spawn(programs: &Path, folder: &Path, port: u16, namespace: Option<&str>) -> Child {
    let log = || File::options().append(true).open(folder.join("log"));
    let mut command = as_owner(Path::new("setpriv"));
    if let Some(namespace) = namespace {
        // Before it is another user's, who may not enter it.
        let mut outer = Command::new("nsenter");
        outer.arg(format!("--net={namespace}"));
        outer.arg(command.get_program()).args(command.get_args());
        command = outer;
    }
    command
        .args(["--pdeathsig", "QUIT"])
        .arg(programs.join("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-p", &port.to_string()])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log().expect("a file"))
        .stderr(log().expect("a file"))
        .spawn()
        .expect("PostgreSQL can be started")
}

/// PostgreSQL refuses to run as root.
fn as_owner(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups"])
        .arg(program);
    command
}

fn is_root() -> bool {
    let own = fs::metadata("/proc/self").expect("there is /proc");
    own.uid() == 0
}

fn succeed(command: &mut Command) {
    let output: Output = command.output().expect("it can be started");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// Below the range that the system hands out to outgoing connections, or one of
/// them would have it while the server is away.
fn free_port() -> u16 {
    let mut rng = rand::rng();
    let mut ports = (0..100).map(|_| rng.random_range(20_000..32_000));
    let free = ports.find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    free.expect("a free port")
}
