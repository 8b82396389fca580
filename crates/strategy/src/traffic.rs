//! Who gets the traffic: the split among revisions, and the routes that serve.

use arrayvec::ArrayVec;

use crate::{DeploymentState, Observed, ObservedRoute, RevisionId, RouteId, RouteTraffic};

/// All of the traffic of a deployment, in per mille.
pub const FULL_WEIGHT: u16 = 1_000;

/// How the traffic of a deployment is to be split among revisions.
///
/// Only a canary splits it by weight. Otherwise all ACTIVE routes are alike: blue-green has
/// those of one revision only, and rolling exchanges them one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficSplit {
    canary: Option<CanaryShare>,
}

/// What a canary asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CanaryShare {
    current: RevisionId,
    deploying: RevisionId,
    /// For this many ready routes of the deploying revision. In per mille, above 0.
    asked: u16,
    scaled_for: u32,
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
    /// Its weight among the routes of all revisions, the greatest being 1.0. Above 0.0.
    pub ratio: f64,
}

/// What a traffic table says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrafficShares {
    /// The weights of the current and of the deploying revision, which add up to
    /// [`FULL_WEIGHT`]. Empty where all routes are alike.
    pub weights: ArrayVec<RevisionWeight, 2>,
    /// The routes that serve, in the order of the routes.
    pub routes: Vec<ServingRoute>,
}

impl TrafficSplit {
    /// What is asked for in a state.
    pub fn of(state: &DeploymentState) -> Self {
        let canary = state.rollout().and_then(|rollout| {
            Some(CanaryShare {
                current: rollout.current,
                deploying: rollout.deploying,
                asked: rollout.canary.weight.filter(|&weight| weight > 0)?,
                scaled_for: rollout.canary.scaled_for,
            })
        });
        Self { canary }
    }

    /// Who gets the traffic: the ACTIVE routes that are ready, or if none is, the ACTIVE ones
    /// that run and have been HEALTHY in their present session (fail open).
    ///
    /// A canary has its weight times its ready routes by those that it was scaled for,
    /// rounded up, and none without one. While no route of the current revision is
    /// ready it keeps its weight by failing open, so that a checker that fails for a moment
    /// does not put everything on a canary; only if none of them can serve, all goes to the
    /// ready ones of the canary.
    ///
    /// The age of a health does not count here: it would empty the tables of a healthy
    /// fleet whenever a server was away.
    pub fn shares(&self, routes: &[ObservedRoute]) -> TrafficShares {
        let shares = self.canary.and_then(|canary| canary.shares(routes));
        shares.unwrap_or_else(|| alike(routes))
    }

    /// Whether any route serves, of whatever revision.
    pub(crate) fn is_served(observed: &Observed<'_>) -> bool {
        let mut routes = observed.routes.iter();
        routes.any(|route| route.traffic == RouteTraffic::Active && route.is_ready())
    }
}

impl CanaryShare {
    /// None if no ACTIVE route of either revision is ready: then all are alike.
    fn shares(self, routes: &[ObservedRoute]) -> Option<TrafficShares> {
        let ready = |revision| {
            let active = routes.iter().filter(move |route| {
                route.revision == revision && route.traffic == RouteTraffic::Active
            });
            active.filter(|route| route.is_ready()).count()
        };
        let green = ready(self.deploying);
        let current_ready = ready(self.current);
        // Weights do not say which of two serves that are both not ready.
        if green == 0 && current_ready == 0 {
            return None;
        }
        let fails_open = current_ready == 0;
        let serves = |route: &ObservedRoute| {
            route.traffic == RouteTraffic::Active
                && (route.is_ready()
                    || fails_open && route.revision == self.current && route.may_fail_open())
        };
        let current = routes
            .iter()
            .filter(|route| route.revision == self.current && serves(route))
            .count();
        let asked = match current {
            0 => FULL_WEIGHT,
            _ => self.effective(green),
        };
        let weights = [
            RevisionWeight {
                revision: self.current,
                permille: FULL_WEIGHT - asked,
            },
            RevisionWeight {
                revision: self.deploying,
                permille: asked,
            },
        ];
        let share = |revision| match revision == self.deploying {
            true => f64::from(asked) / green as f64,
            false => f64::from(FULL_WEIGHT - asked) / current as f64,
        };
        let serving = routes.iter().filter(|route| {
            let ours = route.revision == self.current || route.revision == self.deploying;
            ours && serves(route) && share(route.revision) > 0.0
        });
        let greatest = serving.clone().map(|route| share(route.revision));
        let greatest = greatest.fold(0.0, f64::max);
        Some(TrafficShares {
            weights: ArrayVec::from(weights),
            routes: serving
                .map(|route| ServingRoute {
                    id: route.id,
                    revision: route.revision,
                    ratio: share(route.revision) / greatest,
                })
                .collect(),
        })
    }

    /// The part of the asked weight that this number of ready routes has, rounded up.
    fn effective(self, ready: usize) -> u16 {
        let scaled_for = u64::from(self.scaled_for);
        let ready = (ready as u64).min(scaled_for);
        let effective = (u64::from(self.asked) * ready).checked_div(scaled_for);
        // Rounded up: of a small weight one ready route has some, too.
        let rest = (u64::from(self.asked) * ready) % scaled_for.max(1);
        let effective = effective.unwrap_or(0) + u64::from(rest > 0);
        // At most what is asked for.
        u16::try_from(effective).unwrap_or(self.asked)
    }
}

/// All ACTIVE routes that serve, with the same share.
fn alike(routes: &[ObservedRoute]) -> TrafficShares {
    let fail_open = fails_open(routes);
    let serving = routes
        .iter()
        .filter(|route| route.traffic == RouteTraffic::Active)
        .filter(|route| route.is_ready() || fail_open && route.may_fail_open());
    TrafficShares {
        routes: serving
            .map(|route| ServingRoute {
                id: route.id,
                revision: route.revision,
                ratio: 1.0,
            })
            .collect(),
        weights: ArrayVec::new(),
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
