//! Load balancing over the traffic table, as a proxy would do it.

use viridian_proto::v1::TrafficTable;

/// Smooth weighted round robin over the newest traffic table.
///
/// Each pick adds its weight to the credit of every endpoint, picks the endpoint with
/// the most credit, and subtracts the sum of the weights from it.
#[derive(Debug, Default)]
pub(super) struct WeightedRoundRobin {
    epoch: Option<i64>,
    revision: String,
    endpoints: Vec<WeightedEndpoint>,
}

#[derive(Debug)]
struct WeightedEndpoint {
    address: String,
    weight: f64,
    credit: f64,
}

impl WeightedRoundRobin {
    /// Replaces the table. A table that is not newer changes nothing: a new stream may
    /// begin with the one that is already in use.
    pub(super) fn update(&mut self, table: TrafficTable) {
        if self.epoch.is_some_and(|present| table.epoch <= present) {
            return;
        }
        let endpoint = |it: viridian_proto::v1::TrafficEndpoint| WeightedEndpoint {
            address: it.address,
            weight: it.ratio,
            credit: 0.0,
        };
        self.epoch = Some(table.epoch);
        self.revision = table.revision_id;
        // With new credits: the old ones belong to the weights of another table.
        self.endpoints = table.endpoints.into_iter().map(endpoint).collect();
    }

    /// The address for the next request. None if the table is empty.
    pub(super) fn next(&mut self) -> Option<String> {
        let total: f64 = self.endpoints.iter().map(|it| it.weight).sum();
        for endpoint in &mut self.endpoints {
            endpoint.credit += endpoint.weight;
        }
        // On a tie the first one wins, so that equal weights take turns in order.
        let best = self
            .endpoints
            .iter_mut()
            .reduce(|best, it| if it.credit > best.credit { it } else { best })?;
        best.credit -= total;
        Some(best.address.clone())
    }

    /// Replicas of a revision that are in the table.
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

    use super::WeightedRoundRobin;

    fn table(epoch: i64, revision: &str, endpoints: &[(&str, f64)]) -> TrafficTable {
        let endpoint = |&(address, ratio): &(&str, f64)| TrafficEndpoint {
            route_id: String::new(),
            address: address.to_owned(),
            ratio,
            ..TrafficEndpoint::default()
        };
        TrafficTable {
            deployment_id: "d".to_owned(),
            epoch,
            revision_id: revision.to_owned(),
            endpoints: endpoints.iter().map(endpoint).collect(),
            ..TrafficTable::default()
        }
    }

    fn picks(round_robin: &mut WeightedRoundRobin, count: usize) -> String {
        (0..count).filter_map(|_| round_robin.next()).collect()
    }

    #[test]
    fn no_table_gives_no_address() {
        assert_eq!(WeightedRoundRobin::default().next(), None);
    }

    #[test]
    fn equal_weights_take_turns() {
        let mut round_robin = WeightedRoundRobin::default();
        round_robin.update(table(1, "one", &[("a", 1.0), ("b", 1.0), ("c", 1.0)]));
        assert_eq!(picks(&mut round_robin, 6), "abcabc");
        assert_eq!(round_robin.serving("one"), 3);
        assert_eq!(round_robin.serving("two"), 0);
    }

    #[test]
    fn picks_follow_the_weights_evenly() {
        let mut round_robin = WeightedRoundRobin::default();
        round_robin.update(table(1, "one", &[("a", 1.0), ("b", 0.25)]));
        assert_eq!(picks(&mut round_robin, 10), "aabaaaabaa");
    }

    #[test]
    fn an_older_table_changes_nothing() {
        let mut round_robin = WeightedRoundRobin::default();
        round_robin.update(table(4, "two", &[("b", 1.0)]));
        round_robin.update(table(3, "one", &[("a", 1.0)]));
        assert_eq!(picks(&mut round_robin, 2), "bb");
        round_robin.update(table(5, "three", &[("c", 1.0)]));
        assert_eq!(picks(&mut round_robin, 2), "cc");
    }

    #[test]
    fn a_table_without_endpoints_gives_no_address() {
        let mut round_robin = WeightedRoundRobin::default();
        round_robin.update(table(1, "one", &[("a", 1.0)]));
        round_robin.update(table(2, "one", &[]));
        assert_eq!(round_robin.next(), None);
    }
}
