//! The floor: how many commits of one row the machine can make.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use tempfile::TempDir;

/// Commits a second of as many pgbench clients, each of one row.
pub(crate) fn pgbench(server: &str, clients: usize) -> f64 {
    run(
        server,
        clients,
        "INSERT INTO floor VALUES (:client_id, 1);\n",
    )
}

/// Promotions a second of as many pgbench clients, by plain statements.
pub(crate) fn by_hand(server: &str, clients: usize, deployments: usize) -> f64 {
    let script = include_str!("by_hand.sql").replace(":deployments", &deployments.to_string());
    run(server, clients, &script)
}

/// Transactions a second of a pgbench script.
fn run(server: &str, clients: usize, script: &str) -> f64 {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("script.sql");
    fs::write(&path, script).expect("a script");
    let clients = clients.to_string();
    let output = Command::new("pgbench")
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2", "--time=2"])
        .args(["--client", &clients, "--file"])
        .arg(&path)
        .arg(server)
        .output()
        .expect("pgbench is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let tps = text
        .lines()
        .find_map(|line| line.strip_prefix("tps = "))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok());
    tps.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Commits a second of one row each, on one connection to a file of its own.
pub(crate) fn sqlite() -> f64 {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("floor.db").display().to_string();
    let mut connection = SqliteConnection::establish(&path).expect("it opens");
    connection
        .batch_execute(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             CREATE TABLE floor (id INTEGER, n INTEGER) STRICT",
        )
        .expect("a table");
    let begin = Instant::now();
    let mut commits = 0_u32;
    while begin.elapsed() < Duration::from_secs(2) {
        connection
            .batch_execute("INSERT INTO floor VALUES (1, 1)")
            .expect("a row");
        commits += 1;
    }
    f64::from(commits) / begin.elapsed().as_secs_f64()
}
