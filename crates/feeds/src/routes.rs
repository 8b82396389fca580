//! The feed of routes.

mod digest;
mod group;
mod hub;
mod reader;
mod watch;

use std::sync::Arc;

use tokio::sync::Notify;
use viridian_store::{GroupRouteFilter, Store};

pub use self::{
    hub::RouteCursor,
    watch::{RouteUpdate, RouteWatch},
};
pub(crate) use self::{hub::RouteHub, reader::run as run_reader};
use crate::{clock::CachedClock, events::WatchError};

/// Sends to watches of a resource group its routes, and each change of one. Cheap to clone.
///
/// Every change of a route that can be seen is an event of its deployment. So the log says
/// which deployments have to be read again. One loop reads them for all watches, and compares
/// each route with what it was at the read before. A watch that is slow skips states: the
/// newest one of a route replaces those before it.
#[derive(Clone)]
pub struct RouteFeed {
    store: Store,
    hub: Arc<RouteHub>,
    clock: Arc<CachedClock>,
}

impl RouteFeed {
    pub(crate) fn new(store: Store, clock: Arc<CachedClock>, subscribed: Arc<Notify>) -> Self {
        Self {
            hub: Arc::new(RouteHub::new(subscribed)),
            store,
            clock,
        }
    }

    /// Watches routes: after a cursor, or from now on, and then those that are there now
    /// come first.
    ///
    /// # Errors
    ///
    /// [`WatchError::UnknownPosition`] for a cursor of another database, and
    /// [`WatchError::Expired`] for one that is too old.
    pub async fn watch(
        &self,
        filter: GroupRouteFilter,
        after: Option<RouteCursor>,
    ) -> Result<RouteWatch, WatchError> {
        RouteWatch::begin(self.clone(), filter, after).await
    }

    pub(crate) fn hub(&self) -> &RouteHub {
        &self.hub
    }
}

/// Routes that have ended are read for this long: they are kept at least as long.
const MAX_ROUTE_AGE: std::time::Duration = std::time::Duration::from_secs(60 * 60);
