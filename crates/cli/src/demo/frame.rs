//! The state of the demonstration at one moment, and what changed since an earlier one.

use viridian_proto::v1::{Deployment, Route, RouteStatus};

use super::load_generator::RequestTally;
use crate::{deployment::show::RouteColour, enum_names, permille};

/// The state of the demonstration at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DemoFrame {
    /// Lifecycle and sub-step, and the share of a canary.
    pub(super) state: String,
    /// What the deployment waits for; empty if nothing.
    pub(super) waits_for: String,
    /// The routes, oldest first.
    pub(super) routes: Vec<RouteRow>,
    /// The results of the requests.
    pub(super) tally: RequestTally,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RouteRow {
    /// Version and number of the route: `v1-3`.
    pub(super) name: String,
    pub(super) colour: RouteColour,
    pub(super) status: &'static str,
    pub(super) health: &'static str,
    /// ACTIVE, INACTIVE or retained.
    pub(super) traffic: &'static str,
    /// Empty until the replica listens.
    pub(super) address: String,
    /// Why the route failed; empty if it did not.
    pub(super) failure: String,
}

impl DemoFrame {
    /// `revisions` are the ids of version 1, 2, and so on.
    pub(super) fn new(
        deployment: &Deployment,
        routes: &[Route],
        revisions: &[String],
        tally: RequestTally,
    ) -> Self {
        let messages = deployment.blockers.iter().map(|it| it.message.as_str());
        // The server lists routes oldest first, so that a route keeps its number.
        let mut counts = vec![0; revisions.len()];
        let lines = routes.iter().filter_map(|route| {
            let version = revisions.iter().position(|id| *id == route.revision_id)?;
            counts[version] += 1;
            let name = format!("v{}-{}", version + 1, counts[version]);
            Some(RouteRow::new(
                name,
                RouteColour::of(route, deployment),
                route,
            ))
        });
        let share = deployment.split.as_ref().map(|split| {
            let share = permille::to_words(split.effective_permille);
            format!(", {share} of the requests to green")
        });
        Self {
            state: enum_names::state(deployment) + &share.unwrap_or_default(),
            waits_for: messages.collect::<Vec<_>>().join(" | "),
            routes: lines.collect(),
            tally,
        }
    }

    /// A line for each difference from an earlier frame.
    pub(super) fn changes_since(&self, earlier: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        if (&self.state, &self.waits_for) != (&earlier.state, &earlier.waits_for) {
            lines.push(self.headline());
        }
        let changed = self.routes.iter().filter(|it| !earlier.routes.contains(it));
        lines.extend(changed.map(|it| it.text(&padded_name(it.colour))));
        // The counts change with every frame. They are listed with a change of state only, or
        // when a request fails.
        let state_changed = self.state != earlier.state && self.tally.total() > 0;
        if state_changed || self.tally.failed > earlier.tally.failed {
            lines.push(self.requests());
        }
        lines
    }

    /// State of the deployment, and what it waits for.
    pub(super) fn headline(&self) -> String {
        match self.waits_for.as_str() {
            "" => self.state.clone(),
            reason => format!("{}: {reason}", self.state),
        }
    }

    /// The results of the requests, on one line.
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

impl RouteRow {
    fn new(name: String, colour: RouteColour, route: &Route) -> Self {
        Self {
            name,
            colour,
            status: enum_names::status(route.status()),
            health: enum_names::health(route.health()),
            // It is INACTIVE too, but what it is kept for says more.
            traffic: if route.retained {
                "retained"
            } else {
                enum_names::traffic(route.traffic_status())
            },
            address: route.address.clone(),
            failure: route.failure.clone(),
        }
    }

    /// The route on one line. The caller formats the name of the colour.
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

    pub(super) fn has_ended(&self) -> bool {
        [RouteStatus::Terminated, RouteStatus::FailedToStart]
            .map(enum_names::status)
            .contains(&self.status)
    }
}

/// The name of a colour, padded to the longest.
pub(super) fn padded_name(colour: RouteColour) -> String {
    format!("{:<5}", colour.name())
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{
        Blocker, Deployment, DeploymentLifecycle, Route, RouteHealthStatus, RouteStatus,
        RouteTrafficStatus,
    };

    use super::{DemoFrame, RouteColour};
    use crate::demo::load_generator::RequestTally;

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

    fn frame(routes: &[Route]) -> DemoFrame {
        let revisions = ["one", "two"].map(str::to_owned);
        DemoFrame::new(&deployment(), routes, &revisions, RequestTally::default())
    }

    #[test]
    fn routes_are_numbered_in_their_version_and_have_its_colour() {
        let routes = ["one", "one", "two"].map(|it| route(it, RouteStatus::Running));
        let frame = frame(&routes);
        let seen: Vec<_> = frame
            .routes
            .iter()
            .map(|it| (it.name.as_str(), it.colour))
            .collect();
        let expected = [
            ("v1-1", RouteColour::Blue),
            ("v1-2", RouteColour::Blue),
            ("v2-1", RouteColour::Green),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn only_changes_are_listed() {
        let before = frame(&[route("one", RouteStatus::Running)]);
        let first = before.changes_since(&DemoFrame::default());
        assert_eq!(
            first,
            [
                "READY: someone must promote",
                "blue  v1-1  RUNNING      HEALTHY     ACTIVE   127.0.0.1:80",
            ]
        );
        assert!(before.changes_since(&before).is_empty());

        let after = frame(&[
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
    fn requests_are_listed_when_one_fails_or_the_state_changes() {
        let before = frame(&[]);
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
