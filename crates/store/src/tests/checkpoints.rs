//! SQLite's log is emptied while the writer goes on.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::fixture::{Engine, Fixture, manual};

/// The writer would do it by itself only once the log has 4 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_gets_into_the_file() {
    let fixture = Fixture::new(Engine::Sqlite).await;
    let id = fixture.ready(1, manual()).await;
    let file = fixture.url.trim_start_matches("sqlite:");
    let before = length(file);
    let begin = Instant::now();
    while length(file) == before {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "it is still {before} bytes"
        );
        fixture.pause(id, true).await;
        fixture.pause(id, false).await;
    }
    let log = length(&log(&fixture.url));
    assert!(log < 4 << 20, "{log} bytes");
}

/// It is written over again and again, also while somebody always writes.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_short() {
    let fixture = Arc::new(Fixture::new(Engine::Sqlite).await);
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let id = fixture.ready(1, manual()).await;
        let fixture = Arc::clone(&fixture);
        callers.spawn(async move {
            for _ in 0..200 {
                fixture.pause(id, true).await;
                fixture.pause(id, false).await;
            }
        });
    }
    callers.join_all().await;
    // It keeps the length that it once had.
    let log = length(&log(&fixture.url));
    assert!(log < 16 << 20, "{log} bytes");
}

/// It keeps no file open behind the database.
#[tokio::test(flavor = "multi_thread")]
async fn they_end_with_the_database() {
    let fixture = Fixture::new(Engine::Sqlite).await;
    let id = fixture.ready(1, manual()).await;
    for _ in 0..40 {
        fixture.pause(id, true).await;
        fixture.pause(id, false).await;
    }
    let (url, _keeper) = fixture.close();
    let log = log(&url);
    let begin = Instant::now();
    // The last one to close the file removes it.
    while fs::exists(&log).expect("it can be looked for") {
        assert!(begin.elapsed() < Duration::from_secs(10), "{log} is there");
        tokio::task::yield_now().await;
    }
}

fn log(url: &str) -> String {
    format!("{}-wal", url.trim_start_matches("sqlite:"))
}

fn length(file: &str) -> u64 {
    fs::metadata(file).expect("it is there").len()
}
