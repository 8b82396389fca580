//! What all units of work share: take hold of a deployment.

use std::collections::HashMap;

use viridian_strategy::{DeploymentId, Route as View, Timestamp};

use crate::{
    deployments::{Deployment, LockedDeployment, Taken},
    dialect::Wait,
    error::StoreError,
    routes::{Endpoint, Route},
    transaction::Transaction,
};

/// A deployment that this transaction has locked, with its routes.
pub(crate) struct Held {
    pub(crate) deployment: Deployment,
    pub(crate) routes: Vec<Route>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

impl Held {
    pub(crate) fn views(&self) -> Vec<View> {
        self.routes.iter().map(|route| route.view).collect()
    }
}

impl Transaction {
    /// Locks a deployment and loads what a decision on it needs. Waits for
    /// whoever holds it.
    pub(crate) async fn hold(&mut self, id: DeploymentId) -> Result<Option<Held>, StoreError> {
        let held = self.hold_all(vec![id], Wait::ForAll).await?;
        held.into_iter().next().map(|(_, held)| held).transpose()
    }

    /// The same for those of some deployments that nobody else holds. One that
    /// cannot be read fails alone.
    pub(crate) async fn hold_free(
        &mut self,
        ids: Vec<DeploymentId>,
    ) -> Result<Vec<(DeploymentId, Result<Held, StoreError>)>, StoreError> {
        self.hold_all(ids, Wait::Never).await
    }

    async fn hold_all(
        &mut self,
        ids: Vec<DeploymentId>,
        wait: Wait,
    ) -> Result<Vec<(DeploymentId, Result<Held, StoreError>)>, StoreError> {
        let (connection, trip) = self.trip()?;
        let taken: Taken = connection.lock_deployments(trip, ids, wait).await?;
        let (deployments, routes, now) = taken;
        let now = self.as_of(now);
        let mut routes_of: HashMap<DeploymentId, Vec<Route>> = HashMap::new();
        for route in routes {
            routes_of.entry(route.deployment).or_default().push(route);
        }
        let held = deployments.into_iter().map(|(id, locked)| {
            let routes = routes_of.remove(&id).unwrap_or_default();
            (id, locked.map(|locked| Held::new(locked, routes, now)))
        });
        Ok(held.collect())
    }
}

impl Held {
    fn new(locked: LockedDeployment, routes: Vec<Route>, now: Timestamp) -> Self {
        let LockedDeployment {
            deployment,
            endpoints,
            due_at,
        } = locked;
        Self {
            deployment,
            routes,
            endpoints,
            due_at,
            now,
        }
    }
}
