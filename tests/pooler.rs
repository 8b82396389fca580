//! A real PgBouncer in front of a real PostgreSQL, and databases whose defaults are not those
//! of PostgreSQL.

use std::{fs, os::unix::fs::MetadataExt as _, process::Stdio};

use rstest::rstest;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use url::Url;
use uuid::Uuid;
use viridian_proto::v1::CreateDeploymentRequest;

use crate::harness::{
    Engine, FinishedProgram, REFERENCE, Server, TestDatabase, TestEnv, closed_port, creation,
    eventually, finish, manual, tool, viridian,
};

#[rstest]
#[case::transaction("transaction", "")]
#[case::statement("statement", "")]
#[case::in_turn("transaction", "server_round_robin = 1\nmin_pool_size = 4")]
#[case::one_connection("transaction", "default_pool_size = 1")]
#[tokio::test]
async fn e1_a_pooler_that_shares_sessions_is_refused_at_the_start(
    #[case] mode: &str,
    #[case] settings: &str,
) {
    let database = TestDatabase::create(Engine::Postgres).await;
    let pooler = PgBouncer::start(&database, mode, settings).await;
    let run = finish(viridian(&["serve", "--database", pooler.url.as_str()])).await;
    assert_eq!(run.code, Some(CONFIG), "{run:?}");
    one_line(&run, "pool_mode = session");
    let run = finish(viridian(&["doctor", "--database", pooler.url.as_str()])).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    let found = run.stdout.lines().any(|line| {
        line.starts_with("WRONG") && line.contains("database") && line.contains("pooler")
    });
    assert!(found, "{run:?}");
}

#[tokio::test]
async fn e1_a_pooler_with_a_connection_for_each_session_is_as_good_as_none() {
    let database = TestDatabase::create(Engine::Postgres).await;
    let pooler = PgBouncer::start(&database, "session", "").await;
    let mut server = Server::at(pooler.url.as_str(), |_| {}).await;
    let api = server.api().await;
    api.create(creation(1, manual()))
        .await
        .expect("it is created");
    api.get(REFERENCE).await;
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(server.ended().await.code(), Some(0));
}

#[rstest]
#[case::latin_1("LATIN1")]
#[case::no_encoding("SQL_ASCII")]
#[tokio::test]
async fn e5_a_database_that_cannot_store_every_text_is_refused(#[case] encoding: &str) {
    let database = TestDatabase::create(Engine::Postgres).await;
    let name = format!("e2e_{}", Uuid::now_v7().simple());
    let create = format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0");
    database.execute(&create).await;
    let mut url: Url = database.url().parse().expect("a URL");
    url.set_path(&name);
    let serve = finish(viridian(&["serve", "--database", url.as_str()])).await;
    let doctor = finish(viridian(&["doctor", "--database", url.as_str()])).await;
    database.execute(&format!("DROP DATABASE {name}")).await;
    assert_eq!(serve.code, Some(CONFIG), "{serve:?}");
    one_line(&serve, &format!("encoding is {encoding}"));
    assert!(doctor.stdout.contains(encoding), "{doctor:?}");
}

/// Four callers: with the isolation of the database they would fail each other's commits.
#[rstest]
#[case::repeatable_read("default_transaction_isolation = 'repeatable read'")]
#[case::serializable("default_transaction_isolation = 'serializable'")]
#[case::idle_sessions("idle_session_timeout = '200ms'")]
#[tokio::test]
async fn e5_a_session_is_what_the_program_needs_whatever_the_defaults(#[case] setting: &str) {
    let database = TestDatabase::create(Engine::Postgres).await;
    let name = database
        .url()
        .rsplit('/')
        .next()
        .expect("a name")
        .to_owned();
    database
        .execute(&format!("ALTER DATABASE {name} SET {setting}"))
        .await;
    let env = TestEnv::on(Server::on(database).await).await;
    env.serving(2, manual()).await;
    let calls = (0..4).map(|caller| {
        let api = env.api.clone();
        async move {
            for number in 0..5 {
                let request = CreateDeploymentRequest {
                    name: format!("web-{caller}-{number}"),
                    ..creation(1, manual())
                };
                api.create(request).await.expect("it is created");
                // Longer than an idle session lives in the third case.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    });
    futures::future::join_all(calls).await;
}

/// As `psql` understands it, the tables are in that schema.
#[rstest]
#[case::short("-c%20search_path%3Dblue")]
#[case::long("--search_path=blue")]
#[tokio::test]
async fn e3_the_schema_of_the_options_is_used(#[case] options: &str) {
    let database = TestDatabase::create(Engine::Postgres).await;
    database.execute("CREATE SCHEMA blue").await;
    let url = format!("{}?options={options}", database.url());
    let server = Server::at(&url, |_| {}).await;
    let api = server.api().await;
    api.create(creation(1, manual()))
        .await
        .expect("it is created");
    // It fails if there is no such table.
    database
        .execute("SELECT 1 / COUNT(*) FROM blue.deployments")
        .await;
    let doctor = finish(viridian(&["doctor", "--database", &url])).await;
    assert!(!doctor.stdout.contains("WRONG"), "{doctor:?}");
}

fn one_line(run: &FinishedProgram, words: &str) {
    let error = run.stderr.lines().last().expect("a line");
    assert!(
        error.starts_with("error: ") && error.contains(words),
        "{run:?}"
    );
    assert!(!error.contains("INTERNAL"), "{run:?}");
}

/// Debian's PgBouncer, which ends with the test.
struct PgBouncer {
    /// Of the database, through it.
    url: Url,
    _process: Child,
    _folder: TempDir,
}

impl PgBouncer {
    async fn start(database: &TestDatabase, mode: &str, settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = closed_port();
        let mut url: Url = database.url().parse().expect("a URL");
        let (host, port) = (url.host_str().expect("a host"), url.port().expect("a port"));
        let users = folder.path().join("users.txt");
        let password = url.password().expect("a password");
        let line = format!("\"{}\" \"{password}\"\n", url.username());
        fs::write(&users, line).expect("written");
        let configuration = format!(
            "[databases]\n* = host={host} port={port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {}\nunix_socket_dir =\nauth_type = plain\nauth_file = {}\n\
             pool_mode = {mode}\nignore_startup_parameters = extra_float_digits\n{settings}\n",
            address.port(),
            users.display()
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, configuration).expect("written");
        // It does not run as root, and reads its files as somebody else.
        let is_root = folder.path().metadata().expect("it is there").uid() == 0;
        let mut command = Command::new("setpriv");
        if is_root {
            let mut give = std::process::Command::new("chown");
            give.args(["-R", "postgres:"]).arg(folder.path());
            assert!(give.status().expect("it can be started").success());
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
        }
        command.args(["--pdeathsig", "KILL"]).arg(pgbouncer());
        command
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let process = command.spawn().expect("it can be started");
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(address.port())).expect("a port");
        eventually("PgBouncer", async || {
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
        Self {
            url,
            _process: process,
            _folder: folder,
        }
    }
}

/// Debian has it where only root's PATH looks.
fn pgbouncer() -> std::path::PathBuf {
    let file = std::path::PathBuf::from("/usr/sbin/pgbouncer");
    if file.is_file() {
        file
    } else {
        tool("pgbouncer")
    }
}

const CONFIG: i32 = 100;
