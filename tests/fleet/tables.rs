use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::sleep;
use tonic::Status;
use viridian_proto::v1::{TrafficTable, WatchTrafficRequest, watch_traffic_response::Payload};

use super::{doors::Doors, kind::REPLICAS};
use crate::harness::Api;

/// A proxy: it follows all tables, at one server after the other.
pub(super) struct Proxy {
    doors: Doors,
    dice: StdRng,
    seen: Shared,
}

pub(super) type Shared = Arc<Mutex<HashMap<String, Seen>>>;

/// What a proxy saw of one deployment.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) table: TrafficTable,
    /// The fewest and the most endpoints since it had all for the first time.
    pub(super) range: Option<(usize, usize)>,
}

impl Proxy {
    pub(super) fn new(doors: Doors, seed: u64) -> Self {
        Self {
            doors,
            dice: StdRng::seed_from_u64(seed),
            seen: Arc::default(),
        }
    }

    pub(super) fn seen(&self) -> Shared {
        Arc::clone(&self.seen)
    }

    /// Follows them for ever. Panics when a table goes back.
    pub(super) async fn work(mut self) {
        loop {
            if let Ok(api) = self.doors.any(&mut self.dice).await {
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
        };
        let mut stream = api.traffic().watch_traffic(request).await?;
        let stream = stream.get_mut();
        // First come those that are there.
        let present = lock(&self.seen).len();
        for _ in 0..present + self.dice.random_range(100..2_000) {
            let message = stream.message().await?;
            let message = message.expect("a watch does not end by itself");
            if let Some(Payload::Table(table)) = message.payload {
                take(&mut lock(&self.seen), table);
            }
        }
        Ok(())
    }
}

fn take(seen: &mut HashMap<String, Seen>, table: TrafficTable) {
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
    seen.insert(table.deployment_id.clone(), Seen { table, range });
}

pub(super) fn lock(seen: &Shared) -> MutexGuard<'_, HashMap<String, Seen>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

const PAUSE: Duration = Duration::from_millis(20);
