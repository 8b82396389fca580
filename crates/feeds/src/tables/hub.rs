//! Hands traffic tables to those who subscribed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;
use viridian_store::{Projects, Store, StoreError, Tables, TrafficTable};
use viridian_strategy::DeploymentId;

use crate::{lock::lock, subscriptions::Subscriptions};

/// The newest tables, by their deployments.
pub(super) type NewestTables = HashMap<DeploymentId, Arc<TrafficTable>>;

/// Hands every new table to the mailboxes that subscribed to it.
pub(crate) struct TableHub {
    store: Store,
    /// By deployment, or by none for all of them.
    subscribers: Mutex<Subscriptions<Option<DeploymentId>, TableMailbox>>,
    /// Notified at each new subscription.
    subscribed: Arc<Notify>,
}

/// What a watch has yet to take. Its room is bounded by the number of deployments.
#[derive(Default)]
struct TableMailbox {
    newest: Mutex<NewestTables>,
    delivered: Notify,
}

/// Which tables may be new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DirtyTables {
    Any,
    Of(HashSet<DeploymentId>),
}

/// A watch's place in the hub, until it is dropped.
pub(super) struct TableSubscription {
    hub: Arc<TableHub>,
    topics: Vec<Option<DeploymentId>>,
    mailbox: Arc<TableMailbox>,
}

impl TableHub {
    pub(super) fn new(store: Store, subscribed: Arc<Notify>) -> Self {
        Self {
            store,
            subscribers: Mutex::new(Subscriptions::new()),
            subscribed,
        }
    }

    /// Subscribes to topics from now on.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        topics: Vec<Option<DeploymentId>>,
    ) -> TableSubscription {
        let mailbox = Arc::default();
        lock(&self.subscribers).insert(topics.iter().copied(), &mailbox);
        self.subscribed.notify_one();
        TableSubscription {
            hub: Arc::clone(self),
            topics,
            mailbox,
        }
    }

    /// Whether there is no subscription.
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.subscribers).is_empty()
    }

    /// Reads what may be new and is subscribed to, and hands it out.
    pub(crate) async fn refresh(&self, dirty: &DirtyTables) -> Result<(), StoreError> {
        let Some(ids) = self.subscribed_of(dirty) else {
            return self.refresh_all().await;
        };
        for ids in ids.chunks(PAGE_SIZE) {
            let tables = self
                .store
                .reader()
                .await?
                .traffic_tables(Tables::Of(ids.to_vec()), Projects::All)
                .await?;
            self.publish(tables);
        }
        Ok(())
    }

    async fn refresh_all(&self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let limit = PAGE_SIZE as i64;
            let page = self
                .store
                .reader()
                .await?
                .traffic_tables(Tables::All { after, limit }, Projects::All)
                .await?;
            let is_last = page.len() < PAGE_SIZE;
            after = page.last().map(|table| table.deployment);
            self.publish(page);
            if is_last {
                return Ok(());
            }
        }
    }

    /// Those of the dirty tables that have a subscription; none when that is every
    /// table there is.
    fn subscribed_of(&self, dirty: &DirtyTables) -> Option<Vec<DeploymentId>> {
        let subscribers = lock(&self.subscribers);
        let to_all = !subscribers.of(&None).is_empty();
        match dirty {
            DirtyTables::Any if to_all => None,
            DirtyTables::Any => Some(subscribers.topics().copied().flatten().collect()),
            DirtyTables::Of(ids) => {
                let ids = ids.iter().copied();
                let wanted = |id: &DeploymentId| to_all || !subscribers.of(&Some(*id)).is_empty();
                Some(ids.filter(wanted).collect())
            }
        }
    }

    fn publish(&self, tables: Vec<TrafficTable>) {
        let subscribers = lock(&self.subscribers);
        for table in tables {
            let id = table.deployment;
            let table = Arc::new(table);
            for mailbox in subscribers
                .of(&Some(id))
                .iter()
                .chain(subscribers.of(&None))
            {
                mailbox.put(id, &table);
            }
        }
    }
}

impl TableSubscription {
    /// Takes the newest tables that came. Some may be older than what was read since
    /// the subscription.
    pub(super) fn take(&self) -> NewestTables {
        std::mem::take(&mut *lock(&self.mailbox.newest))
    }

    /// Resolves when there is something to take. Cancel safe.
    pub(super) async fn delivered(&self) {
        self.mailbox.delivered.notified().await;
    }
}

impl Drop for TableSubscription {
    fn drop(&mut self) {
        lock(&self.hub.subscribers).remove(&self.topics, &self.mailbox);
    }
}

impl TableMailbox {
    fn put(&self, id: DeploymentId, table: &Arc<TrafficTable>) {
        lock(&self.newest).insert(id, Arc::clone(table));
        self.delivered.notify_one();
    }
}

impl DirtyTables {
    pub(crate) fn none() -> Self {
        Self::Of(HashSet::new())
    }

    pub(crate) fn add(&mut self, ids: impl IntoIterator<Item = DeploymentId>) {
        if let Self::Of(all) = self {
            all.extend(ids);
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::Of(ids) if ids.is_empty())
    }
}

/// Tables read at once.
pub(super) const PAGE_SIZE: usize = 1_000;
