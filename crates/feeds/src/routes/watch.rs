//! A watch of routes: those that are there, then every change.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{task::yield_now, time::timeout};
use viridian_store::{GroupRoute, GroupRouteFilter, GroupRoutePosition, ReadLogError};
use viridian_strategy::DeploymentId;

use super::{
    MAX_ROUTE_AGE, RouteFeed,
    hub::{RouteCursor, RouteSubscription},
};
use crate::events::WatchError;

/// What a watch gives.
#[derive(Clone, Debug)]
pub enum RouteUpdate {
    /// A route as it is now: one that is there, or has changed, or no longer has one of the
    /// statuses that the watch is about.
    Route(Arc<GroupRoute>),
    /// All that was there when the watch began, and all changes up to here, have been given:
    /// another watch goes on here.
    Progress(RouteCursor),
}

/// A watch that is under way.
pub struct RouteWatch {
    feed: RouteFeed,
    subscription: RouteSubscription,
    filter: GroupRouteFilter,
    phase: WatchPhase,
    /// Whether something was given since the last progress.
    has_news: bool,
    /// How many routes it reads at once: few at first, so that a consumer which takes nothing
    /// has few in memory.
    page_size: u32,
}

enum WatchPhase {
    /// Waits until changes are noted, to go on after a cursor or from now on.
    Joining(Option<RouteCursor>),
    /// Reads routes that are there, page by page.
    Reading(PresentRoutes),
    /// Waits for changes.
    Following,
}

/// The routes that are given first.
struct PresentRoutes {
    filter: GroupRouteFilter,
    after: Option<GroupRoutePosition>,
    /// Deployments to be read after those of the filter, in order.
    rest: Vec<DeploymentId>,
}

impl RouteWatch {
    pub(super) async fn begin(
        feed: RouteFeed,
        filter: GroupRouteFilter,
        after: Option<RouteCursor>,
    ) -> Result<Self, WatchError> {
        let subscription = feed.hub.subscribe(&filter.resource_group);
        if let Some(cursor) = after {
            let time = feed.clock.now().await?;
            let end = feed.store.log_end().await?;
            if cursor.position > end {
                return Err(WatchError::UnknownPosition);
            }
            let is_behind = end - cursor.position > MAX_REPLAY;
            if is_behind || cursor.time + MAX_CURSOR_AGE < time {
                return Err(WatchError::Expired);
            }
        }
        Ok(Self {
            feed,
            subscription,
            filter,
            phase: WatchPhase::Joining(after),
            has_news: true,
            page_size: FIRST_PAGE_SIZE,
        })
    }

    /// Waits for the next updates. There is always at least one.
    ///
    /// # Errors
    ///
    /// A [`WatchError`]; the watch is over then.
    pub async fn next(&mut self) -> Result<Vec<RouteUpdate>, WatchError> {
        loop {
            let updates = match std::mem::replace(&mut self.phase, WatchPhase::Following) {
                WatchPhase::Joining(after) => {
                    self.phase = self.join(after).await?;
                    continue;
                }
                WatchPhase::Reading(present) => self.read(present).await?,
                WatchPhase::Following => self.follow().await?,
            };
            if !updates.is_empty() {
                return Ok(updates);
            }
        }
    }

    /// Waits until every change from now on is noted. Returns what is to be read before.
    async fn join(&mut self, after: Option<RouteCursor>) -> Result<WatchPhase, WatchError> {
        self.subscription.read().await;
        // After the group was read: what is committed later differs from that, and is a change.
        let end = self.feed.store.log_end().await?;
        let reached = self.feed.hub.reached(end).await;
        let mut present = PresentRoutes {
            filter: self.filter.clone(),
            after: None,
            rest: Vec::new(),
        };
        if let Some(cursor) = after {
            // Not only up to where the log is stable: an event beyond a gap may have been noted
            // before this watch subscribed.
            let up_to = reached.map_or(end, |it| it.position.max(end));
            let changed = self.find_changed(cursor.position, up_to).await?;
            present.rest = changed.into_iter().rev().collect();
            present.filter.deployments = Some(Vec::new());
            // What has left the statuses since the cursor is given too.
            let now = self.feed.clock.now().await?;
            present.filter.or_moved_since = Some(now - MAX_ROUTE_AGE);
        }
        Ok(WatchPhase::Reading(present))
    }

