//! `viridian doctor`: reports each problem with its fix, and nothing else as wrong.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, KeyPair};
use rstest::rstest;
use rstest_reuse::apply;
use serde_json::Value;
use tokio::process::Command;

use crate::{
    engines::both_engines,
    harness::{
        Engine, FinishedProgram, Server, TestDatabase, TestEnv, closed_port, finish, manual,
        viridian,
    },
};

#[apply(both_engines)]
#[tokio::test]
async fn nothing_is_wrong_where_a_server_serves(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(2, manual()).await;
    let before = env.get().await;
    let url = env.server.database().url();
    let run = doctor(&["--database", url, "--server", &env.server.url()]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    for (place, what) in [
        ("configuration", "listens on 127.0.0.1:50051"),
        ("database", "the schema is up to date"),
        ("clock", "agrees"),
        ("record", "1 deployment, all invariants hold"),
        ("server", "serves"),
    ] {
        let line = line(&run, "ok", place);
        assert!(line.contains(what), "{run:?}");
    }
    let name = match engine {
        Engine::Sqlite => "SQLite 3.",
        Engine::Postgres => "PostgreSQL 1",
    };
    assert!(line(&run, "ok", "database").contains(name), "{run:?}");
    assert!(!run.stdout.contains("WRONG"), "{run:?}");
    assert_eq!(env.get().await, before, "nothing is changed");
}

#[apply(both_engines)]
#[tokio::test]
async fn an_empty_database_is_nothing_wrong(#[case] engine: Engine) {
    let database = TestDatabase::create(engine).await;
    let run = doctor(&["--database", database.url()]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let line = line(&run, "note", "database");
    assert!(
        line.contains("`viridian serve` creates the schema"),
        "{line}"
    );
    if let Some(path) = database.url().strip_prefix("sqlite:") {
        assert!(!Path::new(path).exists(), "and it is not made");
    }
}

#[tokio::test]
async fn a_folder_that_the_server_makes_is_nothing_wrong() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut command = viridian(&["doctor"]);
    command.env("HOME", home.path());
    let run = finish(command).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let line = line(&run, "note", "database");
    assert!(
        line.contains("none yet: `viridian serve` creates"),
        "{line}"
    );
    let mut left = fs::read_dir(home.path()).expect("the folder");
    assert!(left.next().is_none(), "nothing is made");
}

#[apply(both_engines)]
#[tokio::test]
async fn a_schema_of_another_program_is_told(#[case] engine: Engine) {
    let database = Server::start(engine).await.killed();
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000001')";
    database.execute(newer).await;
    let run = doctor(&["--database", database.url()]).await;
    let found = wrong(&run, "database");
    assert!(found.contains("the schema of a newer version"), "{found}");

    let older = "DELETE FROM __diesel_schema_migrations WHERE version > \
                 (SELECT MIN(version) FROM __diesel_schema_migrations)";
    database.execute(older).await;
    let run = doctor(&["--database", database.url()]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let line = line(&run, "note", "database");
    assert!(line.contains("`viridian serve` upgrades it"), "{line}");
}

#[apply(both_engines)]
#[tokio::test]
async fn a_record_that_was_tampered_with_is_told(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(1, manual()).await;
    let database = env.server.killed();
    let tamper = "UPDATE deployments SET last_history = last_history + 1";
    database.execute(tamper).await;
    let run = doctor(&["--database", database.url()]).await;
    let found = wrong(&run, "record");
    assert!(found.contains("1 violation of"), "{found}");
    assert!(found.contains("viridian check"), "{found}");
}

#[apply(both_engines)]
#[tokio::test]
async fn a_clock_that_went_back_is_told(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(1, manual()).await;
    let database = env.server.killed();
    let later = "UPDATE deployments SET updated_at = '2999-01-01T00:00:00.000000Z'";
    database.execute(later).await;
    let found = doctor(&["--database", database.url()]).await;
    let found = wrong(&found, "clock");
    assert!(found.contains("in the future"), "{found}");
}

#[tokio::test]
async fn a_clock_that_differs_from_the_database_s_is_told() {
    let database = TestDatabase::create(Engine::Postgres).await;
    let name = name(&database);
    database
        .execute(&format!(
            "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS \
             'SELECT pg_catalog.clock_timestamp() + interval ''1 hour'''; \
             ALTER DATABASE {name} SET search_path = public, pg_catalog"
        ))
        .await;
    let run = doctor(&["--database", database.url()]).await;
    let found = wrong(&run, "clock");
    let behind = ["3599 s behind", "3600 s behind", "3598 s behind"];
    assert!(behind.iter().any(|it| found.contains(it)), "{found}");
    assert!(found.contains("NTP"), "{found}");
}

#[tokio::test]
async fn a_database_that_is_only_read_is_told() {
    let database = Server::start(Engine::Postgres).await.killed();
    let name = name(&database);
    let statement = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    database.execute(&statement).await;
    let run = doctor(&["--database", database.url()]).await;
    let found = wrong(&run, "database");
    let why = "cannot be written: default_transaction_read_only is on";
    assert!(found.contains(why), "{found}");
}

#[tokio::test]
async fn a_role_that_may_not_write_is_told() {
    let database = TestDatabase::create(Engine::Postgres).await;
    let role = format!("role_{}", uuid::Uuid::now_v7().simple());
    let statement = format!(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE {role} LOGIN PASSWORD 'r'"
    );
    database.execute(&statement).await;
    let mut url: url::Url = database.url().parse().expect("a URL");
    url.set_username(&role).expect("a name");
    url.set_password(Some("r")).expect("a password");
    let empty = doctor(&["--database", url.as_str()]).await;

    let server = Server::on(database).await;
    let database = server.killed();
    let statement = format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}");
    database.execute(&statement).await;
    let full = doctor(&["--database", url.as_str()]).await;
    let statement = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    database.execute(&statement).await;

    let found = wrong(&empty, "database");
    assert!(found.contains("its role may not make tables"), "{found}");
    let found = wrong(&full, "database");
    let why = "its role may not write deployments, revisions, routes";
    assert!(found.contains(why), "{found}");
}

#[rstest]
#[case::the_file(0o444, 0o755, "it cannot be written")]
#[case::its_folder(0o644, 0o555, "its folder cannot be written")]
#[tokio::test]
async fn a_file_that_cannot_be_written_is_told(
    #[case] file: u32,
    #[case] folder: u32,
    #[case] why: &str,
) {
    let database = Server::start(Engine::Sqlite).await.killed();
    let path = database.url().strip_prefix("sqlite:").expect("a file");
    let path = Path::new(path);
    let permit = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    permit(path, file);
    permit(path.parent().expect("a folder"), folder);
    let run = finish(without_privileges(&[
        "doctor",
        "--database",
        database.url(),
    ]))
    .await;
    permit(path.parent().expect("a folder"), 0o755);
    let found = wrong(&run, "database");
    assert!(found.contains(why), "{found}");
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_told() {
    let url = format!("postgres://me:secret@{}/viridian", closed_port());
    let run = doctor(&["--database", &url]).await;
    let found = wrong(&run, "database");
    assert!(found.contains("cannot be reached"), "{found}");
    assert!(!run.stdout.contains("secret"), "{run:?}");

    let run = doctor(&["--database", "mysql://127.0.0.1/viridian"]).await;
    assert!(
        wrong(&run, "database").contains("write sqlite:PATH"),
        "{run:?}"
    );
    let run = doctor(&["--database", "sqlite:/no/such/folder/viridian.db"]).await;
    assert!(
        wrong(&run, "database").contains("there is no folder"),
        "{run:?}"
    );
}

#[tokio::test]
async fn a_server_that_is_away_is_told() {
    let url = format!("http://{}", closed_port());
    let run = at(&["--server", &url]).await;
    let found = wrong(&run, "server");
    assert!(found.contains(&url), "{found}");
}

#[rstest]
#[case::beyond_loopback(&["--listen", "0.0.0.0:50051"], "--insecure")]
#[case::no_address(&["--listen", "somewhere"], "HOST:PORT")]
#[case::a_key_alone(&["--tls-key", "server.key"], "--tls-cert")]
#[case::a_limit(&["--max-requests", "0"], "--max-requests")]
#[tokio::test]
async fn a_configuration_that_cannot_work_is_told(#[case] flags: &[&str], #[case] what: &str) {
    let run = at(flags).await;
    let found = wrong(&run, "configuration");
    assert!(found.contains(what), "{found}");
    assert!(run.stdout.contains("database"), "the rest is told too");
}

#[tokio::test]
async fn what_someone_ought_to_know_is_nothing_wrong() {
    let open = at(&["--listen", "0.0.0.0:50051", "--insecure"]).await;
    assert_eq!(open.code, Some(0), "{open:?}");
    let line_of = line(&open, "note", "credentials");
    assert!(line_of.contains("every caller that can reach"), "{line_of}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tokens = credentials(folder.path(), "token_sha256", &"0".repeat(64));
    let listen = ["--listen", "0.0.0.0:50051", "--tokens", &tokens];
    let clear = at(&listen).await;
    assert!(
        wrong(&clear, "configuration").contains("in clear"),
        "{clear:?}"
    );
    let clear = at(&[&listen[..], &["--insecure"]].concat()).await;
    assert_eq!(clear.code, Some(0), "{clear:?}");
    assert!(
        line(&clear, "ok", "credentials").contains("1 caller in"),
        "{clear:?}"
    );
    assert!(
        line(&clear, "note", "certificates").contains("not encrypted"),
        "{clear:?}"
    );
}

#[tokio::test]
async fn credentials_that_let_nobody_in_are_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("missing.toml").display().to_string();
    let run = at(&["--tokens", &missing]).await;
    assert!(wrong(&run, "credentials").contains(&missing), "{run:?}");

    let broken = credentials(folder.path(), "token_sha256", "abc");
    let run = at(&["--tokens", &broken]).await;
    assert!(wrong(&run, "credentials").contains(&broken), "{run:?}");

    let certificate = credentials(folder.path(), "san", "dns:edge");
    let run = at(&["--tokens", &certificate]).await;
    assert!(
        wrong(&run, "credentials").contains("--tls-client-ca"),
        "{run:?}"
    );
}

#[rstest]
#[case::it_is_valid(-1, 90, None)]
#[case::it_expires_soon(-30, 6, Some("expires in 6 days"))]
#[case::it_has_expired(-30, -1, Some("has expired"))]
#[case::it_is_not_valid_yet(2, 90, Some("is not valid yet"))]
#[tokio::test]
async fn a_certificate_is_valid_for_a_time(
    #[case] begins: i64,
    #[case] ends: i64,
    #[case] what: Option<&str>,
) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = KeyPair::generate().expect("a key");
    let (cert, key) = pair(folder.path(), "server", key, begins, ends);
    let run = at(&[
        "--tls-cert",
        &cert.display().to_string(),
        "--tls-key",
        &key.display().to_string(),
    ])
    .await;
    match what {
        Some(what) => {
            let found = wrong(&run, "certificates");
            assert!(found.contains(what), "{found}");
            assert!(found.contains("server.pem"), "{found}");
        }
        None => {
            assert_eq!(run.code, Some(0), "{run:?}");
            let line = line(&run, "ok", "certificates");
            assert!(line.contains("90 days"), "{line}");
        }
    }
}

#[tokio::test]
async fn a_key_of_another_certificate_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let new = || KeyPair::generate().expect("a key");
    let (cert, _) = pair(folder.path(), "server", new(), -1, 90);
    let (_, key) = pair(folder.path(), "other", new(), -1, 90);
    let run = at(&[
        "--tls-cert",
        &cert.display().to_string(),
        "--tls-key",
        &key.display().to_string(),
    ])
    .await;
    let found = wrong(&run, "certificates");
    assert!(found.contains("do not fit"), "{found}");
}

