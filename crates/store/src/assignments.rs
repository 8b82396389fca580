//! Assignments: what schedulers have yet to do.

use std::collections::BTreeSet;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use viridian_engine::{Column, Write, columns, load, selected, with_conn};
use viridian_strategy::{DeploymentId, RouteId, Timestamp};

use crate::{
    connection::StoreConnection,
    error::StoreError,
    record::{Action, AssignmentPosition, Projects, Route},
    routes::RouteRow,
    schema::{assignments, deployments, routes},
    types::Sql,
};

/// An assignment to be written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewAssignment {
    route_id: Sql<RouteId>,
    resource_group: String,
    action: Sql<Action>,
    available_at: Sql<Timestamp>,
}

impl NewAssignment {
    pub(crate) fn new(
        action: Action,
        route: RouteId,
        resource_group: &str,
        available_at: Timestamp,
    ) -> Self {
        Self {
            route_id: Sql(route),
            resource_group: resource_group.to_owned(),
            action: Sql(action),
            available_at: Sql(available_at),
        }
    }
}

/// Which of the open assignments of a group are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssignmentSelection {
    /// All of them.
    All,
    /// Those that have become available after a time.
    Since(Timestamp),
    /// Those of these deployments.
    Of(BTreeSet<DeploymentId>),
}

/// An assignment without what describes its deployment.
pub(crate) struct AssignmentRow {
    pub(crate) action: Action,
    pub(crate) route: Route,
    pub(crate) available_at: Timestamp,
}

impl AssignmentRow {
    pub(crate) fn position(&self) -> AssignmentPosition {
        AssignmentPosition {
            available_at: self.available_at,
            route: self.route.view.id,
        }
    }
}

impl StoreConnection {
    /// Lists the assignments of a group that may be handed out, oldest first; of some
    /// deployments only, if they are given. What the routes run is not read.
    pub(crate) async fn list_assignments(
        &mut self,
        resource_group: String,
        projects: Projects,
        of: Option<&BTreeSet<DeploymentId>>,
        now: Timestamp,
        after: Option<AssignmentPosition>,
        limit: i64,
    ) -> Result<Vec<AssignmentRow>, StoreError> {
        type Row = (Sql<Action>, Sql<Timestamp>, RouteRow);
        let of: Option<Vec<_>> = of.map(|ids| ids.iter().copied().map(Sql).collect());
        let rows: Vec<Row> = load!(self, {
            let mut query = assignments::table
                .inner_join(routes::table.on(routes::id.eq(assignments::route_id)))
                .filter(assignments::resource_group.eq(resource_group))
                .filter(assignments::available_at.le(Sql(now)))
                .select((
                    assignments::action,
                    assignments::available_at,
                    selected::<RouteRow, Db>(),
                ))
                .into_boxed();
            if let Projects::These(projects) = projects {
                let theirs = deployments::table
                    .filter(deployments::project.eq_any(projects))
                    .select(deployments::id);
                query = query.filter(routes::deployment_id.eq_any(theirs));
            }
            if let Some(of) = of {
                query = query.filter(routes::deployment_id.eq_any(of));
            }
            if let Some(AssignmentPosition {
                available_at,
                route,
            }) = after
            {
                // Not `at > a OR at = a AND id > b` alone: no index leads to the beginning of that.
                let later = assignments::available_at.gt(Sql(available_at));
                query = query
                    .filter(assignments::available_at.ge(Sql(available_at)))
                    .filter(later.or(assignments::route_id.gt(Sql(route))));
            }
            // In the order of the index on groups, so that a page needs no sort.
            query
                .order((assignments::available_at, assignments::route_id))
                .limit(limit)
        })?;
        let assignment = |(Sql(action), Sql(available_at), route): Row| AssignmentRow {
            action,
            route: Route::from(route),
            available_at,
        };
        Ok(rows.into_iter().map(assignment).collect())
    }

    /// Has the assignment of a locked route handed out no later than at a time.
    pub(crate) async fn bound_availability(
        &mut self,
        route: RouteId,
        available_at: Timestamp,
    ) -> Result<(), StoreError> {
        with_conn!(self, |c| diesel::update(
            assignments::table.find(Sql(route))
        )
        .filter(assignments::available_at.gt(Sql(available_at)))
        .set(assignments::available_at.eq(Sql(available_at)))
        .execute(c))?;
        Ok(())
    }

    /// Gives when the next assignment of a group may be handed out.
    pub(crate) async fn next_assignment(
        &mut self,
        resource_group: String,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        // Of every project: a caller may look once in vain, but never too late.
        let at: Option<Sql<Timestamp>> = with_conn!(self, |c| assignments::table
            .filter(assignments::resource_group.eq(resource_group))
            .filter(assignments::available_at.gt(Sql(now)))
            .order(assignments::available_at)
            .select(assignments::available_at)
            .first(c))
        .optional()?;
        Ok(at.map(|Sql(at)| at))
    }
}

/// Assigns what is to be done to routes, instead of what was assigned before.
pub(crate) fn assign(new: Vec<NewAssignment>) -> Write {
    let columns = columns!(new, NewAssignment {
        route_id, resource_group, action, available_at,
    } in assignments);
    Write::insert("assign", "assignments", columns).on_conflict(INSTEAD)
}

/// Deletes whatever is assigned for some routes.
pub(crate) fn delete_assignments(ids: Vec<RouteId>) -> Write {
    let ids = ids.into_iter().map(Sql).collect();
    let keys = vec![Column::new(assignments::route_id, ids)];
    Write::delete("delete assignments", "assignments", keys)
}

// A route has one assignment: STOP replaces a START that no scheduler has taken.
const INSTEAD: &str = "ON CONFLICT (route_id) DO UPDATE SET \
    resource_group = excluded.resource_group, action = excluded.action, \
    available_at = excluded.available_at";
