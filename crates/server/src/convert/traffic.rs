//! Traffic tables.

use std::collections::HashMap;

use viridian_proto::v1;
use viridian_store::{TrafficEndpoint, TrafficTable};
use viridian_strategy::{FULL_WEIGHT, RevisionId};

use super::protocol::protocol;

/// A traffic table, to the wire.
pub(crate) fn table(table: &TrafficTable) -> v1::TrafficTable {
    let weights = table.weights.iter().map(|share| v1::RevisionWeight {
        revision_id: share.revision.to_string(),
        asked_permille: share.asked.into(),
        weight_permille: share.weight.into(),
    });
    let preview = table.preview.iter().map(|endpoint| v1::TrafficEndpoint {
        route_id: endpoint.route.to_string(),
        address: endpoint.address.clone(),
        revision_id: text(table.deploying),
        // No traffic goes there.
        ratio: 0.0,
        weight_permille: 0,
    });
    v1::TrafficTable {
        deployment_id: table.deployment.to_string(),
        project: table.project.clone(),
        name: table.name.clone(),
        protocol: protocol(table.protocol).into(),
        epoch: table.epoch,
        revision_id: text(table.revision),
        endpoints: endpoints(table),
        weights: weights.collect(),
        preview: preview.collect(),
        preview_revision_id: match table.preview.is_empty() {
            true => String::new(),
            false => text(table.deploying),
        },
        split_seed: table.split_seed,
        commit_id: table.commit.map(|id| id.0.to_string()).unwrap_or_default(),
    }
}

fn endpoints(table: &TrafficTable) -> Vec<v1::TrafficEndpoint> {
    // By revision if they have shares; otherwise all endpoints share everything.
    let side = |endpoint: &TrafficEndpoint| endpoint.revision.filter(|_| is_split(table));
    let mut places: HashMap<Option<RevisionId>, Place> = HashMap::new();
    for endpoint in &table.endpoints {
        places.entry(side(endpoint)).or_default().count += 1;
    }
    let endpoint = |endpoint: &TrafficEndpoint| {
        let side = side(endpoint);
        let share = table.weights.iter().find(|it| Some(it.revision) == side);
        let share = share.map_or(FULL_WEIGHT, |share| share.weight);
        let place = places.entry(side).or_default();
        v1::TrafficEndpoint {
            route_id: endpoint.route.to_string(),
            address: endpoint.address.clone(),
            ratio: endpoint.ratio,
            revision_id: text(endpoint.revision),
            weight_permille: place.next_part_of(share),
        }
    };
    table.endpoints.iter().map(endpoint).collect()
}

fn is_split(table: &TrafficTable) -> bool {
    !table.weights.is_empty()
}

/// How many endpoints share something, and which of them is next.
#[derive(Default)]
struct Place {
    count: i32,
    next: i32,
}

impl Place {
    /// The part of the next endpoint. All parts add up to the whole.
    fn next_part_of(&mut self, whole: u16) -> i32 {
        // What the division leaves over goes to some of them, at even distances.
        let up_to = |place: i32| i32::from(whole) * place / self.count.max(1);
        let part = up_to(self.next + 1) - up_to(self.next);
        self.next += 1;
        part
    }
}

fn text(revision: Option<RevisionId>) -> String {
    revision.map(|id| id.to_string()).unwrap_or_default()
}
