//! The feed of traffic tables.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use viridian_proto::v1;
use viridian_store::{Database, StoreError, Tables, TrafficTable};
use viridian_strategy::DeploymentId;

use super::topics::Topics;
use crate::convert::traffic::table;

/// Hands each new table to those who follow it.
pub(crate) struct TableFeed {
    /// By deployment, or none for all of them.
    followers: Mutex<Topics<Option<DeploymentId>, Slot>>,
    /// Told when there is someone who follows.
    follower: Arc<Notify>,
}

/// What a stream has yet to take: the newest table of each deployment.
#[derive(Default)]
struct Slot {
    untaken: Mutex<HashMap<DeploymentId, Arc<v1::TrafficTable>>>,
    wake: Notify,
}

/// Which tables may be new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    Any,
    Of(HashSet<DeploymentId>),
}

/// A stream's place in the feed, until it is dropped.
pub(crate) struct Subscription<'a> {
    feed: &'a TableFeed,
    topics: Vec<Option<DeploymentId>>,
    slot: Arc<Slot>,
}

impl TableFeed {
    pub(super) fn new(follower: Arc<Notify>) -> Self {
        Self {
            followers: Mutex::new(Topics::new()),
            follower,
        }
    }

    /// Follows some tables from now on, or all.
    pub(crate) fn subscribe(&self, wanted: Option<&HashSet<DeploymentId>>) -> Subscription<'_> {
        let topics: Vec<_> = match wanted {
            Some(ids) => ids.iter().copied().map(Some).collect(),
            None => vec![None],
        };
        let slot = Arc::default();
        lock(&self.followers).insert(topics.iter().copied(), &slot);
        self.follower.notify_one();
        Subscription {
            feed: self,
            topics,
            slot,
        }
    }

    /// Whether nobody follows.
    pub(super) fn rests(&self) -> bool {
        lock(&self.followers).is_empty()
    }

    /// Reads what may be new and is followed, and hands it out.
    pub(super) async fn refresh(
        &self,
        database: &Database,
        changed: &Changed,
    ) -> Result<(), StoreError> {
        let Some(ids) = self.followed(changed) else {
            return self.refresh_all(database).await;
        };
        for ids in ids.chunks(CHUNK) {
            let tables = database.traffic_tables(Tables::Of(ids.to_vec())).await?;
            self.publish(tables);
        }
        Ok(())
    }

    async fn refresh_all(&self, database: &Database) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let limit = CHUNK as i64;
            let page = database
                .traffic_tables(Tables::All { after, limit })
                .await?;
            let full = page.len() == CHUNK;
            after = page.last().map(|table| table.deployment);
            self.publish(page);
            if !full {
                return Ok(());
            }
        }
    }

    /// Those of the changed that someone follows; none when that is all there
    /// are.
    fn followed(&self, changed: &Changed) -> Option<Vec<DeploymentId>> {
        let followers = lock(&self.followers);
        let all = !followers.of(&None).is_empty();
        match changed {
            Changed::Any if all => None,
            Changed::Any => Some(followers.followed().copied().flatten().collect()),
            Changed::Of(ids) => {
                let ids = ids.iter().copied();
                let followed = |id: &DeploymentId| all || !followers.of(&Some(*id)).is_empty();
                Some(ids.filter(followed).collect())
            }
        }
    }

    fn publish(&self, tables: Vec<TrafficTable>) {
        let followers = lock(&self.followers);
        for new in tables {
            let id = new.deployment;
            let new = Arc::new(table(new));
            for slot in followers.of(&Some(id)).iter().chain(followers.of(&None)) {
                slot.put(id, &new);
            }
        }
    }
}

impl Subscription<'_> {
    /// Takes the newest tables that have come. Some may be older than what was
    /// read since it was subscribed.
    pub(crate) fn take(&self) -> HashMap<DeploymentId, Arc<v1::TrafficTable>> {
        std::mem::take(&mut *lock(&self.slot.untaken))
    }

    /// Resolves when there is something to take. Loses nothing when it is
    /// dropped before.
    pub(crate) async fn woken(&self) {
        self.slot.wake.notified().await;
    }
}

impl Drop for Subscription<'_> {
    fn drop(&mut self) {
        lock(&self.feed.followers).remove(&self.topics, &self.slot);
    }
}

impl Slot {
    fn put(&self, id: DeploymentId, new: &Arc<v1::TrafficTable>) {
        lock(&self.untaken).insert(id, Arc::clone(new));
        self.wake.notify_one();
    }
}

impl Changed {
    pub(super) fn none() -> Self {
        Self::Of(HashSet::new())
    }

    pub(super) fn add(&mut self, ids: impl IntoIterator<Item = DeploymentId>) {
        if let Self::Of(all) = self {
            all.extend(ids);
        }
    }

    pub(super) fn is_none(&self) -> bool {
        *self == Self::none()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const CHUNK: usize = 1_000;
