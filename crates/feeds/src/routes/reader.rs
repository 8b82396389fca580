//! Reads the routes of watched groups: one loop each process, as long as there is a
//! subscription.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{Instant, sleep};
use viridian_store::{GroupRoute, GroupRouteFilter, GroupRoutePosition, Projects, StoreError};
use viridian_strategy::{DeploymentId, RouteStatus, Timestamp};

use super::{
    MAX_ROUTE_AGE, RouteFeed,
    hub::{DueRoutes, GroupId},
};

/// Reads what is due, for ever.
pub(crate) async fn run(feed: &RouteFeed) {
    loop {
        feed.hub.due().await;
        let begun = Instant::now();
        let Some(due) = feed.hub.take_due() else {
            continue;
        };
        match read(feed, &due).await {
            Ok(time) => feed.hub.finish(&due, time),
            Err(error) => {
                tracing::warn!(%error, "the routes of groups cannot be read");
                feed.hub.put_back(due);
                sleep(RETRY_INTERVAL).await;
            }
        }
        // Changes that come one by one would have a large deployment read all the time
        // otherwise. Those that come meanwhile are read together.
        sleep(begun.elapsed() * REST_FACTOR).await;
    }
}

async fn read(feed: &RouteFeed, due: &DueRoutes) -> Result<Timestamp, StoreError> {
    let time = feed.clock.now().await?;
    for (group, id) in &due.unread {
        read_group(feed, group, *id, time).await?;
    }
    let dirty: Vec<_> = due.dirty.iter().copied().collect();
    for ids in dirty.chunks(MAX_DEPLOYMENTS) {
        let mut reader = feed.store.reader().await?;
        let places = reader.find_places(ids.to_vec()).await?;
        drop(reader);
        let mut by_group: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, place) in places {
            by_group.entry(place.resource_group).or_default().push(id);
        }
        for (group, ids) in by_group {
            if feed.hub.is_watched(&group) {
                read_deployments(feed, group, ids, time).await?;
            }
        }
    }
    Ok(time)
}

/// Reads a group for the first time.
async fn read_group(
    feed: &RouteFeed,
    group: &str,
    id: GroupId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let filter = filter(group.to_owned(), None, now);
    let mut after = None;
    loop {
        let (page, next) = read_page(feed, &filter, after).await?;
        if !feed.hub.learn(group, id, &page) || next.is_none() {
            return Ok(());
        }
        after = next;
    }
}

/// Reads all routes of some deployments again.
async fn read_deployments(
    feed: &RouteFeed,
    group: String,
    ids: Vec<DeploymentId>,
    now: Timestamp,
) -> Result<(), StoreError> {
    // One that has no routes any more is there too.
    let mut read: BTreeMap<_, Vec<_>> = ids.iter().map(|id| (*id, Vec::new())).collect();
    let filter = filter(group.clone(), Some(ids), now);
    let mut after = None;
    loop {
        let (page, next) = read_page(feed, &filter, after).await?;
        for route in page {
            read.entry(route.route.deployment).or_default().push(route);
        }
        if next.is_none() {
            break;
        }
        after = next;
    }
    feed.hub.update(&group, read);
    Ok(())
}

/// A page, and after which route the next one begins; none after the last.
async fn read_page(
    feed: &RouteFeed,
    filter: &GroupRouteFilter,
    after: Option<GroupRoutePosition>,
) -> Result<(Vec<GroupRoute>, Option<GroupRoutePosition>), StoreError> {
    let page = feed
        .store
        .list_group_routes(filter.clone(), after, PAGE_SIZE);
    let page = page.await?;
    let next = page.last().map(|(position, _)| *position);
    let next = next.filter(|_| page.len() == PAGE_SIZE as usize);
    let routes = page.into_iter().filter_map(|(_, route)| route);
    Ok((routes.collect(), next))
}

/// The routes that are not over, and those that ended not long ago: the end of a route must
/// be found by the next read.
fn filter(
    resource_group: String,
    deployments: Option<Vec<DeploymentId>>,
    now: Timestamp,
) -> GroupRouteFilter {
    GroupRouteFilter {
        resource_group,
        projects: Projects::All,
        statuses: vec![
            RouteStatus::Provisioning,
            RouteStatus::Running,
            RouteStatus::Terminating,
        ],
        or_moved_since: Some(now - MAX_ROUTE_AGE),
        deployments,
    }
}

/// Deployments read at once: each may have a thousand routes.
const MAX_DEPLOYMENTS: usize = 16;
/// Routes read at once.
const PAGE_SIZE: u32 = 500;
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// How much longer than it reads the loop rests.
const REST_FACTOR: u32 = 2;
