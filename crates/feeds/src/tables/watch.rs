//! A watch of traffic tables: the present ones, then every new one.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use viridian_store::{DeploymentName, Projects, StoreError, Tables, TrafficTable};
use viridian_strategy::DeploymentId;

use super::{
    TableFeed,
    hub::{Delivery, PAGE_SIZE, TableSubscription},
    links::{SetLinks, TableGroup},
};

/// Whose tables are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableTarget {
    /// Every deployment that there is or will be.
    All,
    /// These deployments, and those that get some names from now on: a deployment that is
    /// deleted and made again is followed.
    Deployments {
        /// The deployments.
        ids: HashSet<DeploymentId>,
        /// The names.
        names: Vec<DeploymentName>,
    },
}

/// A watch that is under way. The epochs of one deployment only rise.
pub struct TableWatch {
    feed: TableFeed,
    subscription: TableSubscription,
    projects: Projects,
    /// What is still to be read of the tables that were there when it began.
    present: Option<Tables>,
    /// Taken from the mailbox, and not given yet.
    taken: Delivery,
    /// Whether what a set changed is given in one group.
    together: bool,
    /// How many of the present tables it reads at once: few at first, so that a consumer which
    /// takes nothing has few in memory.
    page_size: usize,
    /// The newest epoch given, by deployment.
    epochs: HashMap<DeploymentId, i64>,
}

impl TableTarget {
    fn topics(&self) -> Vec<Option<DeploymentId>> {
        match self {
            Self::All => vec![None],
            Self::Deployments { ids, .. } => ids.iter().copied().map(Some).collect(),
        }
    }

    fn names(&self) -> Vec<DeploymentName> {
        match self {
            Self::All => Vec::new(),
            Self::Deployments { names, .. } => names.clone(),
        }
    }

    fn present(self) -> Tables {
        match self {
            Self::All => Tables::All {
                after: None,
                limit: PAGE_SIZE as i64,
            },
            Self::Deployments { ids, .. } => Tables::Of(ids.into_iter().collect()),
        }
    }
}

impl TableWatch {
    pub(super) fn begin(
        feed: TableFeed,
        target: TableTarget,
        projects: Projects,
        together: bool,
    ) -> Self {
        Self {
            // Before the first read: a table that is committed between the two is in
            // the mailbox.
            subscription: feed
                .hub
                .subscribe(target.topics(), target.names(), together),
            feed,
            projects,
            present: Some(target.present()),
            taken: Delivery::default(),
            together,
            // All that may belong together in one statement.
            page_size: if together { PAGE_SIZE } else { FIRST_PAGE_SIZE },
            epochs: HashMap::new(),
        }
    }

    /// Watches these deployments as well, from how they are now. Before the first
    /// [`next`](Self::next): names are followed from the beginning of the watch, and what
    /// had them then may be looked up after it.
    pub fn add(&mut self, ids: impl IntoIterator<Item = DeploymentId>) {
        let ids: Vec<_> = ids.into_iter().collect();
        self.subscription.add(ids.iter().copied().map(Some));
        if let Some(Tables::Of(present)) = &mut self.present {
            present.extend(ids);
        }
    }

    /// Waits for the next tables. There is always at least one. Each is a group by itself,
    /// unless the watch is one that gets what a set of deployments changed together; the present
    /// ones come alone. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the database fails. The next call goes on where this one was.
    pub async fn next(&mut self) -> Result<Vec<TableGroup>, StoreError> {
        loop {
            let tables = match self.present.clone() {
                Some(which) => self.read_present(which).await?,
                None => self.take_new().await?,
            };
            if !tables.is_empty() {
                return Ok(tables);
            }
        }
    }

    async fn read_present(&mut self, which: Tables) -> Result<Vec<TableGroup>, StoreError> {
        let is_all = matches!(which, Tables::All { .. });
        let size = self.page_size;
        let (which, rest) = first_page(which, size);
        let projects = self.projects.clone();
        let page = self
            .feed
            .store
            .reader()
            .await?
            .traffic_tables(which, projects)
            .await?;
        let last = page.last().map(|table| table.deployment);
        // After the read: this may be dropped while it waits.
        self.present = match is_all && page.len() == size {
            true => Some(Tables::All {
                after: last,
                limit: PAGE_SIZE as i64,
            }),
            false => rest,
        };
        self.page_size = (size * 2).min(PAGE_SIZE);
        Ok(page
            .into_iter()
            .map(Arc::new)
            .filter(|table| self.is_newer(table))
            .map(|table| vec![table])
            .collect())
    }

    async fn take_new(&mut self) -> Result<Vec<TableGroup>, StoreError> {
        let Delivery { tables, links } = self.subscription.take();
        self.taken.tables.extend(tables);
        self.taken.links.extend(&links);
        if self.taken.tables.is_empty() {
            self.subscription.delivered().await;
            return Ok(Vec::new());
        }
        // Only then they leave `taken`: this may be dropped while it waits for the
        // projects.
        let visible = self.visible_of_taken().await?;
        let Delivery { mut tables, links } = std::mem::take(&mut self.taken);
        tables.retain(|id, _| visible.as_ref().is_none_or(|visible| visible.contains(id)));
        // One that was given before leaves a smaller group, and no second time.
        tables.retain(|_, table| self.is_newer(table));
        let links = match self.together {
            true => links,
            false => SetLinks::default(),
        };
        Ok(links.grouped(tables))
    }

    /// Those of the deployments taken that belong to the watch's projects; none when all
    /// are.
    async fn visible_of_taken(&self) -> Result<Option<HashSet<DeploymentId>>, StoreError> {
        let Projects::These(projects) = &self.projects else {
            return Ok(None);
        };
        let ids = self.taken.tables.keys().copied().collect();
        let found = self.feed.store.reader().await?.find_projects(ids).await?;
        let visible = found
            .into_iter()
            .filter(|(_, project)| projects.contains(project));
        Ok(Some(visible.map(|(id, _)| id).collect()))
    }

    /// Notes the epoch of a table. Whether it is past the last one that was given.
    fn is_newer(&mut self, table: &TrafficTable) -> bool {
        let last = self.epochs.get(&table.deployment);
        let is_newer = last.is_none_or(|epoch| *epoch < table.epoch);
        if is_newer {
            self.epochs.insert(table.deployment, table.epoch);
        }
        is_newer
    }
}

/// The first tables of some, and the others.
fn first_page(which: Tables, size: usize) -> (Tables, Option<Tables>) {
    match which {
        Tables::Of(mut ids) if ids.len() > size => {
            let rest = ids.split_off(size);
            (Tables::Of(ids), Some(Tables::Of(rest)))
        }
        Tables::Of(ids) => (Tables::Of(ids), None),
        Tables::All { after, .. } => {
            let limit = size as i64;
            (Tables::All { after, limit }, None)
        }
    }
}

const FIRST_PAGE_SIZE: usize = 16;
