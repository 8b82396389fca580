//! `viridian serve` that cannot start says why in one line, and exits with a
//! number that scripts can tell.

use std::{fs, net::TcpListener};

use rstest::rstest;
use rstest_reuse::apply;

use crate::{
    engines::both_engines,
    harness::{Engine, FinishedProgram, Server, TestDatabase, closed_port, finish, viridian},
};

#[rstest]
#[case::nothing("")]
#[case::no_scheme("viridian.db")]
#[case::another_engine("mysql://127.0.0.1/viridian")]
#[case::no_path("sqlite:")]
#[case::in_memory("sqlite::memory:")]
#[case::no_name("postgres://127.0.0.1")]
#[case::no_port("postgres://127.0.0.1:port/viridian")]
#[case::no_option("postgres://127.0.0.1/viridian?no_such_option=1")]
#[case::no_tls_mode("postgres://127.0.0.1/viridian?sslmode=allow")]
#[case::no_roots("postgres://127.0.0.1/viridian?sslmode=verify-full&sslrootcert=/no/such/file")]
#[tokio::test]
async fn a_url_that_cannot_work_is_a_configuration_error(#[case] url: &str) {
    let error = refused_to_start(&["--database", url], CONFIG).await;
    assert!(error.contains("database"), "{error}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_a_configuration_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("missing");
    let url = format!("sqlite:{}", missing.join("viridian.db").display());
    let error = refused_to_start(&["--database", &url], CONFIG).await;
    assert!(error.contains(&missing.display().to_string()), "{error}");
    assert!(!missing.exists(), "and it is not made");
}

#[tokio::test]
async fn what_is_no_database_is_a_configuration_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("notes.txt");
    let text = "not a database\n".repeat(100);
    fs::write(&file, &text).expect("a file");
    let url = format!("sqlite:{}", file.display());
    refused_to_start(&["--database", &url], CONFIG).await;
    let after = fs::read_to_string(&file).expect("the file");
    assert_eq!(after, text, "it is left alone");

    let url = format!("sqlite:{}", folder.path().display());
    refused_to_start(&["--database", &url], CONFIG).await;
}

#[tokio::test]
async fn a_file_that_another_server_holds_is_a_configuration_error() {
    let server = Server::start(Engine::Sqlite).await;
    let url = server.database().url();
    let error = refused_to_start(&["--database", url], CONFIG).await;
    assert!(error.contains("another server"), "{error}");
    let found = server.api().await.find("shop/web").await;
    found.expect_err("the first one serves on");
}

#[rstest]
#[case::all_addresses("0.0.0.0:0")]
#[case::all_addresses_v6("[::]:0")]
#[tokio::test]
async fn others_are_let_in_only_when_asked(#[case] listen: &str) {
    let database = TestDatabase::create(Engine::Sqlite).await;
    let arguments = ["--listen", listen, "--database", database.url()];
    let error = refused_to_start(&arguments, CONFIG).await;
    assert!(error.contains("--insecure"), "{error}");
}

#[rstest]
#[case::events("--retain-events", "59m")]
#[case::history("--retain-history", "59m")]
#[case::routes("--retain-routes", "59m")]
#[case::deployments("--retain-deployments", "23h")]
#[case::for_ever("--retain-events", "9999d")]
#[tokio::test]
async fn an_age_that_cannot_work_is_a_configuration_error(#[case] flag: &str, #[case] age: &str) {
    let database = TestDatabase::create(Engine::Sqlite).await;
    let arguments = [flag, age, "--database", database.url()];
    let error = refused_to_start(&arguments, CONFIG).await;
    assert!(error.contains(flag), "{error}");
}

