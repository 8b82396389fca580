//! Who gets the traffic: the split among revisions, and the routes that serve.

use arrayvec::ArrayVec;

use crate::{DeploymentState, Observed, ObservedRoute, RevisionId, RouteId, RouteTraffic};

/// The weight of a revision that shares its traffic with no other, in per mille.
pub const FULL_WEIGHT: u16 = 1_000;

/// How the traffic of a deployment is split among revisions.
///
/// A weight is for those routes of a revision that take traffic. Every revision
/// has [`FULL_WEIGHT`]: blue-green has ACTIVE routes of one revision only, and
/// rolling treats all ACTIVE routes alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficSplit {
    weights: ArrayVec<RevisionWeight, 2>,
}

/// The weight of one revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevisionWeight {
    /// The revision.
    pub revision: RevisionId,
    /// Its share of the traffic, in per mille.
    pub permille: u16,
}

/// A route that serves, with its share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServingRoute {
    /// The route.
    pub id: RouteId,
    /// The revision that it runs.
    pub revision: RevisionId,
    /// Its weight for a proxy, above 0.0 and up to 1.0.
    pub ratio: f64,
}

impl TrafficSplit {
    /// The split in a state: the current and the deploying revision.
    pub fn of(state: &DeploymentState) -> Self {
        let revisions = [state.current(), state.deploying()];
        let full = |revision| RevisionWeight {
            revision,
            permille: FULL_WEIGHT,
        };
        Self {
            weights: revisions.into_iter().flatten().map(full).collect(),
        }
    }

    /// The weights, at most one for each revision.
    pub fn weights(&self) -> &[RevisionWeight] {
        &self.weights
    }

    /// The routes that a traffic table lists, with their shares: the ACTIVE ones
    /// that are ready, or if none is, the ACTIVE ones that run and have been HEALTHY
    /// in their present session (fail open).
    ///
    /// The age of a health does not count here: it would empty the tables of a healthy
    /// fleet whenever a server was away.
    pub fn serving(&self, routes: &[ObservedRoute]) -> impl Iterator<Item = ServingRoute> {
        let fail_open = fails_open(routes);
        routes
            .iter()
            .filter(|route| route.traffic == RouteTraffic::Active)
            .filter(move |route| route.is_ready() || fail_open && route.may_fail_open())
            .map(|route| ServingRoute {
                id: route.id,
                revision: route.revision,
                ratio: f64::from(self.weight(route.revision)) / f64::from(FULL_WEIGHT),
            })
    }

    /// Whether any route serves, of whatever revision.
    pub(crate) fn is_served(observed: &Observed<'_>) -> bool {
        let mut routes = observed.routes.iter();
        routes.any(|route| route.traffic == RouteTraffic::Active && route.is_ready())
    }

    fn weight(&self, revision: RevisionId) -> u16 {
        let named = self.weights.iter().find(|it| it.revision == revision);
        // Rolling leaves the routes of a superseded revision ACTIVE until they are
        // replaced: they serve as before, though the state no longer names them.
        named.map_or(FULL_WEIGHT, |it| it.permille)
    }
}

/// Whether no ACTIVE route is ready, so that those serve that are not: bad answers
/// are better than no answers.
pub(crate) fn fails_open(routes: &[ObservedRoute]) -> bool {
    let ready = |route: &ObservedRoute| route.traffic == RouteTraffic::Active && route.is_ready();
    !routes.iter().any(ready)
}

impl Observed<'_> {
    /// Whether no route that takes traffic is ready, so that those that are not serve.
    pub(crate) fn fails_open(&self) -> bool {
        fails_open(self.routes)
    }
}

impl ObservedRoute {
    /// Whether it is in the traffic table when no ACTIVE route is ready. One that was
    /// never HEALTHY is not.
    pub(crate) fn serves_unready(&self) -> bool {
        self.traffic == RouteTraffic::Active && self.may_fail_open()
    }
}
