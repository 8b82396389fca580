//! What there is to see at one moment, and what changed since another.

use viridian_proto::v1::{Deployment, Route, RouteStatus};

use super::load::Tally;
use crate::{deployment::show::Colour, names};

/// What there is to see at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scene {
    /// Lifecycle and sub-step.
    pub(super) state: String,
    /// Why the deployment does not go on; empty when nothing is awaited.
    pub(super) waits_for: String,
    /// The routes, oldest first.
    pub(super) routes: Vec<RouteLine>,
    /// What came of the requests.
    pub(super) tally: Tally,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RouteLine {
    /// Version and number: `v1-3`.
    pub(super) name: String,
    /// Its part in the deployment.
    pub(super) colour: Colour,
    /// Where it is in its life.
    pub(super) status: &'static str,
    /// What the health checker says.
    pub(super) health: &'static str,
    /// Whether it takes traffic, or is kept for a roll-back.
    pub(super) traffic: &'static str,
    /// Where it listens; empty until it does.
    pub(super) address: String,
    /// Why it failed; empty when it has not.
    pub(super) failure: String,
}

impl Scene {
    /// Puts together what calls returned. `revisions` are the ids of versions
    /// 1, 2, and so on.
    pub(super) fn new(
        deployment: &Deployment,
        routes: &[Route],
        revisions: &[String],
        tally: Tally,
    ) -> Self {
        let messages = deployment.blockers.iter().map(|it| it.message.as_str());
        let mut counts = vec![0; revisions.len()];
        let lines = routes.iter().filter_map(|route| {
            let version = revisions.iter().position(|id| *id == route.revision_id)?;
            counts[version] += 1;
            let name = format!("v{}-{}", version + 1, counts[version]);
            Some(RouteLine::new(name, Colour::of(route, deployment), route))
        });
        Self {
            state: names::state(deployment),
            waits_for: messages.collect::<Vec<_>>().join(" | "),
            routes: lines.collect(),
            tally,
        }
    }

    /// What is different from an earlier scene, a change a line.
    pub(super) fn changes_since(&self, earlier: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        if (&self.state, &self.waits_for) != (&earlier.state, &earlier.waits_for) {
            lines.push(self.headline());
        }
        let news = self.routes.iter().filter(|it| !earlier.routes.contains(it));
        lines.extend(news.map(|it| it.text(&wide(it.colour))));
        let moved = self.state != earlier.state && self.tally.total() > 0;
        if moved || self.tally.failed > earlier.tally.failed {
            lines.push(self.requests());
        }
        lines
    }

    /// State and reason of the deployment, on a line.
    pub(super) fn headline(&self) -> String {
        match self.waits_for.as_str() {
            "" => self.state.clone(),
            reason => format!("{}: {reason}", self.state),
        }
    }

    /// What came of the requests, on a line.
    pub(super) fn requests(&self) -> String {
        let answered = self.tally.answered.iter();
        let by_version = answered.map(|(label, count)| format!("{label} answered {count}, "));
        let failed = self.tally.failed;
        format!(
            "requests: {}{failed} failed",
            by_version.collect::<String>()
        )
    }
}

impl RouteLine {
    fn new(name: String, colour: Colour, route: &Route) -> Self {
        Self {
            name,
            colour,
            status: names::status(route.status()),
            health: names::health(route.health()),
            traffic: if route.retained {
                "retained"
            } else {
                names::traffic(route.traffic_status())
            },
            address: route.address.clone(),
            failure: route.failure.clone(),
        }
    }

    /// The route on a line, with its colour in the words that are given.
    pub(super) fn text(&self, colour: &str) -> String {
        let Self {
            name,
            status,
            health,
            traffic,
            address,
            failure,
            ..
        } = self;
        let line = format!(
            "{colour} {name:<5} {status:<12} {health:<11} {traffic:<8} {address} {failure}"
        );
        line.trim_end().to_owned()
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        [RouteStatus::Terminated, RouteStatus::FailedToStart]
            .map(names::status)
            .contains(&self.status)
    }
}

/// Its name, all as wide.
pub(super) fn wide(colour: Colour) -> String {
    format!("{:<5}", colour.name())
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{
        Blocker, Deployment, DeploymentLifecycle, Route, RouteHealthStatus, RouteStatus,
        RouteTrafficStatus,
    };

    use super::{Colour, Scene};
    use crate::demo::load::Tally;

    fn deployment() -> Deployment {
        let mut deployment = Deployment {
            current_revision_id: "one".to_owned(),
            deploying_revision_id: "two".to_owned(),
            blockers: vec![Blocker {
                message: "someone must promote".to_owned(),
                ..Blocker::default()
            }],
            ..Deployment::default()
        };
        deployment.set_lifecycle(DeploymentLifecycle::Ready);
        deployment
    }

    fn route(revision: &str, status: RouteStatus) -> Route {
        Route {
            revision_id: revision.to_owned(),
            status: status.into(),
            health: RouteHealthStatus::Healthy.into(),
            traffic_status: RouteTrafficStatus::Active.into(),
            address: "127.0.0.1:80".to_owned(),
            ..Route::default()
        }
    }

    fn scene(routes: &[Route]) -> Scene {
        let revisions = ["one", "two"].map(str::to_owned);
        Scene::new(&deployment(), routes, &revisions, Tally::default())
    }

    #[test]
    fn routes_are_numbered_in_their_version_and_have_its_colour() {
        let routes = ["one", "one", "two"].map(|it| route(it, RouteStatus::Running));
        let scene = scene(&routes);
        let seen: Vec<_> = scene
            .routes
            .iter()
            .map(|it| (it.name.as_str(), it.colour))
            .collect();
        let expected = [
            ("v1-1", Colour::Blue),
            ("v1-2", Colour::Blue),
            ("v2-1", Colour::Green),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn only_what_changed_is_told() {
        let before = scene(&[route("one", RouteStatus::Running)]);
        let first = before.changes_since(&Scene::default());
        assert_eq!(
            first,
            [
                "READY: someone must promote",
                "blue  v1-1  RUNNING      HEALTHY     ACTIVE   127.0.0.1:80",
            ]
        );
        assert!(before.changes_since(&before).is_empty());

        let after = scene(&[
            route("one", RouteStatus::Running),
            route("two", RouteStatus::Terminated),
        ]);
        let changes = after.changes_since(&before);
        assert_eq!(
            changes,
            ["green v2-1  TERMINATED   HEALTHY     ACTIVE   127.0.0.1:80"]
        );
        assert!(after.routes[1].has_ended());
    }

    #[test]
    fn requests_are_told_when_one_fails_or_the_state_moves() {
        let before = scene(&[]);
        let mut after = before.clone();
        after.tally.answered.insert("v1".to_owned(), 7);
        assert!(after.changes_since(&before).is_empty());

        let mut moved = after.clone();
        moved.state = "DEPLOYING".to_owned();
        let changes = moved.changes_since(&before);
        let expected = [
            "DEPLOYING: someone must promote",
            "requests: v1 answered 7, 0 failed",
        ];
        assert_eq!(changes, expected);

        after.tally.failed = 1;
        let changes = after.changes_since(&before);
        assert_eq!(changes, ["requests: v1 answered 7, 1 failed"]);
    }
}
