//! Deployments: the record, its row, and the statements on it.

mod old;
mod row;

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use viridian_strategy::{
    Blockers, DeploymentId, Lifecycle, Policy, ReplicaCounts, RevisionId, State, SubStep, Timestamp,
};

use self::row::{DeploymentRow, LockedRow};
use crate::{
    connection::{Connection, with_conn},
    dialect::{Cacheable as _, Locked as _, selected},
    error::StoreError,
    routes::Endpoint,
    schema::deployments,
    types::{Json, Sql},
};

/// A deployment as it stands at one sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// The project that it belongs to.
    pub project: String,
    /// Its name, unique among the project's live ones.
    pub name: String,
    /// Labels to select by.
    pub labels: BTreeMap<String, String>,
    /// Where it belongs and who asked for it.
    pub metadata: Metadata,
    /// How many routes ought to serve.
    pub target_replicas: u32,
    /// How a new revision replaces the current one.
    pub policy: Policy,
    /// How many revisions are kept.
    pub revision_history_limit: u32,
    /// Whether nothing may move.
    pub paused: bool,
    /// Where it is.
    pub state: State,
    /// When the current revision was activated.
    pub current_since: Timestamp,
    /// The revision that was current before.
    pub previous: Option<RevisionId>,
    /// The version of what was asked of it.
    pub generation: i64,
    /// The version of all that can be seen of it.
    pub sequence: i64,
    /// The version of its traffic table.
    pub epoch: i64,
    /// What can be seen of its routes, and why it does not go on.
    pub status: Status,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When the present lifecycle and sub-step began.
    pub phase_started_at: Timestamp,
    /// When the progress deadline or the gate's timeout passes.
    pub deadline_at: Option<Timestamp>,
    /// When a revision was last promoted.
    pub promoted_at: Option<Timestamp>,
    /// The number of its newest revision.
    pub last_revision: i64,
    /// The number of its newest history row.
    pub last_history: i64,
}

/// Where a deployment belongs and who asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The tenant.
    pub domain: String,
    /// The machines that run its routes.
    pub resource_group: String,
    /// Who created it.
    pub created_user: String,
    /// Who owns the sessions of its routes.
    pub session_owner: String,
}

/// What can be seen of a deployment's routes, and why it does not go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Routes of the current revision.
    pub blue: ReplicaCounts,
    /// Routes of the revision that is being deployed.
    pub green: ReplicaCounts,
    /// Why it does not go on.
    pub blockers: Blockers,
}

/// Which projects a question is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Projects {
    /// All there are.
    #[default]
    All,
    /// These and no others; none when there are none.
    These(Vec<String>),
}

/// Which deployments a list has.
#[derive(Clone, Debug, Default)]
pub struct DeploymentFilter {
    /// Only those of these projects.
    pub projects: Projects,
    /// Only those in one of these; all when empty.
    pub lifecycles: Vec<Lifecycle>,
    /// Only those in one of these; all when empty.
    pub sub_steps: Vec<SubStep>,
}

impl Deployment {
    /// The revision of its traffic table: none when nothing is to be served any
    /// more.
    pub(crate) fn served_revision(&self) -> Option<RevisionId> {
        match self.state {
            State::Destroying { .. } | State::Destroyed { .. } => None,
            State::Pending { .. } | State::Ready { .. } | State::Deploying(_) => {
                self.state.current()
            }
        }
    }

    /// As the decision sees it.
    pub fn view(&self) -> viridian_strategy::Deployment {
        viridian_strategy::Deployment {
            state: self.state,
            target_replicas: self.target_replicas,
            paused: self.paused,
            current_since: self.current_since,
        }
    }
}

/// A deployment that a transaction has locked, with what only it may see.
pub(crate) struct LockedDeployment {
    pub(crate) deployment: Deployment,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) due_at: Option<Timestamp>,
}

impl Connection {
    /// Locks a deployment and gives it as it is once the lock is had.
    pub(crate) async fn lock_deployment(
        &mut self,
        id: DeploymentId,
    ) -> Result<Option<LockedDeployment>, StoreError> {
        let row: Option<LockedRow> = with_conn!(self, |c| deployments::table
            .find(Sql(id))
            .select(selected::<LockedRow, Db>())
            .locked()
            .get_result(c))
        .optional()
        .map_err(|error| unreadable(id, error))?;
        row.map(LockedDeployment::try_from).transpose()
    }

