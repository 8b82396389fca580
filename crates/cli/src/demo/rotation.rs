//! Which replica takes the next request: what a proxy does with the traffic
//! table.

use viridian_proto::v1::TrafficTable;

/// Smooth weighted round robin over the newest traffic table.
///
/// Each pick gives every endpoint its weight as credit, takes the one with the
/// most, and takes the sum of the weights off it.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    epoch: Option<i64>,
    revision: String,
    endpoints: Vec<Endpoint>,
}

#[derive(Debug)]
struct Endpoint {
    address: String,
    weight: f64,
    credit: f64,
}

impl Rotation {
    /// Takes a table from the stream. One that is not newer than the present
    /// one, as a new stream may begin with, changes nothing.
    pub(super) fn follow(&mut self, table: TrafficTable) {
        if self.epoch.is_some_and(|present| table.epoch <= present) {
            return;
        }
        let endpoint = |it: viridian_proto::v1::TrafficEndpoint| Endpoint {
            address: it.address,
            weight: it.ratio,
            credit: 0.0,
        };
        self.epoch = Some(table.epoch);
        self.revision = table.revision_id;
        self.endpoints = table.endpoints.into_iter().map(endpoint).collect();
    }

    /// The address that takes the next request, if there is any.
    pub(super) fn next(&mut self) -> Option<String> {
        let total: f64 = self.endpoints.iter().map(|it| it.weight).sum();
        for endpoint in &mut self.endpoints {
            endpoint.credit += endpoint.weight;
        }
        let best = self
            .endpoints
            .iter_mut()
            .reduce(|best, it| if it.credit > best.credit { it } else { best })?;
        best.credit -= total;
        Some(best.address.clone())
    }

    /// How many replicas of a revision take requests.
    pub(super) fn serving(&self, revision_id: &str) -> usize {
        if self.revision == revision_id {
            self.endpoints.len()
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{TrafficEndpoint, TrafficTable};

    use super::Rotation;

    fn table(epoch: i64, revision: &str, endpoints: &[(&str, f64)]) -> TrafficTable {
        let endpoint = |&(address, ratio): &(&str, f64)| TrafficEndpoint {
            route_id: String::new(),
            address: address.to_owned(),
            ratio,
        };
        TrafficTable {
            deployment_id: "d".to_owned(),
            epoch,
            revision_id: revision.to_owned(),
            endpoints: endpoints.iter().map(endpoint).collect(),
        }
    }

    fn picks(rotation: &mut Rotation, count: usize) -> String {
        (0..count).filter_map(|_| rotation.next()).collect()
    }

    #[test]
    fn nothing_to_pick_from_is_none() {
        assert_eq!(Rotation::default().next(), None);
    }

    #[test]
    fn equal_weights_take_turns() {
        let mut rotation = Rotation::default();
        rotation.follow(table(1, "one", &[("a", 1.0), ("b", 1.0), ("c", 1.0)]));
        assert_eq!(picks(&mut rotation, 6), "abcabc");
        assert_eq!(rotation.serving("one"), 3);
        assert_eq!(rotation.serving("two"), 0);
    }

    #[test]
    fn weights_are_kept_and_spread() {
        let mut rotation = Rotation::default();
        rotation.follow(table(1, "one", &[("a", 1.0), ("b", 0.25)]));
        assert_eq!(picks(&mut rotation, 10), "aabaaaabaa");
    }

    #[test]
    fn the_newest_table_holds() {
        let mut rotation = Rotation::default();
        rotation.follow(table(4, "two", &[("b", 1.0)]));
        rotation.follow(table(3, "one", &[("a", 1.0)]));
        assert_eq!(picks(&mut rotation, 2), "bb");
        rotation.follow(table(5, "three", &[("c", 1.0)]));
        assert_eq!(picks(&mut rotation, 2), "cc");
    }

    #[test]
    fn a_table_without_endpoints_leaves_nobody() {
        let mut rotation = Rotation::default();
        rotation.follow(table(1, "one", &[("a", 1.0)]));
        rotation.follow(table(2, "one", &[]));
        assert_eq!(rotation.next(), None);
    }
}
