//! Traffic tables: which routes serve a deployment.

use std::collections::HashMap;

use viridian_strategy::{DeploymentId, ObservedRoute, RevisionId, RouteId, TrafficSplit};

use super::Route;

/// Which routes serve a deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficTable {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Its version.
    pub epoch: i64,
    /// The current revision.
    pub revision: Option<RevisionId>,
    /// The routes, ordered by id.
    pub endpoints: Vec<TrafficEndpoint>,
}

/// A route that serves.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficEndpoint {
    /// The route.
    pub route: RouteId,
    /// Its revision; none if the route was deleted since.
    pub revision: Option<RevisionId>,
    /// Where it listens.
    pub address: String,
    /// Its weight.
    pub ratio: f64,
}

/// A line of a traffic table, as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TableLine {
    pub(crate) route: RouteId,
    pub(crate) address: String,
    pub(crate) ratio: f64,
}

/// The endpoints of a traffic table over these routes, seen by a decision as
/// `views`.
pub(crate) fn endpoints(
    all: &[Route],
    views: &[ObservedRoute],
    split: &TrafficSplit,
) -> Vec<TableLine> {
    let shares = split.shares(views);
    let serving: HashMap<RouteId, f64> = shares
        .routes
        .iter()
        .map(|route| (route.id, route.ratio))
        .collect();
    let listed = all.iter().filter_map(|route| {
        Some(TableLine {
            route: route.view.id,
            ratio: *serving.get(&route.view.id)?,
            address: route.address.as_ref()?.to_string(),
        })
    });
    let mut endpoints: Vec<TableLine> = listed.collect();
    // In one order: the same lines in another order would count as a new table.
    endpoints.sort_by_key(|endpoint| endpoint.route);
    endpoints
}