    /// The deployments that have events between two positions, of all groups.
    async fn find_changed(
        &self,
        mut after: i64,
        up_to: i64,
    ) -> Result<BTreeSet<DeploymentId>, WatchError> {
        let mut changed = BTreeSet::new();
        while after < up_to {
            let mut reader = self.feed.store.reader().await?;
            let page = reader.read_changed(after, up_to, LOG_PAGE_SIZE).await;
            let page = page.map_err(|error| match error {
                ReadLogError::Expired => WatchError::Expired,
                ReadLogError::Store(error) => WatchError::Store(error),
            })?;
            after = page.read;
            changed.extend(page.changed);
        }
        Ok(changed)
    }

    /// Reads a page of what is there. The next one is read when it was taken.
    async fn read(&mut self, mut present: PresentRoutes) -> Result<Vec<RouteUpdate>, WatchError> {
        let size = self.page_size;
        self.page_size = (size * 2).min(MAX_PAGE_SIZE);
        let is_of_some = present.filter.deployments.as_deref();
        let page = match is_of_some.is_some_and(<[_]>::is_empty) {
            true => Vec::new(),
            false => {
                let (filter, after) = (present.filter.clone(), present.after);
                let store = &self.feed.store;
                store.list_group_routes(filter, after, size).await?
            }
        };
        present.after = page.last().map(|(position, _)| *position);
        let is_over = page.len() < size as usize;
        if is_over && !present.rest.is_empty() {
            let kept = present.rest.len().saturating_sub(MAX_DEPLOYMENTS);
            let next = present.rest.split_off(kept);
            present.filter.deployments = Some(next);
            present.after = None;
            self.phase = WatchPhase::Reading(present);
        } else if !is_over {
            self.phase = WatchPhase::Reading(present);
        }
        // One that cannot be described is left out.
        let page = page.into_iter().filter_map(|(_, route)| route);
        Ok(page.map(Arc::new).map(RouteUpdate::Route).collect())
    }

    /// Takes changes, or waits for them.
    async fn follow(&mut self) -> Result<Vec<RouteUpdate>, WatchError> {
        // Before the changes are taken: those up to there are among them.
        let position = self.feed.hub.position();
        let taken = self.subscription.take(&self.filter);
        if !taken.routes.is_empty() {
            self.has_news = true;
            return Ok(taken.routes.into_iter().map(RouteUpdate::Route).collect());
        }
        if !taken.is_all {
            yield_now().await;
            return Ok(Vec::new());
        }
        if let (true, Some(cursor)) = (self.has_news, position) {
            self.has_news = false;
            return Ok(vec![RouteUpdate::Progress(cursor)]);
        }
        let published = timeout(PROGRESS_INTERVAL, self.subscription.published()).await;
        // A cursor ages, also where nothing happens.
        self.has_news |= published.is_err();
        Ok(Vec::new())
    }
}

/// For how long a cursor is taken. Less than routes are kept that have ended, since one may
/// end a while before its change is given.
const MAX_CURSOR_AGE: Duration = Duration::from_secs(50 * 60);

/// How many events may have come since a cursor: they are all read.
const MAX_REPLAY: i64 = 100_000;

/// After how long without a change a watch says where it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5 * 60);

const FIRST_PAGE_SIZE: u32 = 16;
const MAX_PAGE_SIZE: u32 = 128;
const LOG_PAGE_SIZE: u32 = 2_000;
/// Deployments read at once.
const MAX_DEPLOYMENTS: usize = 64;
