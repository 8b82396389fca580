//! A deployment before a round and after it.

use viridian_strategy::{RevisionId, RouteId, RouteStatus, RouteTraffic};

use super::arena::{Arena, ROUTES};
use crate::{Deployment, HistoryEntry, HistoryOutcome, Operation, Promotion, Route};

/// A deployment at its gate, before a round.
pub(super) struct Gate {
    pub(super) before: Deployment,
    pub(super) blue: RevisionId,
    pub(super) green: RevisionId,
    pub(super) green_routes: Vec<RouteId>,
    blue_routes: Vec<RouteId>,
}

impl Gate {
    pub(super) async fn of(arena: &Arena, before: Deployment) -> Self {
        let blue = before.state.current().expect("blue");
        let green = before.state.deploying().expect("green");
        let routes = arena.live_routes().await;
        let of = |revision| -> Vec<RouteId> {
            let routes = routes.iter().map(|route| route.view);
            let running = routes.filter(|route| route.status == RouteStatus::Running);
            let of_it = running.filter(|route| route.revision == revision);
            of_it.map(|route| route.id).collect()
        };
        Self {
            blue_routes: of(blue),
            green_routes: of(green),
            before,
            blue,
            green,
        }
    }

    /// Asserts that green has the traffic, all of it was ready at that moment,
    /// and that it is recorded once.
    pub(super) async fn promoted(
        &self,
        arena: &Arena,
        promotion: &Promotion,
        phases: &[Operation],
    ) -> After {
        assert_eq!(promotion.swapped, 1);
        assert_eq!(promotion.promoted, self.green_routes);
        assert_eq!(promotion.drained, self.blue_routes);
        let after = arena.after(self.before.last_history, phases).await;
        assert_eq!(after.active(), self.green_routes);
        after.ended(&self.blue_routes);
        let entry = &after.moves[0];
        assert_eq!(entry.outcome, HistoryOutcome::Success);
        assert_eq!(entry.revision, Some(self.green));
        assert_eq!(entry.status, promotion.deployment.status);
        let blue = entry.status.blue;
        assert_eq!((blue.ready, blue.active_traffic), (ROUTES, ROUTES));
        let sequence = promotion.deployment.sequence;
        let events = format!(
            "SELECT COUNT(*) AS n FROM events JOIN deployments ON deployments.id = deployment_id \
             WHERE kind = 'PROMOTED' AND events.sequence = {sequence} AND name = '{}'",
            promotion.deployment.name
        );
        assert_eq!(arena.fixture.number(&events).await, 1);
        after
    }

    /// Asserts that blue has the traffic still, and that no promotion is
    /// recorded.
    pub(super) async fn held_back(&self, arena: &Arena, phases: &[Operation]) -> After {
        let after = arena.after(self.before.last_history, phases).await;
        assert_eq!(after.active(), self.blue_routes);
        assert_eq!(after.deployment.state.current(), Some(self.blue));
        assert_eq!(after.deployment.promoted_at, self.before.promoted_at);
        after
    }
}

/// A deployment at rest, before a round.
pub(super) struct Serving {
    pub(super) last_history: i64,
    /// Those that take traffic.
    pub(super) routes: Vec<RouteId>,
}

impl Serving {
    /// What is so after a round: asserts what was recorded in it.
    pub(super) async fn after(&self, arena: &Arena, phases: &[Operation]) -> After {
        arena.after(self.last_history, phases).await
    }
}

/// A deployment after a round.
pub(super) struct After {
    pub(super) deployment: Deployment,
    pub(super) routes: Vec<Route>,
    pub(super) moves: Vec<HistoryEntry>,
}

impl After {
    pub(super) fn active(&self) -> Vec<RouteId> {
        let routes = self.routes.iter().map(|route| route.view);
        let active = routes.filter(|route| route.traffic == RouteTraffic::Active);
        active.map(|route| route.id).collect()
    }

    /// Asserts that some routes are on their way out.
    pub(super) fn ended(&self, ids: &[RouteId]) {
        for route in &self.routes {
            if ids.contains(&route.view.id) {
                assert_eq!(route.view.status, RouteStatus::Terminating);
                assert_eq!(route.view.traffic, RouteTraffic::Inactive);
            }
        }
    }
}
