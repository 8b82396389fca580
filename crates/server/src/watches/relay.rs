//! Keeps up the connection to the other servers on the same database.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use viridian_store::Database;

/// Relays for ever: begins again whenever the connection breaks.
pub(super) async fn run(database: &Database) {
    let mut pause = SHORTEST;
    loop {
        let begun = Instant::now();
        let error = database.relay().await;
        if begun.elapsed() > LONGEST {
            pause = SHORTEST;
        }
        tracing::warn!(%error, "nothing is heard of other servers; they are looked for slowly");
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
