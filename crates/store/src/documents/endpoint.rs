//! The lines of a traffic table.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use viridian_strategy::RouteId;

use super::persisted;
use crate::record::TableLine;

persisted!(Vec<TableLine> => EndpointsDocument<'_>);

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct EndpointsDocument<'a>(Vec<EndpointDocument<'a>>);

#[derive(Serialize, Deserialize)]
struct EndpointDocument<'a> {
    route: Uuid,
    address: Cow<'a, str>,
    ratio: f64,
}

impl<'a> From<&'a Vec<TableLine>> for EndpointsDocument<'a> {
    fn from(endpoints: &'a Vec<TableLine>) -> Self {
        Self(endpoints.iter().map(Into::into).collect())
    }
}

impl From<EndpointsDocument<'_>> for Vec<TableLine> {
    fn from(EndpointsDocument(endpoints): EndpointsDocument<'_>) -> Self {
        endpoints.into_iter().map(Into::into).collect()
    }
}

impl<'a> From<&'a TableLine> for EndpointDocument<'a> {
    fn from(endpoint: &'a TableLine) -> Self {
        let TableLine {
            route,
            address,
            ratio,
        } = endpoint;
        Self {
            route: route.0,
            address: address.into(),
            ratio: *ratio,
        }
    }
}

impl From<EndpointDocument<'_>> for TableLine {
    fn from(document: EndpointDocument<'_>) -> Self {
        Self {
            route: RouteId(document.route),
            address: document.address.into_owned(),
            ratio: document.ratio,
        }
    }
}
