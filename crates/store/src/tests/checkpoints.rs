//! SQLite's log is emptied while the writer goes on.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::fixture::{Engine, Fixture, manual};

/// The writer would do it by itself only once the log has 4 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_gets_into_the_file() {
    let fixture = Fixture::new(Engine::Sqlite).await;
    let id = fixture.ready(1, manual()).await;
    let file = fixture.url.trim_start_matches("sqlite:");
    let length = || fs::metadata(file).expect("it is there").len();
    let before = length();
    let begin = Instant::now();
    while length() == before {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "it is still {before} bytes"
        );
        fixture.pause(id, true).await;
        fixture.pause(id, false).await;
    }
    let log = length_of_log(&fixture);
    assert!(log < 4 << 20, "{log} bytes");
}

/// It is written over again and again, however long nobody pauses.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_short() {
    let fixture = Fixture::new(Engine::Sqlite).await;
    let id = fixture.ready(1, manual()).await;
    // Each call writes more than 8 pages: 40 MiB in all.
    for _ in 0..600 {
        fixture.pause(id, true).await;
        fixture.pause(id, false).await;
        let log = length_of_log(&fixture);
        assert!(log < 16 << 20, "{log} bytes");
    }
}

fn length_of_log(fixture: &Fixture) -> u64 {
    let log = format!("{}-wal", fixture.url.trim_start_matches("sqlite:"));
    fs::metadata(log).expect("it is there").len()
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
    let (url, _folder) = fixture.close();
    let log = format!("{}-wal", url.trim_start_matches("sqlite:"));
    let begin = Instant::now();
    // The last one to close the file removes it.
    while fs::exists(&log).expect("it can be looked for") {
        assert!(begin.elapsed() < Duration::from_secs(10), "{log} is there");
        tokio::task::yield_now().await;
    }
}
