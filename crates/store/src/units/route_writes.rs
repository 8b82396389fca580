//! What a decision writes of routes and of their assignments.

use uuid::Uuid;
use viridian_strategy::{DeploymentId, ObservedRoute, RouteActions, RouteId, Timestamp};

use crate::{
    assignments::NewAssignment,
    record::{Action, Deployment, Route, RouteEffects},
};

/// What is to be written of a deployment's routes and of their assignments.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RouteWrites {
    pub(crate) reported: Vec<Route>,
    pub(crate) promoted: Vec<RouteId>,
    pub(crate) retained: Vec<RouteId>,
    pub(crate) reused: Vec<RouteId>,
    pub(crate) drained: Vec<RouteId>,
    /// To be drained as well, since they hang.
    pub(crate) hung: Vec<RouteId>,
    /// Those that are taken for ended.
    pub(crate) ended: Vec<Route>,
    /// To be drained once others have come in their place.
    pub(crate) drain_requested: Vec<RouteId>,
    pub(crate) created: Vec<Route>,
    pub(crate) assigned: Vec<NewAssignment>,
    /// Routes whose assignments are done.
    pub(crate) done: Vec<RouteId>,
}

impl RouteWrites {
    /// What is done with routes, counted.
    pub(crate) fn effects(&self) -> RouteEffects {
        let count = |routes: usize| u32::try_from(routes).unwrap_or(u32::MAX);
        RouteEffects {
            created: count(self.created.len()),
            promoted: count(self.promoted.len()),
            // A retained route has lost its traffic as well.
            drained: count(
                self.drained.len() + self.hung.len() + self.retained.len() + self.ended.len(),
            ),
        }
    }

    /// The writes for actions, which are applied to `routes` too.
    pub(crate) fn of(
        deployment: &Deployment,
        routes: &mut Vec<Route>,
        actions: &RouteActions,
        now: Timestamp,
    ) -> Self {
        let group = deployment.metadata.resource_group.as_str();
        let mut assigned = Vec::new();
        // Before the actions are applied: how long a drained route goes on depends
        // on the traffic that it had.
        for route in routes
            .iter()
            .filter(|route| actions.drain.contains(&route.view.id))
        {
            let at = route.view.stop_when(&deployment.policy, now).not_before;
            assigned.push(NewAssignment::new(Action::Stop, route.view.id, group, at));
        }
        actions.apply_all(routes.iter_mut().map(|route| &mut route.view), now);
        let ended = routes
            .iter_mut()
            .filter(|route| actions.end.contains(&route.view.id));
        let ended: Vec<Route> = ended
            .map(|route| {
                ENDED_BY_FORCE.clone_into(&mut route.failure);
                route.clone()
            })
            .collect();
        let mut created = Vec::new();
        for new in &actions.create {
            // Version 7: prune scans routes by a range of ids, which are in the order of time.
            let views = (0..new.count).map(|_| new.create(RouteId(Uuid::now_v7()), now));
            created.extend(views.map(|view| new_route(deployment.id, view)));
        }
        let start = |route: &Route| NewAssignment::new(Action::Start, route.view.id, group, now);
        assigned.extend(created.iter().map(start));
        routes.extend(created.iter().cloned());
        // The two are separate writes, and no row is written twice.
        let drained = actions.drain.iter().copied();
        let drained = drained.filter(|id| !actions.hung.contains(id));
        Self {
            promoted: actions.promote.clone(),
            retained: actions.retain.clone(),
            reused: actions.reuse.clone(),
            drained: drained.collect(),
            hung: actions.hung.clone(),
            drain_requested: actions.request_drain.clone(),
            created,
            assigned,
            ended,
            // What has ended is neither started nor stopped any more.
            done: actions.end.clone(),
            ..Self::default()
        }
    }

    /// Adds the writes of another deployment.
    pub(crate) fn append(&mut self, other: RouteWrites) {
        let Self {
            reported,
            promoted,
            retained,
            reused,
            drained,
            hung,
            ended,
            drain_requested,
            created,
            assigned,
            done,
        } = self;
        reported.extend(other.reported);
        promoted.extend(other.promoted);
        retained.extend(other.retained);
        reused.extend(other.reused);
        drained.extend(other.drained);
        hung.extend(other.hung);
        ended.extend(other.ended);
        drain_requested.extend(other.drain_requested);
        created.extend(other.created);
        assigned.extend(other.assigned);
        done.extend(other.done);
    }
}

/// A route before anything was reported of it.
fn new_route(deployment: DeploymentId, view: ObservedRoute) -> Route {
    Route {
        deployment,
        view,
        session_id: String::new(),
        address: None,
        failure: String::new(),
        health_detail: String::new(),
    }
}

/// Why a route is over without a report of its end.
const ENDED_BY_FORCE: &str = "deleted by force";
