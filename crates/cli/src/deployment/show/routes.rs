//! Routes as text.

use viridian_proto::v1::{Deployment, Route};

use super::{OutputStyle, RevisionNames, age::since};
use crate::{
    enum_names,
    table::{TableColumn, clean, table},
};

/// The role of a route's revision in its deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RouteColour {
    /// The current revision.
    Blue,
    /// The deploying revision.
    Green,
    /// An earlier revision.
    Old,
}

impl RouteColour {
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

/// A table of routes.
pub(crate) fn routes(
    deployment: &Deployment,
    routes: &[Route],
    revisions: &RevisionNames,
    style: OutputStyle,
) -> String {
    let row = |it: &Route| {
        let colour = RouteColour::of(it, deployment);
        vec![
            it.id.clone(),
            match colour {
                RouteColour::Blue => style.blue(colour.name()),
                RouteColour::Green => style.green(colour.name()),
                RouteColour::Old => style.faint(colour.name()),
            },
            revisions.number(&it.revision_id),
            style.status(it.status()),
            style.health(it.health()),
            traffic(it),
            it.status_update_time
                .as_ref()
                .map_or_else(|| "-".to_owned(), |at| since(at, style.now)),
            place_or_reason(it, style),
        ]
    };
    table(
        &[
            TableColumn::name("ROUTE", 12),
            TableColumn::optional("COLOUR"),
            TableColumn::optional("REVISION"),
            TableColumn::whole("STATUS"),
            TableColumn::whole("HEALTH"),
            TableColumn::whole("TRAFFIC"),
            TableColumn::optional("SINCE"),
            TableColumn::text("ADDRESS OR FAILURE", 14),
        ],
        routes.iter().map(row).collect(),
        style.width,
    )
}

/// Why it failed; or where it listens, and why it is not healthy.
fn place_or_reason(route: &Route, style: OutputStyle) -> String {
    if !route.failure.is_empty() {
        return style.bad(&clean(&route.failure));
    }
    match route.health_detail.as_str() {
        "" => clean(&route.address),
        detail => format!("{} {}", clean(&route.address), style.bad(&clean(detail))),
    }
}

/// ACTIVE with its share if that is not all, INACTIVE, or `retained`.
pub(crate) fn traffic(route: &Route) -> String {
    let status = enum_names::traffic(route.traffic_status());
    // A retained route is INACTIVE too, but what it is kept for says more.
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
        super::{RevisionNames, fixture},
        routes,
    };

    #[test]
    fn a_route_is_a_line() {
        let (deployment, list) = (fixture::at_the_gate(), fixture::routes());
        let revisions = RevisionNames::new(&fixture::revisions());
        let plain = routes(&deployment, &list, &revisions, fixture::plain());
        insta::assert_snapshot!("routes", plain);
        let coloured = routes(&deployment, &list, &revisions, fixture::coloured());
        assert_eq!(console::strip_ansi_codes(&coloured), plain);
        insta::assert_snapshot!("routes_coloured", coloured.replace('\u{1b}', "␛"));
    }
}
