//! The open assignments of a group, each with the version at which it came.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Bound,
    sync::Arc,
};

use viridian_store::{Action, Assignment, AssignmentSelection};
use viridian_strategy::RouteId;

/// In which order assignments came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u64);

/// The open assignments of a group. Watches share them: each only knows up to which
/// version it has taken.
#[derive(Default)]
pub(super) struct OpenSet {
    by_version: BTreeMap<Version, Arc<Assignment>>,
    /// A route has one assignment at most.
    of_route: HashMap<RouteId, (Action, Version)>,
    last: Version,
}

impl OpenSet {
    /// Takes over what a read of a selection found, in its order.
    pub(super) fn update(&mut self, selection: &AssignmentSelection, found: Vec<Assignment>) {
        self.close(selection, &found);
        for assignment in found {
            let (route, action) = (assignment.route.view.id, assignment.action);
            let version = match self.of_route.get(&route) {
                // The same one keeps its version, so that no watch gets it again. Its route may have
                // changed since.
                Some((same, version)) if *same == action => *version,
                other => {
                    if let Some((_, replaced)) = other {
                        self.by_version.remove(replaced);
                    }
                    self.last = Version(self.last.0 + 1);
                    self.of_route.insert(route, (action, self.last));
                    self.last
                }
            };
            self.by_version.insert(version, Arc::new(assignment));
        }
    }

    /// Removes those of a selection that are open no more.
    fn close(&mut self, selection: &AssignmentSelection, found: &[Assignment]) {
        let of = match selection {
            AssignmentSelection::All => None,
            AssignmentSelection::Of(ids) => Some(ids),
            // It says nothing of those that became available before.
            AssignmentSelection::Since(_) => return,
        };
        let is_read =
            |assignment: &Assignment| of.is_none_or(|ids| ids.contains(&assignment.deployment.id));
        let open: HashSet<_> = found.iter().map(|it| it.route.view.id).collect();
        let of_route = &mut self.of_route;
        self.by_version.retain(|_, assignment| {
            let route = assignment.route.view.id;
            let is_open = open.contains(&route) || !is_read(assignment);
            if !is_open {
                of_route.remove(&route);
            }
            is_open
        });
    }

    /// The first few after a version, which becomes that of the last of them.
    pub(super) fn after(&self, version: &mut Version, limit: usize) -> Vec<Arc<Assignment>> {
        let later = (Bound::Excluded(*version), Bound::Unbounded);
        let later = self.by_version.range(later).take(limit);
        later
            .map(|(last, assignment)| {
                *version = *last;
                Arc::clone(assignment)
            })
            .collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use uuid::Uuid;
    use viridian_store::{DeploymentSummary, Metadata, Route};
    use viridian_strategy::{DeploymentId, NewRoutes, RevisionId, RouteTraffic, Timestamp};

    use super::*;

    /// One of a route, by number, of a deployment, by number.
    pub(in super::super) fn assignment(route: u128, deployment: u128) -> Assignment {
        let id = DeploymentId(Uuid::from_u128(deployment));
        let at = Timestamp::from_micros(0);
        let new = NewRoutes {
            revision: RevisionId(Uuid::nil()),
            count: 1,
            traffic: RouteTraffic::Inactive,
            activation: 1,
        };
        Assignment {
            action: Action::Start,
            route: Route {
                deployment: id,
                view: new.create(RouteId(Uuid::from_u128(route)), at),
                session_id: String::new(),
                address: None,
                failure: String::new(),
                health_detail: String::new(),
            },
            deployment: Arc::new(DeploymentSummary {
                id,
                project: "p".to_owned(),
                name: "web".to_owned(),
                labels: [].into(),
                metadata: Metadata::default(),
            }),
            available_at: at,
        }
    }

    fn routes(set: &OpenSet, version: &mut Version) -> Vec<(Action, u128)> {
        let taken = set.after(version, usize::MAX).into_iter();
        taken
            .map(|it| (it.action, it.route.view.id.0.as_u128()))
            .collect()
    }

    #[test]
    fn g8_each_is_given_once_and_again_only_when_it_is_another() {
        let (mut set, mut taken) = (OpenSet::default(), Version::default());
        set.update(
            &AssignmentSelection::All,
            vec![assignment(1, 1), assignment(2, 1)],
        );
        let start = Action::Start;
        assert_eq!(routes(&set, &mut taken), [(start, 1), (start, 2)]);
        set.update(
            &AssignmentSelection::All,
            vec![assignment(1, 1), assignment(2, 1), assignment(3, 1)],
        );
        assert_eq!(routes(&set, &mut taken), [(start, 3)]);
        // STOP takes the place of START.
        let stop = Assignment {
            action: Action::Stop,
            ..assignment(1, 1)
        };
        let of_it = AssignmentSelection::Of([stop.deployment.id].into());
        set.update(&of_it, vec![stop]);
        assert_eq!(routes(&set, &mut taken), [(Action::Stop, 1)]);
        let all = routes(&set, &mut Version::default());
        assert_eq!(all, [(Action::Stop, 1)], "the others are closed");
        // One that was closed comes again if it is opened again.
        set.update(&AssignmentSelection::All, vec![assignment(2, 1)]);
        assert_eq!(routes(&set, &mut taken), [(start, 2)]);
    }

    #[test]
    fn g8_a_read_of_some_deployments_leaves_the_others() {
        let mut set = OpenSet::default();
        set.update(
            &AssignmentSelection::All,
            vec![assignment(1, 1), assignment(2, 2)],
        );
        let one = assignment(3, 1);
        let of_it = AssignmentSelection::Of([one.deployment.id].into());
        set.update(&of_it, vec![one]);
        let since = AssignmentSelection::Since(Timestamp::from_micros(0));
        set.update(&since, vec![assignment(4, 2)]);
        let all = routes(&set, &mut Version::default());
        let ids: Vec<_> = all.into_iter().map(|(_, id)| id).collect();
        assert_eq!(ids, [2, 3, 4]);
        assert_eq!(set.of_route.len(), set.by_version.len());
    }
}