#[tokio::test]
async fn a_program_can_read_it() {
    let run = at(&["--listen", "0.0.0.0:50051", "-o", "json"]).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    let found: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(found[0]["place"], "configuration");
    assert_eq!(found[0]["verdict"], "wrong");
    assert!(found[0]["mend"].is_string(), "{found}");
}

async fn doctor(flags: &[&str]) -> FinishedProgram {
    finish(viridian(&[&["doctor"], flags].concat())).await
}

/// The same with a database that is in order.
async fn at(flags: &[&str]) -> FinishedProgram {
    let database = TestDatabase::create(Engine::Sqlite).await;
    doctor(&[&["--database", database.url()], flags].concat()).await
}

/// The one line of a place that says that something is wrong there.
fn wrong<'a>(run: &'a FinishedProgram, place: &str) -> &'a str {
    assert_eq!(run.code, Some(1), "{run:?}");
    let found = line(run, "WRONG", place);
    assert!(found.contains(". Fix: "), "{found}");
    found
}

fn line<'a>(run: &'a FinishedProgram, verdict: &str, place: &str) -> &'a str {
    let of_it = |line: &&str| {
        let mut words = line.split_whitespace();
        words.next() == Some(verdict) && words.next() == Some(place)
    };
    let mut lines = run.stdout.lines().filter(of_it);
    let found = lines.next();
    found.unwrap_or_else(|| panic!("no {verdict} of {place}: {run:?}"))
}

