use std::{env, fmt, time::Duration};

use tokio::time::{Instant, sleep, timeout};

/// How long anything may take that ought to happen soon. Far more than it does,
/// so that a busy machine fails no test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a look finds something.
pub(crate) async fn eventually<T>(
    what: impl fmt::Display,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            Instant::now() < end,
            "waited {PATIENCE:?} in vain for {what}"
        );
        sleep(PAUSE).await;
    }
}

/// Looks again and again for a while. The look itself asserts what must hold all
/// the time.
pub(crate) async fn hold_for(time: Duration, mut look: impl AsyncFnMut()) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        look().await;
        sleep(PAUSE).await;
    }
}

/// What comes of a future that must not take for ever.
pub(crate) async fn within<F: Future>(what: impl fmt::Display, future: F) -> F::Output {
    match timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// How often a test does something, by the environment.
pub(crate) fn count(variable: &str, default: u32) -> u32 {
    let asked = env::var(variable).ok();
    asked.map_or(default, |asked| asked.parse().expect("a number"))
}

const PAUSE: Duration = Duration::from_millis(10);
