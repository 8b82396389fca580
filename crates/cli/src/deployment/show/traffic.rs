//! A traffic table as text.

use viridian_proto::v1::TrafficTable;

use super::{OutputStyle, RevisionNames};
use crate::{
    elide,
    table::{TableColumn, clean, counted, table},
};

/// The endpoints that get requests, and the version of the table.
pub(crate) fn traffic_table(
    traffic: &TrafficTable,
    revisions: &RevisionNames,
    style: OutputStyle,
) -> String {
    let head = format!(
        "epoch {}, {}, revision {}",
        traffic.epoch,
        counted(traffic.endpoints.len() as u64, "endpoint"),
        revisions.full(&traffic.revision_id),
    );
    let head = match style.width {
        Some(width) => elide::end(&head, width),
        None => head,
    };
    if traffic.endpoints.is_empty() {
        return format!("{head}\n{}", style.bad("no route serves"));
    }
    let rows = traffic.endpoints.iter().map(|it| {
        vec![
            clean(&it.address),
            format!("{:.0}%", it.ratio * 100.0),
            it.route_id.clone(),
        ]
    });
    let header = [
        TableColumn::name("ADDRESS", 14),
        TableColumn::whole("SHARE"),
        TableColumn::name("ROUTE", 12),
    ];
    format!("{head}\n\n{}", table(&header, rows.collect(), style.width))
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{TrafficEndpoint, TrafficTable};

    use super::{
        super::{RevisionNames, fixture},
        traffic_table,
    };

    #[test]
    fn an_endpoint_is_a_line() {
        let revisions = RevisionNames::new(&fixture::revisions());
        let mut table = TrafficTable {
            deployment_id: "d".to_owned(),
            epoch: 7,
            revision_id: "rev-1".to_owned(),
            endpoints: vec![TrafficEndpoint {
                route_id: "route-1".to_owned(),
                address: "10.0.0.1:80".to_owned(),
                ratio: 1.0,
                ..TrafficEndpoint::default()
            }],
            ..TrafficTable::default()
        };
        assert_eq!(
            traffic_table(&table, &revisions, fixture::plain()),
            "epoch 7, 1 endpoint, revision 1 (cart:1), rev-1\n\n\
             ADDRESS      SHARE  ROUTE\n10.0.0.1:80  100%   route-1"
        );
        table.endpoints.clear();
        assert_eq!(
            traffic_table(&table, &revisions, fixture::plain()),
            "epoch 7, 0 endpoints, revision 1 (cart:1), rev-1\nno route serves"
        );
    }
}
