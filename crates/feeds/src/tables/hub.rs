//! Hands traffic tables to those who subscribed.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;
use viridian_store::{DeploymentName, Projects, Store, StoreError, Tables, TrafficTable};
use viridian_strategy::DeploymentId;

use super::links::{NewestTables, SetLinks};
use crate::{lock::lock, subscriptions::Subscriptions};

/// Hands every new table to the mailboxes that subscribed to it.
pub(crate) struct TableHub {
    store: Store,
    /// By deployment, or by none for all of them.
    subscribers: Mutex<Subscriptions<Option<DeploymentId>, TableMailbox>>,
    /// By the names that they follow.
    followers: Mutex<NameFollowers>,
    /// Notified at each new subscription.
    subscribed: Arc<Notify>,
    /// How many subscriptions want what a set changed in one piece.
    together: AtomicUsize,
}

/// What a watch has yet to take. Its room is bounded by the number of deployments.
#[derive(Default)]
struct TableMailbox {
    newest: Mutex<Delivery>,
    delivered: Notify,
    /// What it is subscribed to. A name that it follows adds to it.
    topics: Mutex<Vec<Option<DeploymentId>>>,
}

/// The newest tables, and which of them one transaction changed.
#[derive(Default)]
pub(super) struct Delivery {
    pub(super) tables: NewestTables,
    pub(super) links: SetLinks,
}

/// Who follows which names, and which names deployments have.
struct NameFollowers {
    of_name: Subscriptions<DeploymentName, TableMailbox>,
    /// Of those that have been looked up. A name never changes.
    known: HashMap<DeploymentId, DeploymentName>,
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
    together: bool,
    names: Vec<DeploymentName>,
    mailbox: Arc<TableMailbox>,
}

impl TableHub {
    pub(super) fn new(store: Store, subscribed: Arc<Notify>) -> Self {
        Self {
            store,
            subscribers: Mutex::new(Subscriptions::new()),
            followers: Mutex::new(NameFollowers {
                of_name: Subscriptions::new(),
                known: HashMap::new(),
            }),
            subscribed,
            together: AtomicUsize::new(0),
        }
    }

    /// Subscribes to topics from now on, and to the deployments that get some names.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        topics: Vec<Option<DeploymentId>>,
        names: Vec<DeploymentName>,
        together: bool,
    ) -> TableSubscription {
        let mailbox = Arc::default();
        self.together.fetch_add(together.into(), Ordering::Relaxed);
        lock(&self.followers)
            .of_name
            .insert(names.iter().cloned(), &mailbox);
        let subscription = TableSubscription {
            hub: Arc::clone(self),
            together,
            names,
            mailbox,
        };
        subscription.add(topics);
        self.subscribed.notify_one();
        subscription
    }

    fn add_topics(
        &self,
        mailbox: &Arc<TableMailbox>,
        added: impl IntoIterator<Item = Option<DeploymentId>>,
    ) {
        let mut topics = lock(&mailbox.topics);
        for topic in added {
            if !topics.contains(&topic) {
                lock(&self.subscribers).insert([topic], mailbox);
                topics.push(topic);
            }
        }
    }

    /// Subscribes those who follow names to the deployments that have got them.
    async fn follow_names(&self, dirty: &DirtyTables) -> Result<(), StoreError> {
        let found = match dirty {
            DirtyTables::Any => self.holders_of_followed_names().await?,
            DirtyTables::Of(ids) => self.names_of_unknown(ids).await?,
        };
        let mut followers = lock(&self.followers);
        for (id, name) in found {
            for mailbox in followers.of_name.of(&name) {
                self.add_topics(mailbox, [Some(id)]);
            }
            followers.note(id, name);
        }
        Ok(())
    }

    /// The deployments that have the followed names now.
    async fn holders_of_followed_names(
        &self,
    ) -> Result<Vec<(DeploymentId, DeploymentName)>, StoreError> {
        let names: Vec<_> = lock(&self.followers).of_name.topics().cloned().collect();
        // Most watches follow none, and need no connection for it.
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut reader = self.store.reader().await?;
        let holders = reader.find_deployment_ids(&names).await?.into_iter();
        Ok(holders.map(|(name, id)| (id, name)).collect())
    }

    /// The names of those of some deployments that have not been looked up yet.
    async fn names_of_unknown(
        &self,
        ids: &HashSet<DeploymentId>,
    ) -> Result<Vec<(DeploymentId, DeploymentName)>, StoreError> {
        let unknown: Vec<_> = {
            let followers = lock(&self.followers);
            match followers.of_name.is_empty() {
                true => return Ok(Vec::new()),
                false => followers.unknown_of(ids),
            }
        };
        let mut named = Vec::new();
        for ids in unknown.chunks(PAGE_SIZE) {
            let mut reader = self.store.reader().await?;
            named.extend(reader.find_names(ids.to_vec()).await?);
        }
        Ok(named)
    }

    /// Whether there is no subscription.
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.subscribers).is_empty() && lock(&self.followers).of_name.is_empty()
    }

    /// Reads what may be new and is subscribed to, and hands it out. `since` is a position of
    /// the log: what was committed up to it was handed out before.
    pub(crate) async fn refresh(
        &self,
        dirty: &DirtyTables,
        since: Option<i64>,
    ) -> Result<(), StoreError> {
        self.follow_names(dirty).await?;
        match since {
            Some(since) if self.together.load(Ordering::Relaxed) > 0 => {
                self.refresh_together(dirty, since).await
            }
            _ => {
                self.read_dirty(dirty, |page| self.publish(page, &SetLinks::default()))
                    .await
            }
        }
    }

    /// The same, and what a set changed is handed out in one piece.
    async fn refresh_together(&self, dirty: &DirtyTables, since: i64) -> Result<(), StoreError> {
        let mut fresh = NewestTables::new();
        self.read_dirty(dirty, |page| add(&mut fresh, page)).await?;
        let mut linked = HashSet::new();
        loop {
            // After the tables: by then the log has every set that they may show.
            let links = self.sets_since(since).await?;
            let members = links.linked_to(fresh.keys().copied());
            if members.is_subset(&linked) {
                self.hand_out(&fresh, &links);
                return Ok(());
            }
            linked.extend(members);
            // In one statement, so that they show one state that was committed.
            let ids: Vec<_> = linked.iter().copied().collect();
            add(&mut fresh, self.read(&ids).await?);
        }
    }

    /// Reads what may be new and is subscribed to, a page at a time.
    async fn read_dirty(
        &self,
        dirty: &DirtyTables,
        mut take: impl FnMut(Vec<TrafficTable>),
    ) -> Result<(), StoreError> {
        let Some(ids) = self.subscribed_of(dirty) else {
            return self.read_all(take).await;
        };
        for ids in ids.chunks(PAGE_SIZE) {
            take(self.read(ids).await?);
        }
        Ok(())
    }

    async fn sets_since(&self, since: i64) -> Result<SetLinks, StoreError> {
        let mut reader = self.store.reader().await?;
        let members = reader.sets_since(since).await?;
        Ok(members.into_iter().collect())
    }

    async fn read(&self, ids: &[DeploymentId]) -> Result<Vec<TrafficTable>, StoreError> {
        let mut reader = self.store.reader().await?;
        let tables = Tables::Of(ids.to_vec());
        reader.traffic_tables(tables, Projects::All).await
    }

    async fn read_all(&self, mut take: impl FnMut(Vec<TrafficTable>)) -> Result<(), StoreError> {
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
            take(page);
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

    fn publish(&self, page: Vec<TrafficTable>, links: &SetLinks) {
        let mut tables = NewestTables::new();
        add(&mut tables, page);
        self.hand_out(&tables, links);
    }

    /// Puts tables into the mailboxes that subscribed to them: all of them into one at once.
    fn hand_out(&self, tables: &NewestTables, links: &SetLinks) {
        let subscribers = lock(&self.subscribers);
        let mut deliveries: HashMap<*const TableMailbox, (&TableMailbox, Vec<_>)> = HashMap::new();
        for (id, table) in tables {
            let wanted = subscribers.of(&Some(*id)).iter();
            for mailbox in wanted.chain(subscribers.of(&None)) {
                let delivery = deliveries.entry(Arc::as_ptr(mailbox));
                let (_, tables) = delivery.or_insert_with(|| (mailbox, Vec::new()));
                tables.push((*id, Arc::clone(table)));
            }
        }
        // A watch that takes in between gets all of this, or nothing yet.
        for (mailbox, tables) in deliveries.into_values() {
            mailbox.put(tables, links);
        }
    }
}

