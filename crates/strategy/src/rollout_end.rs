//! How a rollout ends.

use crate::{
    Observed, ObservedRoute, RevisionId, Rollout, RolloutKind, RouteHealth, RouteId, RouteStatus,
    counts::RouteClass,
};

/// How a rollout came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RolloutOutcome {
    /// The revision took the traffic.
    Promoted,
    /// It was given up by a rule: what served before serves on.
    RolledBack,
    /// It was given up by a call.
    Aborted,
    /// Another revision was activated in its place.
    Superseded,
    /// A first revision never came up. There is nothing to go back to.
    Failed,
}

/// A rollout that is over, or that has turned back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolloutEnd {
    /// The revision that was being deployed.
    pub revision: RevisionId,
    /// How it came out.
    pub outcome: RolloutOutcome,
    /// Whether it was a roll-back, and not a way forward.
    pub is_way_back: bool,
    /// The route that says why, unless it was promoted: the first one that failed, or
    /// else the first one that runs and is not healthy. If a caller gave it up, that its
    /// health was not reported yet says nothing.
    pub failure: Option<RouteId>,
}

impl RolloutOutcome {
    /// The name for programs: `ROLLED_BACK`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Promoted => "PROMOTED",
            Self::RolledBack => "ROLLED_BACK",
            Self::Aborted => "ABORTED",
            Self::Superseded => "SUPERSEDED",
            Self::Failed => "FAILED",
        }
    }
}

impl RolloutEnd {
    /// The revision took the traffic.
    pub(crate) fn promoted(revision: RevisionId, kind: RolloutKind) -> Self {
        Self {
            revision,
            outcome: RolloutOutcome::Promoted,
            is_way_back: kind.is_back(),
            failure: None,
        }
    }

    /// The first revision did not come up in time.
    pub(crate) fn failed(observed: &Observed<'_>, revision: RevisionId) -> Self {
        let activation = observed.deployment.current_activation;
        Self {
            revision,
            outcome: RolloutOutcome::Failed,
            is_way_back: false,
            failure: first_failure(observed, revision, activation, NEVER_REPORTED),
        }
    }

    /// The revision did not take the traffic.
    pub(crate) fn given_up(
        observed: &Observed<'_>,
        rollout: &Rollout,
        outcome: RolloutOutcome,
    ) -> Self {
        Self {
            revision: rollout.deploying,
            outcome,
            is_way_back: rollout.kind.is_back(),
            failure: first_failure(
                observed,
                rollout.deploying,
                rollout.activation,
                match outcome {
                    // The caller may have come too early for a report.
                    RolloutOutcome::Aborted | RolloutOutcome::Superseded => NEVER_REPORTED - 1,
                    _ => NEVER_REPORTED,
                },
            ),
        }
    }
}

/// The route of a revision that says why it does not get ready, if its rank is up to `least`.
fn first_failure(
    observed: &Observed<'_>,
    revision: RevisionId,
    activation: i64,
    least: u8,
) -> Option<RouteId> {
    let trouble = observed.routes_of(revision).filter_map(|route| {
        let rank = trouble_rank(route, activation).filter(|&rank| rank <= least)?;
        // The id decides between routes of one report, so that the answer is always the same.
        Some((rank, route.settled_at(), route.id))
    });
    trouble.min().map(|(_, _, id)| id)
}

/// The rank of what explains a failure; the best explanation has the lowest.
fn trouble_rank(route: &ObservedRoute, activation: i64) -> Option<u8> {
    match (
        RouteClass::of(route, activation),
        route.status,
        route.health,
    ) {
        (RouteClass::Failed, ..) => Some(0),
        (RouteClass::Unready, RouteStatus::Running, RouteHealth::Unhealthy) => Some(1),
        (RouteClass::Unready, RouteStatus::Running, RouteHealth::Degraded) => Some(2),
        (RouteClass::Unready, ..) => Some(NEVER_REPORTED),
        // A route that starts, is ready, was drained or is taken away explains nothing.
        (
            RouteClass::Provisioning | RouteClass::Ready | RouteClass::Evicted | RouteClass::Gone,
            ..,
        ) => None,
    }
}

/// The rank of a route that runs, and of whose health there is no report: the highest.
const NEVER_REPORTED: u8 = 3;
