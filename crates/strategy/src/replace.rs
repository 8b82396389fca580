//! Replaces routes of the current revision with new ones of the same revision, a new
//! one first: those that a caller wants out, those that hang, and after a restart all
//! that were created before it.

use crate::{
    Observed, ObservedRoute, RevisionId, RouteHealth, RouteId, RouteStatus, Timestamp,
    counts::RouteCounts,
    exchange::{expendable, is_available},
    replenish::{Replenish, create_after_hung},
};

/// The live routes of a revision, by whether they stay.
struct Replacement<'a> {
    target: u32,
    /// To be replaced.
    outgoing: Vec<&'a ObservedRoute>,
    /// The others, and those that came in their place; no more than the target.
    staying: Vec<&'a ObservedRoute>,
    /// Those of the others that are above the target, in termination order.
    surplus: Vec<RouteId>,
}

impl Replenish {
    /// Brings `revision`, which is the current one, to the target, and replaces the
    /// routes of it that are to be replaced.
    pub(crate) fn replacing(observed: &Observed<'_>, revision: RevisionId) -> Self {
        let mut replacement = Replacement::of(observed, revision);
        let target = replacement.target;
        let staying = count(replacement.staying.len());
        let mut going = replacement.spared_by_restart(observed);
        // Once no route from before the restart is left, a new one comes first again. In the
        // same look, or the next one would have something left to do.
        let restarts = replacement.restarts(observed);
        if !restarts {
            going.extend(replacement.take_replaced(observed));
        }
        let surge = if restarts {
            observed.policy.strategy.rules().restart_bounds(target).0
        } else {
            (target / 4).max(1)
        };
        let hung = observed.hung_among(&going);
        let left = count(replacement.outgoing.len());
        let missing = target.saturating_sub(staying);
        let room = (target + surge).saturating_sub(staying + left);
        let activation = observed.deployment.current_activation;
        let wanted = missing.min(room);
        let (create, back_off) = create_after_hung(observed, revision, activation, wanted, &hung);
        let mut counts = replacement.counts(observed, revision);
        counts.provisioning += create;
        going.extend(&replacement.surplus);
        // What is left may wait for a report that confirms the health of what has come.
        let staying = replacement.staying.iter().copied();
        let stale = (left > 0).then(|| observed.stale_among(staying)).flatten();
        let look_again_at = [
            observed.next_to_hang(revision, &going),
            stale.map(|stale| stale.look_again_at(observed.now)),
        ];
        Self {
            activation,
            create,
            surplus: going,
            hung,
            back_off,
            counts,
            left,
            stale,
            look_again_at: look_again_at.into_iter().flatten().min(),
        }
    }
}

impl<'a> Replacement<'a> {
    fn of(observed: &Observed<'a>, revision: RevisionId) -> Self {
        let target = observed.deployment.target_replicas;
        let (outgoing, mut staying): (Vec<&ObservedRoute>, Vec<&ObservedRoute>) = observed
            .live_routes(revision)
            .partition(|route| observed.is_outgoing(route));
        staying.sort_unstable_by_key(|route| route.termination_key());
        let above = staying.len().saturating_sub(target as usize);
        let surplus = staying.drain(..above).map(|route| route.id).collect();
        Self {
            target,
            outgoing,
            staying,
            surplus,
        }
    }

    /// Whether any is outgoing because of a restart.
    fn restarts(&self, observed: &Observed<'_>) -> bool {
        let mut outgoing = self.outgoing.iter();
        outgoing.any(|route| observed.predates_restart(route))
    }

    /// Takes out the outgoing routes that a restart can spare, and lists them.
    fn spared_by_restart(&mut self, observed: &Observed<'_>) -> Vec<RouteId> {
        if !self.restarts(observed) {
            return Vec::new();
        }
        let (_, unavailable) = observed.policy.strategy.rules().restart_bounds(self.target);
        let least = self.target.saturating_sub(unavailable);
        let ready = self.staying.iter().filter(|it| observed.is_proven(it));
        let outgoing = self.outgoing.iter().copied();
        let spared = expendable(observed, outgoing, count(ready.count()), least);
        self.outgoing.retain(|route| !spared.contains(&route.id));
        spared
    }

    /// The routes that stay or have yet to be replaced, and all of the revision that are not
    /// live, counted.
    fn counts(&self, observed: &Observed<'_>, revision: RevisionId) -> RouteCounts {
        let others = observed
            .routes_of(revision)
            .filter(|route| !route.is_live());
        let live = self.outgoing.iter().chain(&self.staying).copied();
        RouteCounts::of(live.chain(others), observed.deployment.current_activation)
    }

    /// Takes out the outgoing routes for which others have come, and lists them.
    fn take_replaced(&mut self, observed: &Observed<'_>) -> Vec<RouteId> {
        let mut taken = Vec::new();
        // Which routes count as new depends on those that have yet to go: again until none
        // can, or the next look would find another one.
        loop {
            let replaced = self.replaced(observed);
            if replaced.is_empty() {
                return taken;
            }
            self.outgoing.retain(|it| !replaced.contains(&it.id));
            taken.extend(replaced);
        }
    }

