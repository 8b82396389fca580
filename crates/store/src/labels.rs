//! The index of labels: a row for each label of a deployment, written with its column.

use std::mem;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use viridian_engine::{Column, Write, columns, load, with_conn};
use viridian_strategy::DeploymentId;

use crate::{
    connection::StoreConnection, deployments::DeploymentLabels, error::StoreError,
    schema::deployment_labels, types::Sql,
};

/// How the labels of deployments change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelWrites {
    set: Vec<(DeploymentId, String, String)>,
    removed: Vec<(DeploymentId, String)>,
}

impl LabelWrites {
    /// What makes the labels of a deployment `new` where they were `old`.
    pub(crate) fn between(
        id: DeploymentId,
        old: &DeploymentLabels,
        new: &DeploymentLabels,
    ) -> Self {
        let set = new
            .iter()
            .filter(|(key, value)| old.get(*key) != Some(value));
        let removed = old.keys().filter(|key| !new.contains_key(*key));
        Self {
            set: set
                .map(|(key, value)| (id, key.clone(), value.clone()))
                .collect(),
            removed: removed.map(|key| (id, key.clone())).collect(),
        }
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.set.append(&mut other.set);
        self.removed.append(&mut other.removed);
    }

    /// Returns the statements. No two of them write the same row, which on PostgreSQL only one
    /// of them would do.
    pub(crate) fn writes(mut self) -> [Write; 2] {
        // A key that changes is set and not removed: PostgreSQL does both statements on the same
        // snapshot, and would keep only one of them.
        let set = mem::take(&mut self.set);
        let rows = set.into_iter().map(|(id, key, value)| LabelRow {
            deployment_id: Sql(id),
            key,
            value,
        });
        let columns = columns!(rows, LabelRow { deployment_id, key, value } in deployment_labels);
        let (ids, keys): (Vec<_>, Vec<_>) = self
            .removed
            .into_iter()
            .map(|(id, key)| (Sql(id), key))
            .unzip();
        let removed = vec![
            Column::new(deployment_labels::deployment_id, ids),
            Column::new(deployment_labels::key, keys),
        ];
        [
            Write::insert("set labels", "deployment_labels", columns).on_conflict(
                "ON CONFLICT (deployment_id, key) DO UPDATE SET value = excluded.value",
            ),
            Write::delete("remove labels", "deployment_labels", removed),
        ]
    }
}

struct LabelRow {
    deployment_id: Sql<DeploymentId>,
    key: String,
    value: String,
}

impl StoreConnection {
    /// Lists deployments by the value of a label, of whatever project and state, oldest first,
    /// after one of them. Reads as many rows of an index as it returns.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_labelled(
        &mut self,
        key: &str,
        value: &str,
        after: Option<DeploymentId>,
        limit: i64,
    ) -> Result<Vec<DeploymentId>, StoreError> {
        let ids: Vec<Sql<DeploymentId>> = load!(self, {
            let mut query = deployment_labels::table
                .filter(deployment_labels::key.eq(key.to_owned()))
                .filter(deployment_labels::value.eq(value.to_owned()))
                .select(deployment_labels::deployment_id)
                .into_boxed();
            if let Some(after) = after {
                query = query.filter(deployment_labels::deployment_id.gt(Sql(after)));
            }
            query.order(deployment_labels::deployment_id).limit(limit)
        })?;
        Ok(ids.into_iter().map(|Sql(id)| id).collect())
    }

    /// Returns whether any deployment has a label of this key.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn has_label_key(&mut self, key: &str) -> Result<bool, StoreError> {
        let found: Vec<String> = load!(
            self,
            deployment_labels::table
                .filter(deployment_labels::key.eq(key.to_owned()))
                .select(deployment_labels::key)
                .limit(1)
        )?;
        Ok(!found.is_empty())
    }

    /// Deletes the labels of a deployment that is deleted.
    pub(crate) async fn delete_labels(&mut self, id: DeploymentId) -> Result<(), StoreError> {
        with_conn!(self, |c| diesel::delete(deployment_labels::table)
            .filter(deployment_labels::deployment_id.eq(Sql(id)))
            .execute(c))?;
        Ok(())
    }

    /// Rebuilds the index from the labels of all deployments.
    pub(crate) async fn rebuild_labels(&mut self) -> Result<(), StoreError> {
        let statements = match self.commits_in_order() {
            true => include_str!("labels/sqlite.sql"),
            false => include_str!("labels/postgres.sql"),
        };
        self.execute(statements).await
    }
}
