//! Locks the members of a set.

use std::collections::HashMap;

use viridian_engine::{LockWait, WaitStart};
use viridian_strategy::DeploymentId;

use crate::{
    Store, error::StoreError, record::Revision, transaction::UnitTransaction, units::lock::Locked,
};

/// How the locks of a set are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberLocks {
    /// If all are free, in one statement.
    TakeFree,
    /// One after the other, each when it is free.
    Wait,
}

/// A member of a set once its lock is held.
pub(super) struct LockedMember {
    pub(super) deployment: DeploymentId,
    /// None if there is no such deployment; an error if it cannot be read.
    pub(super) held: Result<Option<Locked>, StoreError>,
    /// The revision that it is to have.
    pub(super) target: Option<Revision>,
}

impl Store {
    /// Locks deployments, and loads them in their order. None if one of them is not free, and it
    /// does not wait.
    pub(super) async fn lock_members(
        &self,
        tx: &mut UnitTransaction,
        since: WaitStart,
        ids: &[DeploymentId],
        locks: MemberLocks,
    ) -> Result<Option<Vec<LockedMember>>, StoreError> {
        // SQLite's writer holds every lock.
        let waits = locks == MemberLocks::Wait || self.has_one_writer();
        if waits && !self.has_one_writer() {
            self.wait_for_members(tx, since, ids).await?;
        }
        // Once all are locked one by one, the statement that loads them waits for none.
        let wait = match waits {
            true => LockWait::Locked,
            false => LockWait::Never,
        };
        let mut found = match tx.lock_all(ids.to_vec(), wait).await {
            Ok(found) if waits || found.len() == ids.len() => HashMap::from_iter(found),
            Ok(_) => return Ok(None),
            // A route of one of them: of which one?
            Err(StoreError::Corrupt { .. }) if waits => load_each(tx, ids).await?,
            Err(StoreError::Corrupt { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        // In the order of the request, whose first refusal decides on the code.
        let member = |&deployment: &DeploymentId| LockedMember {
            deployment,
            held: found.remove(&deployment).transpose(),
            target: None,
        };
        Ok(Some(ids.iter().map(member).collect()))
    }

    /// Locks deployments in the order of their ids, as every transaction does.
    async fn wait_for_members(
        &self,
        tx: &mut UnitTransaction,
        since: WaitStart,
        ids: &[DeploymentId],
    ) -> Result<(), StoreError> {
        let mut ids = ids.to_vec();
        // In any other order two sets with common members could wait for each other.
        ids.sort_unstable();
        for id in ids {
            // The limit is one for all members, and PostgreSQL's is for each lock.
            if let Some(left) = self.lock_time_left(since) {
                tx.limit_lock_wait(left).await?;
            }
            let (connection, round_trip) = tx.round_trip()?;
            connection.lock_deployment_row(round_trip, id).await?;
        }
        Ok(())
    }
}

/// Loads deployments one by one: those that cannot be read fail alone.
async fn load_each(
    tx: &mut UnitTransaction,
    ids: &[DeploymentId],
) -> Result<HashMap<DeploymentId, Result<Locked, StoreError>>, StoreError> {
    let mut found = HashMap::new();
    for &id in ids {
        match tx.lock_all(vec![id], LockWait::Locked).await {
            Ok(one) => found.extend(one),
            Err(error @ StoreError::Corrupt { .. }) => drop(found.insert(id, Err(error))),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
