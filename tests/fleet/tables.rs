use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::sleep;
use tonic::Status;
use viridian_proto::v1::{TrafficTable, WatchTrafficRequest, watch_traffic_response::Payload};

use super::kind::REPLICAS;
use crate::harness::{Api, ServerUrls};

/// A proxy: it follows all tables, at one server after the other.
pub(super) struct TableFollower {
    server_urls: ServerUrls,
    rng: StdRng,
    seen: SharedTables,
}

pub(super) type SharedTables = Arc<Mutex<HashMap<String, SeenTable>>>;

/// What a proxy saw of one deployment.
#[derive(Clone, Debug)]
pub(super) struct SeenTable {
    pub(super) table: TrafficTable,
    /// The fewest and the most endpoints since it had all for the first time.
    pub(super) range: Option<(usize, usize)>,
}

impl TableFollower {
    pub(super) fn new(server_urls: ServerUrls, seed: u64) -> Self {
        Self {
            server_urls,
            rng: StdRng::seed_from_u64(seed),
            seen: Arc::default(),
        }
    }

    pub(super) fn seen(&self) -> SharedTables {
        Arc::clone(&self.seen)
    }

    /// Follows them for ever. Panics when a table goes back.
    pub(super) async fn work(mut self) {
        loop {
            if let Ok(api) = self.server_urls.any(&mut self.rng).await {
                // However it ends, it goes on elsewhere.
                let _ = self.follow(&api).await;
            }
            sleep(PAUSE).await;
        }
    }

    async fn follow(&mut self, api: &Api) -> Result<(), Status> {
        let request = WatchTrafficRequest {
            deployments: Vec::new(),
            all: true,
            ..WatchTrafficRequest::default()
        };
        let mut stream = api.traffic().watch_traffic(request).await?;
        let stream = stream.get_mut();
        // First come those that are there.
        let present = lock(&self.seen).len();
        for _ in 0..present + self.rng.random_range(100..2_000) {
            let message = stream.message().await?;
            let message = message.expect("a watch does not end by itself");
            if let Some(Payload::Table(table)) = message.payload {
                take(&mut lock(&self.seen), table);
            }
        }
        Ok(())
    }
}

fn take(seen: &mut HashMap<String, SeenTable>, table: TrafficTable) {
    let table = without_preview(table);
    let count = table.endpoints.len();
    let last = seen.get(&table.deployment_id);
    let range = match last.and_then(|last| last.range) {
        Some((least, most)) => Some((least.min(count), most.max(count))),
        None if count == REPLICAS as usize => Some((count, count)),
        None => None,
    };
    if let Some(last) = last {
        assert!(
            table.epoch > last.table.epoch || table == last.table,
            "{table:?} behind {last:?}"
        );
    }
    seen.insert(table.deployment_id.clone(), SeenTable { table, range });
}

/// What of a table is the same as long as its epoch is: what has no traffic makes no new one.
pub(super) fn without_preview(table: TrafficTable) -> TrafficTable {
    TrafficTable {
        preview: Vec::new(),
        preview_revision_id: String::new(),
        ..table
    }
}

pub(super) fn lock(seen: &SharedTables) -> MutexGuard<'_, HashMap<String, SeenTable>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

const PAUSE: Duration = Duration::from_millis(20);