fn add(tables: &mut NewestTables, page: Vec<TrafficTable>) {
    tables.extend(
        page.into_iter()
            .map(|table| (table.deployment, Arc::new(table))),
    );
}

impl NameFollowers {
    fn unknown_of(&self, ids: &HashSet<DeploymentId>) -> Vec<DeploymentId> {
        let ids = ids.iter().copied();
        ids.filter(|id| !self.known.contains_key(id)).collect()
    }

    fn note(&mut self, id: DeploymentId, name: DeploymentName) {
        // All at once, since what is left out costs one look-up.
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(id, name);
    }
}

impl TableSubscription {
    /// Subscribes to more topics.
    pub(super) fn add(&self, topics: impl IntoIterator<Item = Option<DeploymentId>>) {
        self.hub.add_topics(&self.mailbox, topics);
    }

    /// Takes the newest tables that came. Some may be older than what was read since
    /// the subscription.
    pub(super) fn take(&self) -> Delivery {
        std::mem::take(&mut *lock(&self.mailbox.newest))
    }

    /// Resolves when there is something to take. Cancel safe.
    pub(super) async fn delivered(&self) {
        self.mailbox.delivered.notified().await;
    }
}

impl Drop for TableSubscription {
    fn drop(&mut self) {
        let together = usize::from(self.together);
        self.hub.together.fetch_sub(together, Ordering::Relaxed);
        // First, so that no topic is added after the others are removed.
        lock(&self.hub.followers)
            .of_name
            .remove(&self.names, &self.mailbox);
        let topics = std::mem::take(&mut *lock(&self.mailbox.topics));
        lock(&self.hub.subscribers).remove(&topics, &self.mailbox);
    }
}

impl TableMailbox {
    fn put(&self, tables: Vec<(DeploymentId, Arc<TrafficTable>)>, links: &SetLinks) {
        let mut newest = lock(&self.newest);
        newest.tables.extend(tables);
        newest.links.extend(links);
        drop(newest);
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

/// Names that are kept.
const MAX_KNOWN: usize = 100_000;
/// Tables read at once.
pub(super) const PAGE_SIZE: usize = 1_000;
