//! What the health service says: of the server as a whole, `""`, that it serves
//! for as long as it lives, since to start it anew mends no database; and of each
//! service by its name whether its database answers, for those who choose where
//! to call.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};
use viridian_store::Database;

/// Tells of these services, by their names, whether the database answers, until
/// it is told to stop.
pub(crate) async fn run(
    database: Database,
    reporter: HealthReporter,
    services: [&'static str; 3],
    stop: CancellationToken,
) {
    let mut told = ServingStatus::Serving;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(LOOK) => {}
        }
        let status = match look(&database).await {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        // Or those who watch would be told the same again.
        if status == told {
            continue;
        }
        match status {
            ServingStatus::Serving => tracing::info!("the database answers again"),
            _ => tracing::warn!("the database does not answer: not ready"),
        }
        for service in services {
            reporter.set_service_status(service, status).await;
        }
        told = status;
    }
}

/// Whether the database has answered anything of late. It is asked only if nobody
/// else has asked it: the coordinator does so at each poll.
async fn look(database: &Database) -> bool {
    if database.unanswered_for() >= QUIET {
        // How it answers is told by when it has.
        let _ = timeout(ANSWER, database.now()).await;
    }
    database.unanswered_for() < AWAY
}

const LOOK: Duration = Duration::from_millis(500);
/// More than the coordinator's usual poll.
const QUIET: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(1);
/// So long that a restart of the database is not seen, if it is a quick one.
const AWAY: Duration = Duration::from_secs(5);
