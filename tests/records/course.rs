//! What each deployment of a record needs to come to its end, and what that is.

use std::collections::HashMap;

use viridian_proto::v1::{Deployment, DeploymentLifecycle};

/// How a deployment goes on, beside a fleet that starts and stops what it is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    /// What someone has to do for it, in order.
    pub(super) steps: &'static [Step],
    pub(super) end: End,
    /// Its deadline passed: it goes back before anything else comes of it.
    pub(super) turns_back: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Creates a revision and activates it.
    Deploy,
    /// Promotes, once it waits at its gate.
    Promote,
    Abort,
    Resume,
    /// Rolls back to routes that are retained.
    RollBackAtOnce,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// READY with the revision of this number, all of whose routes are ready.
    Serves(i64),
    /// The same, with routes that are not healthy.
    ServesInPart(i64),
    Destroyed,
}

/// The server comes back at once.
pub(super) fn soon(name: &str) -> Course {
    use Step::{Abort, Deploy, Promote, Resume, RollBackAtOnce};
    match name {
        "idle" => course(&[Deploy], End::Serves(1)),
        "pending" | "pending-half" | "back-off" | "whole" | "scaled" | "zero" | "revisions"
        | "rolled-back" | "aborted" | "rolling-back" => course(&[], End::Serves(1)),
        "unhealthy" => course(&[], End::ServesInPart(1)),
        "provisioning" | "provisioning-half" | "gate" | "gate-delay" | "gate-hold"
        | "gate-rollback" | "gate-promote" | "gate-resumed" => course(&[Promote], End::Serves(2)),
        "provisioning-paused" | "gate-paused" => course(&[Resume, Promote], End::Serves(2)),
        "failed-green" | "min-ready" => course(&[Abort], End::Serves(1)),
        "promoted" | "draining" | "rolling" => course(&[], End::Serves(2)),
        "retained" => course(&[RollBackAtOnce], End::Serves(1)),
        "rolling-to-earlier" => course(&[Promote], End::Serves(1)),
        "superseded" => course(&[Promote], End::Serves(3)),
        "rolling-paused" => course(&[Resume], End::Serves(2)),
        "destroying" | "destroyed" => course(&[], End::Destroyed),
        name => panic!("nothing is known of {name}"),
    }
}

/// The server comes back after every deadline. What waited for a time goes on by
/// itself, and what waited for someone waits on; a pause stops the clocks.
pub(super) fn late(name: &str) -> Course {
    match name {
        "provisioning" | "provisioning-half" | "failed-green" | "gate-rollback" | "superseded"
        | "rolling" => Course {
            turns_back: true,
            ..course(&[], End::Serves(1))
        },
        "rolling-to-earlier" => Course {
            turns_back: true,
            ..course(&[], End::Serves(2))
        },
        "min-ready" | "gate-delay" | "gate-promote" | "retained" => course(&[], End::Serves(2)),
        name => soon(name),
    }
}

fn course(steps: &'static [Step], end: End) -> Course {
    Course {
        steps,
        end,
        turns_back: false,
    }
}

impl End {
    /// `numbers` are those of the revisions, by their ids.
    pub(super) fn is_reached(self, it: &Deployment, numbers: &HashMap<String, i64>) -> bool {
        let (number, ready) = match self {
            Self::Destroyed => return it.lifecycle() == DeploymentLifecycle::Destroyed,
            Self::Serves(number) => (number, it.target_replicas),
            Self::ServesInPart(number) => (number, 1),
        };
        let blue = it.blue.unwrap_or_default();
        it.lifecycle() == DeploymentLifecycle::Ready
            && numbers.get(&it.current_revision_id) == Some(&number)
            && blue.ready == ready
    }
}
