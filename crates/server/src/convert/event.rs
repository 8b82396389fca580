//! Events.

use viridian_proto::v1;
use viridian_store::{Event, EventKind};
use viridian_strategy::Lifecycle;

use super::deployment::deployment;

/// An event, to the wire, without a token.
pub(crate) fn event(event: &Event) -> v1::DeploymentEvent {
    let over = event.deployment.state.lifecycle() == Lifecycle::Destroyed;
    let kind = match event.kind {
        EventKind::Created => v1::DeploymentEventKind::Created,
        EventKind::Updated => v1::DeploymentEventKind::Updated,
        // The log has no kind for the end of a deployment: it is a move to DESTROYED.
        EventKind::Moved if over => v1::DeploymentEventKind::Destroyed,
        EventKind::Moved => v1::DeploymentEventKind::Moved,
        EventKind::Promoted => v1::DeploymentEventKind::Promoted,
        EventKind::Shifted => v1::DeploymentEventKind::Shifted,
        EventKind::RolledBack => v1::DeploymentEventKind::RolledBack,
        EventKind::Progressed => v1::DeploymentEventKind::Progressed,
    };
    v1::DeploymentEvent {
        kind: kind.into(),
        deployment: Some(deployment(event.deployment.clone())),
        resume_token: String::new(),
        commit_id: event.commit.map(|id| id.0.to_string()).unwrap_or_default(),
    }
}
