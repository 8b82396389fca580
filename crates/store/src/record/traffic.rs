//! Traffic tables: which routes serve a deployment, and with which share.

use std::collections::HashMap;

use uuid::Uuid;
use viridian_strategy::{
    DeploymentId, ObservedRoute, RevisionId, RevisionWeight, RouteId, TrafficSplit,
};

use super::{CommitId, Protocol, Route};

/// Which routes serve a deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficTable {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Its project.
    pub project: String,
    /// Its name.
    pub name: String,
    /// What the endpoints speak.
    pub protocol: Protocol,
    /// Its version.
    pub epoch: i64,
    /// The current revision.
    pub revision: Option<RevisionId>,
    /// The routes, ordered by id.
    pub endpoints: Vec<TrafficEndpoint>,
    /// The shares of the current and of the deploying revision. Empty where all routes are
    /// alike.
    pub weights: Vec<WeightedRevision>,
    /// The revision that is being deployed.
    pub deploying: Option<RevisionId>,
    /// Its ready routes without traffic, ordered by id.
    pub preview: Vec<PreviewEndpoint>,
    /// Constant in a rollout; 0 without shares.
    pub split_seed: u64,
    /// The change of several deployments that made it, if it was one.
    pub commit: Option<CommitId>,
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
    /// Its weight, the greatest being 1.0.
    pub ratio: f64,
}

/// The share of one revision of a canary, in per mille.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightedRevision {
    /// The revision.
    pub revision: RevisionId,
    /// The share that was asked for.
    pub asked: u16,
    /// The share that it has.
    pub weight: u16,
}

/// A ready route without traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewEndpoint {
    /// The route.
    pub route: RouteId,
    /// Where it listens.
    pub address: String,
}

/// A traffic table, as it is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TableContent {
    pub(crate) lines: Vec<TableLine>,
    pub(crate) shares: TableShares,
}

/// What a table has besides its lines. Most have nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TableShares {
    pub(crate) weights: Vec<RevisionWeight>,
}

/// A line of a traffic table, as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TableLine {
    pub(crate) route: RouteId,
    pub(crate) address: String,
    pub(crate) ratio: f64,
}

impl TableContent {
    /// The table over these routes, seen by a decision as `views`.
    pub(crate) fn of(all: &[Route], views: &[ObservedRoute], split: &TrafficSplit) -> Self {
        let shares = split.shares(views);
        // By id: routes come in the order of the database, and shares in that of a decision.
        let serving = shares.routes.iter();
        let serving: HashMap<RouteId, f64> = serving.map(|it| (it.id, it.ratio)).collect();
        let listed = all.iter().filter_map(|route| {
            Some(TableLine {
                route: route.view.id,
                ratio: *serving.get(&route.view.id)?,
                address: route.address.as_ref()?.to_string(),
            })
        });
        let mut lines: Vec<TableLine> = listed.collect();
        // In one order: the same lines in another order would count as a new table.
        lines.sort_by_key(|line| line.route);
        let weights = shares.weights.to_vec();
        Self {
            lines,
            shares: TableShares { weights },
        }
    }

    /// The share that a revision has, if it is one of two.
    pub(crate) fn weight_of(&self, revision: Option<RevisionId>) -> Option<u16> {
        let mut weights = self.shares.weights.iter();
        let found = weights.find(|it| Some(it.revision) == revision);
        found.map(|it| it.permille)
    }
}

impl TableShares {
    /// Whether there is nothing to be kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }
}

/// The seed by which proxies choose who gets the new revision: constant in a rollout.
pub(crate) fn split_seed(DeploymentId(deployment): DeploymentId, rollout: i64) -> u64 {
    // The second half of a UUID of this version is random.
    // So deployments choose other users, and so does the next rollout of one.
    let (_, random) = Uuid::as_u64_pair(&deployment);
    random ^ rollout.cast_unsigned()
}
