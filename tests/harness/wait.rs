use std::{env, fmt, time::Duration};

use tokio::time::{Instant, sleep, timeout};

/// How long a test waits before it fails. Far longer than anything takes, so that a busy
/// machine fails no test.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Calls `look` until it returns something.
pub(crate) async fn eventually<T>(
    what: impl fmt::Display,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + WAIT_TIMEOUT;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            Instant::now() < end,
            "waited {WAIT_TIMEOUT:?} in vain for {what}"
        );
        sleep(POLL_INTERVAL).await;
    }
}

/// Calls `look` for a while. `look` asserts what must hold all the time.
pub(crate) async fn hold_for(time: Duration, mut look: impl AsyncFnMut()) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        look().await;
        sleep(POLL_INTERVAL).await;
    }
}

/// Awaits a future, and fails after [`WAIT_TIMEOUT`].
pub(crate) async fn within<F: Future>(what: impl fmt::Display, future: F) -> F::Output {
    match timeout(WAIT_TIMEOUT, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {WAIT_TIMEOUT:?} in vain for {what}"),
    }
}

/// Reads from the environment how often a test does something.
pub(crate) fn count(variable: &str, default: u32) -> u32 {
    let asked = env::var(variable).ok();
    asked.map_or(default, |asked| asked.parse().expect("a number"))
}

const POLL_INTERVAL: Duration = Duration::from_millis(10);
