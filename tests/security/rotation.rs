//! The file of credentials changes under load: no good call is refused, and what
//! was removed is refused soon.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use tokio::task::JoinHandle;
use tonic::Code;

use super::staff::{Client, GuardedServer, of_token};
use crate::harness::{eventually, refused};

#[tokio::test(flavor = "multi_thread")]
async fn tokens_come_and_go_under_load_and_no_good_call_is_refused() {
    let guarded = GuardedServer::start(&with(&[])).await;
    let load = Load::start(&guarded).await;
    let mut longest = Duration::ZERO;
    for round in 0..ROUNDS {
        let (old, new) = (format!("vrd_{round}"), format!("vrd_{}", round + 1));
        let entries = with(&[&old, &new]);
        if round % 2 == 0 {
            guarded.file.replace(&entries);
        } else {
            write_in_place(&guarded, &entries);
        }
        until(&guarded, &new, true).await;
        assert!(
            is_let_in(&guarded.client(&old).await).await,
            "both are good for a while"
        );
        let entries = with(&[&new]);
        if round % 2 == 0 {
            write_in_place(&guarded, &entries);
        } else {
            guarded.file.replace(&entries);
        }
        let removed = Instant::now();
        until(&guarded, &old, false).await;
        longest = longest.max(removed.elapsed());
    }
    let calls = load.stop().await;
    assert!(calls > 100, "only {calls} calls");
    // Twice the time between two looks at the file, and something for a busy machine.
    assert!(longest < Duration::from_secs(10), "it took {longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_valid_changes_nothing_and_is_logged() {
    let guarded = GuardedServer::start(&with(&[])).await;
    let load = Load::start(&guarded).await;
    let path = guarded.file.path();
    let whole = with(&[]).concat();
    let half = &whole[..whole.len() / 3];
    for (content, part) in [
        (Some("no credentials"), "line 1"),
        (Some(""), "there is no [[credential]]"),
        (Some(half), "line "),
        (None, "cannot read"),
    ] {
        let before = errors(&guarded).len();
        match content {
            Some(content) => fs::write(&path, content).expect("a file"),
            None => fs::remove_file(&path).expect("a file"),
        }
        let error = eventually("an error in the log", async || {
            errors(&guarded).get(before).cloned()
        })
        .await;
        assert!(error.contains(part), "{error}");
        assert!(error.contains("credentials.toml"), "{error}");
    }
    guarded.file.replace(&with(&["vrd_new"]));
    until(&guarded, "vrd_new", true).await;
    assert_eq!(errors(&guarded).len(), 4, "each once");
    load.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_what_has_no_end_is_not_read_and_revocation_goes_on() {
    let guarded = GuardedServer::start(&with(&["vrd_old"])).await;
    let path = guarded.file.path();
    let pipe = |path: &Path| mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
    let device = |path: &Path| symlink("/dev/zero", path).expect("a link");
    for make in [&pipe as &dyn Fn(&Path), &device] {
        let before = errors(&guarded).len();
        fs::remove_file(&path).expect("it is there");
        make(&path);
        eventually("an error in the log", async || {
            let all = errors(&guarded);
            let mut new = all[before..].iter();
            new.find(|why| why.contains("regular file")).cloned()
        })
        .await;
        assert!(is_let_in(&guarded.client("vrd_old").await).await);
        // A state that lasts is said once, so it has to change.
        guarded.file.replace(&with(&["vrd_old", "vrd_new"]));
        until(&guarded, "vrd_new", true).await;
        guarded.file.replace(&with(&["vrd_old"]));
        until(&guarded, "vrd_new", false).await;
    }
    guarded.file.replace(&with(&[]));
    until(&guarded, "vrd_old", false).await;
}

/// Two that call all the time, with a connection each and by turns.
struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    async fn start(guarded: &GuardedServer) -> Self {
        let (stop, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut callers = Vec::new();
        for token in ["vrd_a", "vrd_b", "vrd_a", "vrd_b"] {
            let client = guarded.client(token).await;
            let (stop, calls) = (Arc::clone(&stop), Arc::clone(&calls));
            callers.push(tokio::spawn(async move {
                while !stop.load(Relaxed) {
                    client.list("").await.expect("a good call is not refused");
                    calls.fetch_add(1, Relaxed);
                }
            }));
        }
        Self {
            stop,
            calls,
            callers,
        }
    }

    /// Gives how many calls there were.
    async fn stop(self) -> u64 {
        self.stop.store(true, Relaxed);
        for caller in self.callers {
            caller.await.expect("no good call was refused");
        }
        self.calls.load(Relaxed)
    }
}

/// The two that always may call, and some more.
fn with(more: &[&str]) -> Vec<String> {
    let tokens = more.iter().copied().chain(["vrd_a", "vrd_b"]);
    tokens
        .map(|token| of_token("ci", token, &["viewer"], &["*"]))
        .collect()
}

/// As a busy editor may do it: again and again, and the file is there all the time,
/// but for moments holds nothing, or some of the text. Cut between two entries, it
/// is valid and has too few; no such moment comes twice.
fn write_in_place(guarded: &GuardedServer, entries: &[String]) {
    for count in 0..REWRITES {
        let mut text = format!("# {count}\n");
        let mut cuts = vec![0, text.len()];
        for entry in entries {
            cuts.push(text.len() + entry.len() / 2);
            text.push_str(entry);
            cuts.push(text.len());
        }
        for cut in cuts {
            fs::write(guarded.file.path(), &text[..cut]).expect("a file");
            std::thread::sleep(Duration::from_millis(3));
        }
    }
}

/// Waits until a token is let in, or is not any more.
async fn until(guarded: &GuardedServer, token: &str, good: bool) {
    let client = guarded.client(token).await;
    eventually(format!("{token} to be let in: {good}"), async || {
        (is_let_in(&client).await == good).then_some(())
    })
    .await;
}

async fn is_let_in(client: &Client) -> bool {
    match client.list("").await {
        Ok(_) => true,
        Err(status) => {
            refused(&status, Code::Unauthenticated, "CREDENTIALS_INVALID");
            false
        }
    }
}

/// The log lines of level ERROR.
fn errors(guarded: &GuardedServer) -> Vec<String> {
    let log = guarded.server.log();
    let lines = log.lines().filter(|line| line.contains("\"ERROR\""));
    lines.map(str::to_owned).collect()
}

const ROUNDS: usize = 4;
const REWRITES: usize = 40;
