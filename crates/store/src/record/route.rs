//! A route: one replica of one revision.

use viridian_strategy::{DeploymentId, ObservedRoute};

use super::RouteAddress;

/// One replica of one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its deployment.
    pub deployment: DeploymentId,
    /// What the decision sees of it.
    pub view: ObservedRoute,
    /// The scheduler's name for the session that it runs in.
    pub session_id: String,
    /// Where it listens. `view.has_address` says whether it is known.
    pub address: Option<RouteAddress>,
    /// Why it failed.
    pub failure: String,
    /// What the health checker said of its health.
    pub health_detail: String,
}