/// Root without what lets it write everything.
fn without_privileges(arguments: &[&str]) -> Command {
    let program = viridian(arguments);
    let is_root = fs::metadata("/proc/self").expect("this process").uid() == 0;
    if !is_root {
        return program;
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set=-all", "--inh-caps=-all"])
        .arg(env!("CARGO_BIN_EXE_viridian"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn credentials(folder: &Path, proof: &str, value: &str) -> String {
    let file = folder.join("credentials.toml");
    let entry = format!(
        "[[credential]]\nname = \"ci\"\n{proof} = \"{value}\"\nroles = [\"viewer\"]\n\
         projects = [\"*\"]\n"
    );
    fs::write(&file, entry).expect("a file");
    file.display().to_string()
}

/// A certificate that counts from one day to another, by their distance from today.
fn pair(folder: &Path, name: &str, key: KeyPair, begins: i64, ends: i64) -> (PathBuf, PathBuf) {
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    // An hour more, so that a whole day is not one second short.
    let now = SystemTime::now() + Duration::from_secs(60 * 60);
    let day = |distance: i64| {
        let time = Duration::from_secs(distance.unsigned_abs() * 24 * 60 * 60);
        if distance < 0 { now - time } else { now + time }
    };
    params.not_before = day(begins).into();
    params.not_after = day(ends).into();
    let certificate = params.self_signed(&key).expect("a certificate");
    let files = (
        folder.join(format!("{name}.pem")),
        folder.join(format!("{name}.key")),
    );
    fs::write(&files.0, certificate.pem()).expect("a file");
    fs::write(&files.1, key.serialize_pem()).expect("a file");
    files
}

fn name(database: &TestDatabase) -> String {
    let url: url::Url = database.url().parse().expect("a URL");
    url.path().trim_start_matches('/').to_owned()
}