#[rstest]
#[case::connections("--database-connections", "0")]
#[case::readers("--database-readers", "1001")]
#[case::acquire("--database-acquire-timeout", "0s")]
#[case::lock("--database-lock-timeout", "2m")]
#[case::lock_beyond_statement("--database-lock-timeout", "30s")]
#[case::statement("--database-statement-timeout", "2h")]
#[case::idle("--database-idle-timeout", "0s")]
#[case::busy("--database-busy-timeout", "1ms")]
#[case::workers("--coordinator-workers", "0")]
#[case::batch("--coordinator-batch", "5001")]
#[case::poll("--coordinator-poll", "2m")]
#[case::set_aside("--coordinator-set-aside", "6m")]
#[case::set_aside_longest("--coordinator-set-aside-longest", "2h")]
#[case::health_ttl("--health-ttl", "10ms")]
#[tokio::test]
async fn a_limit_that_cannot_work_is_a_configuration_error(
    #[case] flag: &str,
    #[case] limit: &str,
) {
    let database = TestDatabase::create(Engine::Sqlite).await;
    let arguments = [flag, limit, "--database", database.url()];
    let error = refused_to_start(&arguments, CONFIG).await;
    assert!(error.contains(flag), "{error}");
}

#[apply(both_engines)]
#[tokio::test]
async fn a_database_of_a_newer_program_is_a_configuration_error(#[case] engine: Engine) {
    let database = Server::start(engine).await.killed();
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000001')";
    database.execute(newer).await;
    let error = refused_to_start(&["--database", database.url()], CONFIG).await;
    assert!(error.contains("29991231000001"), "{error}");
}

#[rstest]
#[case::no_port("127.0.0.1")]
#[case::no_number("127.0.0.1:http!")]
#[tokio::test]
async fn what_is_no_address_is_a_configuration_error(#[case] listen: &str) {
    let database = TestDatabase::create(Engine::Sqlite).await;
    let arguments = ["--listen", listen, "--database", database.url()];
    refused_to_start(&arguments, CONFIG).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_configuration_error() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = taken.local_addr().expect("its address").to_string();
    let database = TestDatabase::create(Engine::Sqlite).await;
    let arguments = ["--listen", &listen, "--database", database.url()];
    let error = refused_to_start(&arguments, CONFIG).await;
    assert!(error.contains(&listen), "{error}");
}

#[tokio::test]
async fn a_database_that_is_away_is_told_from_a_bad_configuration() {
    let url = format!("postgres://me:secret@{}/viridian", closed_port());
    let error = refused_to_start(&["--database", &url], UNAVAILABLE).await;
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_database_that_does_not_let_us_in_is_one_line_too() {
    let database = TestDatabase::create(Engine::Postgres).await;
    let mut url: url::Url = database.url().parse().expect("a URL");
    url.set_password(Some("wrong-one")).expect("a password");
    let run = run(&["--database", url.as_str()]).await;
    assert!(
        [Some(CONFIG), Some(UNAVAILABLE)].contains(&run.code),
        "{run:?}"
    );
    let error = one_line(&run);
    assert!(!error.contains("wrong-one"), "{error}");

    url = database.url().parse().expect("a URL");
    url.set_path("no_such_database");
    let run = crate::serve::run(&["--database", url.as_str()]).await;
    assert!(
        [Some(CONFIG), Some(UNAVAILABLE)].contains(&run.code),
        "{run:?}"
    );
    let error = one_line(&run);
    assert!(error.contains("no_such_database"), "{error}");
}

/// Asserts how a server ends that cannot start, and gives what it says.
async fn refused_to_start(arguments: &[&str], code: i32) -> String {
    let run = run(arguments).await;
    assert_eq!(run.code, Some(code), "{run:?}");
    one_line(&run)
}

async fn run(arguments: &[&str]) -> FinishedProgram {
    let mut all = vec!["serve"];
    if !arguments.contains(&"--listen") {
        all.extend(["--listen", "127.0.0.1:0"]);
    }
    all.extend(arguments);
    finish(viridian(&all)).await
}

/// The one line that a failed run wrote.
fn one_line(run: &FinishedProgram) -> String {
    let lines: Vec<_> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "one line: {run:?}");
    assert!(lines[0].starts_with("error: "), "{run:?}");
    for word in ["panicked", "backtrace", "a bug in"] {
        assert!(!run.stderr.contains(word), "{run:?}");
    }
    assert_eq!(run.stdout, "");
    lines[0].to_owned()
}

/// As sysexits.h has them.
const CONFIG: i32 = 100;
const UNAVAILABLE: i32 = 101;
