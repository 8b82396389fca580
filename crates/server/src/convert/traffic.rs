//! Traffic tables.

use viridian_proto::v1;
use viridian_store::TrafficTable;

/// A traffic table, to the wire.
pub(crate) fn table(table: &TrafficTable) -> v1::TrafficTable {
    v1::TrafficTable {
        deployment_id: table.deployment.to_string(),
        epoch: table.epoch,
        revision_id: table.revision.map(|id| id.to_string()).unwrap_or_default(),
        endpoints: table
            .endpoints
            .iter()
            .map(|endpoint| v1::TrafficEndpoint {
                route_id: endpoint.route.to_string(),
                address: endpoint.address.clone(),
                ratio: endpoint.ratio,
            })
            .collect(),
    }
}