    /// The outgoing routes for which another one has come. There are as many of those as
    /// routes live above the target, but for new ones that have yet to prove themselves.
    fn replaced(&self, observed: &Observed<'_>) -> Vec<RouteId> {
        let since = self
            .outgoing
            .iter()
            .filter_map(|route| observed.outgoing_since(route))
            .min();
        // Relative to the routes that they replace. A clock that steps back makes
        // replacements look older: then the bound below counts what serves instead.
        let is_new = |route: &ObservedRoute| since.is_some_and(|since| route.created_at >= since);
        let unproven = self
            .staying
            .iter()
            .filter(|route| !route.is_ready() && (is_new(route) || route.has_yet_to_serve()));
        let live = count(self.staying.len() + self.outgoing.len());
        let mut spare = live
            .saturating_sub(self.target)
            .saturating_sub(count(unproven.count()));
        let fails_open = observed.fails_open();
        let mut outgoing: Vec<(bool, &ObservedRoute)> = self
            .outgoing
            .iter()
            .map(|route| (is_available(route, fails_open), *route))
            .collect();
        outgoing.sort_unstable_by_key(|(serves, route)| (*serves, route.termination_key()));
        let ready = self.staying.iter().filter(|it| observed.is_proven(it));
        let new_ready = count(ready.clone().filter(|route| is_new(route)).count());
        let serving = count(ready.count() + outgoing.iter().filter(|(serves, _)| *serves).count());
        // What serves goes for a new one that is ready, or where more serve than must.
        let mut spare_serving = serving.saturating_sub(self.target).max(new_ready);
        let mut going = Vec::new();
        for (serves, route) in outgoing {
            if spare == 0 || serves && spare_serving == 0 {
                break;
            }
            spare -= 1;
            spare_serving -= u32::from(serves);
            going.push(route.id);
        }
        going
    }
}

impl ObservedRoute {
    /// Whether a caller wants it out, and it has yet to go.
    #[inline]
    pub(crate) fn is_wanted_out(&self) -> bool {
        self.is_live() && self.drain_requested_at.is_some()
    }

    /// Whether no report says yet that it works.
    fn has_yet_to_serve(&self) -> bool {
        self.status == RouteStatus::Provisioning || self.health == RouteHealth::NotChecked
    }
}

impl<'a> Observed<'a> {
    /// Whether any route of the current revision is to be replaced with a new one.
    #[inline]
    pub(crate) fn replaces_any(&self, revision: RevisionId) -> bool {
        self.live_routes(revision)
            .any(|route| self.is_outgoing(route))
    }

    /// Whether a live route of the current revision is to be replaced with a new one.
    #[inline]
    pub(crate) fn is_outgoing(&self, route: &ObservedRoute) -> bool {
        route.drain_requested_at.is_some() || self.predates_restart(route) || self.hangs(route)
    }

    /// A pause holds a restart: it exchanges what serves.
    fn predates_restart(&self, route: &ObservedRoute) -> bool {
        self.deployment.restarted
            && !self.deployment.paused
            && route.activation < self.deployment.current_activation
    }

    /// Whether another route may go for this one: it is ready, and a report confirms it.
    fn is_proven(&self, route: &ObservedRoute) -> bool {
        let is_fresh = |ttl| route.is_fresh(ttl, self.now);
        route.is_ready() && self.health_ttl.is_none_or(is_fresh)
    }

    fn hangs(&self, route: &ObservedRoute) -> bool {
        self.hangs_at(route).is_some_and(|at| at <= self.now)
    }

    /// Those of some routes that are drained that go because they hang.
    fn hung_among(&self, going: &[RouteId]) -> Vec<RouteId> {
        let hung = self.routes.iter().filter(|route| {
            // A caller wants the others to go, whatever their health.
            let by_request = route.drain_requested_at.is_some() || self.predates_restart(route);
            !by_request && self.hangs(route) && going.contains(&route.id)
        });
        hung.map(|route| route.id).collect()
    }

    /// When a route has been UNHEALTHY for too long.
    fn hangs_at(&self, route: &ObservedRoute) -> Option<Timestamp> {
        let after = self.policy.replace_unhealthy_after;
        let unhealthy =
            route.status == RouteStatus::Running && route.health == RouteHealth::Unhealthy;
        if after.is_zero() || !unhealthy {
            return None;
        }
        // Not later than now: a clock that stepped back must not add to the wait.
        Some(route.health_updated_at?.min(self.now) + after)
    }

    /// When the next live route of a revision will have been UNHEALTHY for too long, but
    /// for those that are going.
    #[inline]
    pub(crate) fn next_to_hang(
        &self,
        revision: RevisionId,
        going: &[RouteId],
    ) -> Option<Timestamp> {
        if self.policy.replace_unhealthy_after.is_zero() {
            return None;
        }
        let routes = self.live_routes(revision);
        let due = |route: &ObservedRoute| self.hangs_at(route).filter(|at| *at > self.now);
        routes
            .filter_map(|route| Some((route, due(route)?)))
            .filter(|(route, _)| !going.contains(&route.id))
            .map(|(_, at)| at)
            .min()
    }

    /// Since when a route is to be replaced, if it has not been since the restart.
    fn outgoing_since(&self, route: &ObservedRoute) -> Option<Timestamp> {
        route.drain_requested_at.or_else(|| self.hangs_at(route))
    }
}

fn count(routes: usize) -> u32 {
    u32::try_from(routes).unwrap_or(u32::MAX)
}
