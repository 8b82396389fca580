//! The lines of a traffic table, and the shares of revisions.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use viridian_strategy::{RevisionId, RevisionWeight, RouteId};

use super::persisted;
use crate::record::{TableLine, TableShares};

persisted!(Vec<TableLine> => EndpointsDocument<'_>);
persisted!(TableShares => SharesDocument);

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct EndpointsDocument<'a>(Vec<EndpointDocument<'a>>);

#[derive(Serialize, Deserialize)]
struct EndpointDocument<'a> {
    route: Uuid,
    address: Cow<'a, str>,
    ratio: f64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct SharesDocument {
    // Absent in records that had only a preview, which is not kept any more.
    #[serde(default)]
    weights: Vec<WeightDocument>,
}

#[derive(Serialize, Deserialize)]
struct WeightDocument {
    revision: Uuid,
    permille: u16,
}

impl From<&TableShares> for SharesDocument {
    fn from(TableShares { weights }: &TableShares) -> Self {
        let weight = |weight: &RevisionWeight| WeightDocument {
            revision: weight.revision.0,
            permille: weight.permille,
        };
        Self {
            weights: weights.iter().map(weight).collect(),
        }
    }
}

impl From<SharesDocument> for TableShares {
    fn from(SharesDocument { weights }: SharesDocument) -> Self {
        let weight = |weight: WeightDocument| RevisionWeight {
            revision: RevisionId(weight.revision),
            permille: weight.permille,
        };
        Self {
            weights: weights.into_iter().map(weight).collect(),
        }
    }
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
