//! A route of a resource group, with what a scheduler or a health checker needs to know of it.

use std::sync::Arc;

use viridian_strategy::{DeploymentId, RevisionId, RouteId};

use super::{DeploymentSummary, HealthCheck, Revision, Route};

/// A route of a resource group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRoute {
    /// The route.
    pub route: Route,
    /// What of its revision is needed.
    pub revision: Arc<RevisionOutline>,
    /// Whose route it is.
    pub deployment: Arc<DeploymentSummary>,
}

/// A revision without what it runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RevisionOutline {
    /// Its id.
    pub id: RevisionId,
    /// 1, 2, and so on.
    pub number: i64,
    /// How the health of a replica is checked.
    pub health_check: HealthCheck,
}

/// Where a route is in the list of its group: by deployment, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupRoutePosition {
    /// Its deployment.
    pub deployment: DeploymentId,
    /// Its id.
    pub route: RouteId,
}

impl GroupRoutePosition {
    pub(crate) fn of(route: &Route) -> Self {
        Self {
            deployment: route.deployment,
            route: route.view.id,
        }
    }
}

impl From<&Revision> for RevisionOutline {
    fn from(revision: &Revision) -> Self {
        Self {
            id: revision.id,
            number: revision.number,
            health_check: revision.spec.health_check.clone(),
        }
    }
}
