//! Follows the assignments of a resource group, whatever happens to the
//! connection.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tonic::Status;
use tracing::{info, warn};
use viridian_proto::v1::{
    Assignment, WatchAssignmentsRequest, watch_assignments_response::Payload,
};

use crate::{agent::Client, backoff::Backoff};

/// Sends each assignment, for ever. After a reconnection the server sends what
/// is still open again.
pub(crate) async fn follow(
    mut client: Client,
    resource_group: String,
    assignments: mpsc::Sender<Assignment>,
) {
    let mut backoff = Backoff::new();
    while !assignments.is_closed() {
        let begun = Instant::now();
        let interruption = follow_once(&mut client, &resource_group, &assignments).await;
        if begun.elapsed() > STABLE {
            backoff.reset();
        }
        let delay = backoff.next_delay();
        warn!(%interruption, ?delay, "assignments are not followed; will reconnect");
        time::sleep(delay).await;
    }
}

#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error("{}: {}", .0.code(), .0.message())]
    Refused(Status),
    #[error("the server ended the stream")]
    Ended,
    #[error("nothing from the server for {} s", SILENCE.as_secs())]
    Silence,
    #[error("the agent stops")]
    Closed,
}

async fn follow_once(
    client: &mut Client,
    resource_group: &str,
    assignments: &mpsc::Sender<Assignment>,
) -> Interruption {
    let request = WatchAssignmentsRequest {
        resource_group: resource_group.to_owned(),
    };
    let mut stream = match time::timeout(SILENCE, client.watch_assignments(request)).await {
        Ok(Ok(reply)) => reply.into_inner(),
        Ok(Err(status)) => return Interruption::Refused(status),
        Err(_) => return Interruption::Silence,
    };
    info!(resource_group, "following assignments");
    loop {
        let message = match time::timeout(SILENCE, stream.message()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return Interruption::Ended,
            Ok(Err(status)) => return Interruption::Refused(status),
            Err(_) => return Interruption::Silence,
        };
        if let Some(Payload::Assignment(assignment)) = message.payload
            && assignments.send(assignment).await.is_err()
        {
            return Interruption::Closed;
        }
    }
}

/// Three heartbeats.
const SILENCE: Duration = Duration::from_secs(45);
/// A connection that held this long was no failed attempt.
const STABLE: Duration = Duration::from_secs(5);
