//! The routes of a group as they were read last, and which of them have changed.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

use viridian_store::{GroupRoute, GroupRouteFilter, Projects};
use viridian_strategy::{DeploymentId, RouteId, RouteStatus};

use super::digest::digest;

/// In which order changes came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChangeVersion(u64);

/// What changed in a group. Watches share it: each only knows up to which version it has
/// taken.
#[derive(Default)]
pub(super) struct GroupChanges {
    known: HashMap<DeploymentId, Vec<KnownRoute>>,
    /// Changes that some watch has yet to take: the newest one of each route.
    by_version: BTreeMap<ChangeVersion, RouteChange>,
    of_route: HashMap<RouteId, ChangeVersion>,
    last: ChangeVersion,
}

/// A route as it was read last. Only its digest is kept: a group may have many routes.
struct KnownRoute {
    id: RouteId,
    status: RouteStatus,
    digest: u64,
}

struct RouteChange {
    route: Arc<GroupRoute>,
    /// The statuses that it had before, as far as watches may have been given them.
    earlier: Vec<RouteStatus>,
}

/// Some changes that a watch takes.
#[derive(Debug)]
pub(super) struct TakenChanges {
    pub(super) routes: Vec<Arc<GroupRoute>>,
    /// Whether there were no more.
    pub(super) is_all: bool,
}

impl GroupChanges {
    /// The version of the last change.
    pub(super) fn last(&self) -> ChangeVersion {
        self.last
    }

    /// Learns what routes are, when a group is read for the first time.
    pub(super) fn learn(&mut self, read: &[GroupRoute]) {
        for route in read {
            let known = self.known.entry(route.route.deployment).or_default();
            known.push(KnownRoute::of(route));
        }
    }

    /// Compares all routes of a deployment with what they were.
    pub(super) fn update(&mut self, deployment: DeploymentId, read: Vec<GroupRoute>) {
        let before = self.known.remove(&deployment).unwrap_or_default();
        let before: HashMap<_, _> = before.into_iter().map(|it| (it.id, it)).collect();
        let mut known = Vec::with_capacity(read.len());
        for route in read {
            let now = KnownRoute::of(&route);
            let earlier = before.get(&now.id);
            if earlier.is_none_or(|it| it.digest != now.digest) {
                self.add(route, earlier.map(|it| it.status));
            }
            known.push(now);
        }
        // What is not read any more ended long ago, and was a change when it did.
        if !known.is_empty() {
            self.known.insert(deployment, known);
        }
    }

    fn add(&mut self, route: GroupRoute, before: Option<RouteStatus>) {
        let id = route.route.view.id;
        let replaced = self.of_route.remove(&id);
        let replaced = replaced.and_then(|version| self.by_version.remove(&version));
        // A watch that has not taken the replaced change may have been given any of these.
        let mut earlier = replaced.map_or_else(Vec::new, |it| it.earlier);
        earlier.extend(before.filter(|status| !earlier.contains(status)));
        self.last = ChangeVersion(self.last.0 + 1);
        self.of_route.insert(id, self.last);
        let route = Arc::new(route);
        let change = RouteChange { route, earlier };
        self.by_version.insert(self.last, change);
    }

    /// Deletes what all watches have taken.
    pub(super) fn drop_taken(&mut self, up_to: ChangeVersion) {
        while let Some(first) = self.by_version.first_entry()
            && *first.key() <= up_to
        {
            let change = first.remove();
            self.of_route.remove(&change.route.route.view.id);
        }
    }

    /// The first few changes after a version that a watch is about. The version becomes that
    /// of the last one looked at.
    pub(super) fn take_after(
        &self,
        version: &mut ChangeVersion,
        filter: &GroupRouteFilter,
    ) -> TakenChanges {
        let mut routes = Vec::new();
        let later = (Bound::Excluded(*version), Bound::Unbounded);
        // A watch of one project in a group of many looks at some, and lets others have the lock.
        for (looked_at, (last, change)) in self.by_version.range(later).enumerate() {
            if looked_at == MAX_LOOKED_AT || routes.len() == MAX_TAKEN {
                let is_all = false;
                return TakenChanges { routes, is_all };
            }
            *version = *last;
            if change.is_of(filter) {
                routes.push(Arc::clone(&change.route));
            }
        }
        // All that there is: what came before was taken, or replaced.
        *version = self.last;
        let is_all = true;
        TakenChanges { routes, is_all }
    }
}

impl KnownRoute {
    fn of(route: &GroupRoute) -> Self {
        Self {
            id: route.route.view.id,
            status: route.route.view.status,
            digest: digest(route),
        }
    }
}

impl RouteChange {
    /// Whether a watch is about the route as it is, or as it was.
    fn is_of(&self, filter: &GroupRouteFilter) -> bool {
        let project = &self.route.deployment.project;
        let may_see = match &filter.projects {
            Projects::All => true,
            Projects::These(these) => these.contains(project),
        };
        let mut statuses = self.earlier.iter().chain([&self.route.route.view.status]);
        may_see && statuses.any(|status| filter.statuses.contains(status))
    }
}

/// Changes that a watch takes at once.
const MAX_TAKEN: usize = 64;
/// Changes that it looks at for that.
const MAX_LOOKED_AT: usize = 1_024;

#[cfg(test)]
mod tests;
