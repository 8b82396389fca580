//! Routes.

use viridian_proto::v1::{Deployment, Route};

use super::{Look, Revisions, age::since};
use crate::{
    names,
    table::{clean, table},
};

/// The part of a route in a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Colour {
    /// Of the current revision.
    Blue,
    /// Of the revision that is being deployed.
    Green,
    /// Of one before.
    Old,
}

impl Colour {
    pub(crate) fn of(route: &Route, deployment: &Deployment) -> Self {
        if route.revision_id == deployment.current_revision_id {
            Self::Blue
        } else if route.revision_id == deployment.deploying_revision_id {
            Self::Green
        } else {
            Self::Old
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
            Self::Old => "old",
        }
    }
}

/// Routes, one a line.
pub(crate) fn routes(
    deployment: &Deployment,
    routes: &[Route],
    revisions: &Revisions,
    look: Look,
) -> String {
    let row = |it: &Route| {
        let colour = Colour::of(it, deployment);
        vec![
            it.id.clone(),
            match colour {
                Colour::Blue => look.blue(colour.name()),
                Colour::Green => look.green(colour.name()),
                Colour::Old => look.faint(colour.name()),
            },
            revisions.number(&it.revision_id),
            look.status(it.status()),
            look.health(it.health()),
            traffic(it),
            it.status_update_time
                .as_ref()
                .map_or_else(|| "-".to_owned(), |at| since(at, look.now)),
            match it.failure.as_str() {
                "" => clean(&it.address),
                failure => look.bad(&clean(failure)),
            },
        ]
    };
    table(
        &[
            "ROUTE",
            "COLOUR",
            "REVISION",
            "STATUS",
            "HEALTH",
            "TRAFFIC",
            "SINCE",
            "ADDRESS OR FAILURE",
        ],
        routes.iter().map(row).collect(),
    )
}

/// Whether it takes traffic, how much if not all, or that it is kept.
pub(crate) fn traffic(route: &Route) -> String {
    let status = names::traffic(route.traffic_status());
    if route.retained {
        "retained".to_owned()
    } else if route.traffic_ratio > 0.0 && route.traffic_ratio < 1.0 {
        format!("{status} {:.0}%", route.traffic_ratio * 100.0)
    } else {
        status.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Revisions, fixture},
        routes,
    };

    #[test]
    fn one_a_line() {
        let (deployment, list) = (fixture::at_the_gate(), fixture::routes());
        let revisions = Revisions::new(&fixture::revisions());
        let plain = routes(&deployment, &list, &revisions, fixture::plain());
        insta::assert_snapshot!("routes", plain);
        let coloured = routes(&deployment, &list, &revisions, fixture::coloured());
        assert_eq!(console::strip_ansi_codes(&coloured), plain);
        insta::assert_snapshot!("routes_coloured", coloured.replace('\u{1b}', "␛"));
    }
}