    /// Locks a deployment if it is due and nobody holds it.
    pub(crate) async fn lock_due_deployment(
        &mut self,
        id: DeploymentId,
        now: Timestamp,
    ) -> Result<Option<LockedDeployment>, StoreError> {
        let row: Option<LockedRow> = with_conn!(self, |c| deployments::table
            .find(Sql(id))
            .filter(deployments::due_at.le(Sql(now)))
            .select(selected::<LockedRow, Db>())
            .locked_unless_held()
            .get_result(c))
        .optional()
        .map_err(|error| unreadable(id, error))?;
        row.map(LockedDeployment::try_from).transpose()
    }

    /// Inserts a deployment; false when its name is taken.
    pub(crate) async fn insert_deployment(
        &mut self,
        deployment: Deployment,
        due_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let row = DeploymentRow::from(deployment);
        let inserted = with_conn!(self, |c| diesel::insert_into(deployments::table)
            .values((
                row,
                deployments::endpoints.eq(Json(Vec::<Endpoint>::new())),
                deployments::due_at.eq(due_at.map(Sql)),
            ))
            .on_conflict_do_nothing()
            .execute(c))?;
        Ok(inserted == 1)
    }

    /// Writes a deployment over the one that was read at `sequence`.
    pub(crate) async fn update_deployment(
        &mut self,
        deployment: Deployment,
        sequence: i64,
        endpoints: Vec<Endpoint>,
        due_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let row = DeploymentRow::from(deployment);
        let same = deployments::id
            .eq(row.id)
            .and(deployments::sequence.eq(sequence));
        let updated = with_conn!(self, |c| diesel::update(deployments::table.filter(same))
            .set((
                row.moving,
                deployments::endpoints.eq(Json(endpoints)),
                deployments::due_at.eq(due_at.map(Sql)),
            ))
            .cached()
            .execute(c))?;
        expect_rows("update deployment", 1, updated)
    }

    /// Sets when a deployment is looked at next, whatever else its row says.
    pub(crate) async fn set_due(
        &mut self,
        id: DeploymentId,
        due_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let updated = with_conn!(self, |c| diesel::update(deployments::table.find(Sql(id)))
            .set(deployments::due_at.eq(due_at.map(Sql)))
            .cached()
            .execute(c))?;
        expect_rows("set due", 1, updated)
    }

    /// Lists deployments that are due, the longest overdue first.
    pub(crate) async fn list_due(
        &mut self,
        now: Timestamp,
        limit: i64,
    ) -> Result<Vec<DeploymentId>, StoreError> {
        let ids: Vec<Sql<DeploymentId>> = with_conn!(self, |c| deployments::table
            .filter(deployments::due_at.le(Sql(now)))
            .order(deployments::due_at)
            .limit(limit)
            .select(deployments::id)
            .load(c))?;
        Ok(ids.into_iter().map(|Sql(id)| id).collect())
    }

    /// Gives when the next deployment after `now` is due.
    pub(crate) async fn next_due(
        &mut self,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let due: Option<Option<Sql<Timestamp>>> = with_conn!(self, |c| deployments::table
            .filter(deployments::due_at.gt(Sql(now)))
            .order(deployments::due_at)
            .select(deployments::due_at)
            .first(c))
        .optional()?;
        Ok(due.flatten().map(|Sql(at)| at))
    }

    /// Finds a deployment, alive or not.
    pub(crate) async fn find_deployment(
        &mut self,
        id: DeploymentId,
    ) -> Result<Option<Deployment>, StoreError> {
        let row: Option<DeploymentRow> = with_conn!(self, |c| deployments::table
            .find(Sql(id))
            .select(selected::<DeploymentRow, Db>())
            .get_result(c))
        .optional()
        .map_err(|error| unreadable(id, error))?;
        row.map(Deployment::try_from).transpose()
    }

