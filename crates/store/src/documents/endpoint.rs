//! The lines of a traffic table.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use viridian_strategy::RouteId;

use super::persisted;
use crate::Endpoint;

persisted!(Vec<Endpoint> => EndpointsDocument<'_>);

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct EndpointsDocument<'a>(Vec<EndpointDocument<'a>>);

#[derive(Serialize, Deserialize)]
struct EndpointDocument<'a> {
    route: Uuid,
    address: Cow<'a, str>,
    ratio: f64,
}

impl<'a> From<&'a Vec<Endpoint>> for EndpointsDocument<'a> {
    fn from(endpoints: &'a Vec<Endpoint>) -> Self {
        Self(endpoints.iter().map(Into::into).collect())
    }
}

impl From<EndpointsDocument<'_>> for Vec<Endpoint> {
    fn from(EndpointsDocument(endpoints): EndpointsDocument<'_>) -> Self {
        endpoints.into_iter().map(Into::into).collect()
    }
}

impl<'a> From<&'a Endpoint> for EndpointDocument<'a> {
    fn from(endpoint: &'a Endpoint) -> Self {
        let Endpoint {
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

impl From<EndpointDocument<'_>> for Endpoint {
    fn from(document: EndpointDocument<'_>) -> Self {
        Self {
            route: RouteId(document.route),
            address: document.address.into_owned(),
            ratio: document.ratio,
        }
    }
}
