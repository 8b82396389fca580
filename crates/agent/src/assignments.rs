//! Follows the assignments of a resource group across lost connections.

use tokio::sync::mpsc;
use tracing::{info, warn};
use viridian_client::{AssignmentWatcher, AuthChannel, ReconnectPolicy, WatchUpdate};
use viridian_proto::v1::Assignment;

/// Sends each assignment until the receiver is gone. After a reconnection the
/// server sends the open ones again.
pub(crate) async fn follow(
    channel: AuthChannel,
    resource_group: String,
    assignments: mpsc::Sender<Assignment>,
) {
    let mut watch =
        AssignmentWatcher::assignments(channel, &resource_group, ReconnectPolicy::FOREVER);
    while !assignments.is_closed() {
        match watch.next().await {
            Ok(WatchUpdate::Connected) => info!(resource_group, "following assignments"),
            Ok(WatchUpdate::Message(assignment)) => {
                // It fails only when the agent stops, which the loop sees.
                let _ = assignments.send(assignment).await;
            }
            Ok(WatchUpdate::Disconnected { error, retry_in }) => {
                warn!(%error, delay = ?retry_in, "assignments are not followed; will reconnect");
            }
            Ok(_) => {}
            // This policy gives up on nothing; the next call tries again anyway.
            Err(error) => warn!(%error, "assignments are not followed"),
        }
    }
}