    /// Finds the live deployment of a name.
    pub(crate) async fn find_deployment_id(
        &mut self,
        project: String,
        name: String,
    ) -> Result<Option<DeploymentId>, StoreError> {
        let gone = [Sql(Lifecycle::Destroying), Sql(Lifecycle::Destroyed)];
        let id: Option<Sql<DeploymentId>> = with_conn!(self, |c| deployments::table
            .filter(deployments::project.eq(project))
            .filter(deployments::name.eq(name))
            .filter(deployments::lifecycle.ne_all(gone))
            .select(deployments::id)
            .get_result(c))
        .optional()?;
        Ok(id.map(|Sql(id)| id))
    }

    /// Finds the projects of deployments.
    pub(crate) async fn find_projects(
        &mut self,
        ids: Vec<DeploymentId>,
    ) -> Result<Vec<(DeploymentId, String)>, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(Sql).collect();
        let rows: Vec<(Sql<DeploymentId>, String)> = with_conn!(self, |c| deployments::table
            .filter(deployments::id.eq_any(ids))
            .select((deployments::id, deployments::project))
            .load(c))?;
        Ok(rows.into_iter().map(|(Sql(id), of)| (id, of)).collect())
    }

    /// Lists deployments, oldest first, behind one.
    pub(crate) async fn list_deployment_ids(
        &mut self,
        filter: DeploymentFilter,
        after: Option<DeploymentId>,
        limit: i64,
    ) -> Result<Vec<DeploymentId>, StoreError> {
        let ids: Vec<Sql<DeploymentId>> = with_conn!(self, |c| {
            let mut query = deployments::table.select(deployments::id).into_boxed();
            if let Projects::These(projects) = filter.projects {
                query = query.filter(deployments::project.eq_any(projects));
            }
            if !filter.lifecycles.is_empty() {
                let lifecycles: Vec<_> = filter.lifecycles.into_iter().map(Sql).collect();
                query = query.filter(deployments::lifecycle.eq_any(lifecycles));
            }
            if !filter.sub_steps.is_empty() {
                let sub_steps: Vec<_> = filter.sub_steps.into_iter().map(Sql).collect();
                query = query.filter(deployments::sub_step.eq_any(sub_steps));
            }
            if let Some(after) = after {
                query = query.filter(deployments::id.gt(Sql(after)));
            }
            query.order(deployments::id).limit(limit).load(c)
        })?;
        Ok(ids.into_iter().map(|Sql(id)| id).collect())
    }

    /// Finds deployments, ordered by id. One that cannot be read fails alone.
    pub(crate) async fn find_deployments(
        &mut self,
        ids: Vec<DeploymentId>,
    ) -> Result<Vec<(DeploymentId, Result<Deployment, StoreError>)>, StoreError> {
        let wanted: Vec<_> = ids.iter().copied().map(Sql).collect();
        let rows: QueryResult<Vec<DeploymentRow>> = with_conn!(self, |c| deployments::table
            .filter(deployments::id.eq_any(wanted))
            .order(deployments::id)
            .select(selected::<DeploymentRow, Db>())
            .load(c));
        match rows {
            Ok(rows) => Ok(rows
                .into_iter()
                .map(|row| (row.id.0, Deployment::try_from(row)))
                .collect()),
            Err(diesel::result::Error::DeserializationError(_)) => {
                let mut found = Vec::new();
                for id in ids {
                    match self.find_deployment(id).await {
                        Ok(deployment) => found.extend(deployment.map(|row| (id, Ok(row)))),
                        Err(error @ StoreError::Corrupt { .. }) => found.push((id, Err(error))),
                        Err(error) => return Err(error),
                    }
                }
                Ok(found)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Asserts how many rows a statement changed.
pub(crate) fn expect_rows(
    what: &'static str,
    expected: usize,
    found: usize,
) -> Result<(), StoreError> {
    if expected == found {
        Ok(())
    } else {
        Err(StoreError::Stale {
            what,
            expected,
            found,
        })
    }
}

/// A row that does not even parse is that deployment's fault, not the
/// database's.
fn unreadable(id: DeploymentId, error: diesel::result::Error) -> StoreError {
    match error {
        diesel::result::Error::DeserializationError(_) => StoreError::Corrupt {
            id,
            why: "a column does not parse",
        },
        error => error.into(),
    }
}
