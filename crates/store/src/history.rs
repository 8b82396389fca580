//! History: what happened to a deployment, a row a move.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use viridian_strategy::{DeploymentId, Lifecycle, RevisionId, State, SubStep, Timestamp};

use crate::{
    connection::{Connection, with_conn},
    deployments::{Status, expect_rows},
    error::StoreError,
    schema::history,
    types::{Json, Outcome, Phase, RequestId, Sql},
};

/// A move to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct Move<'a> {
    pub(crate) deployment: DeploymentId,
    pub(crate) number: i64,
    pub(crate) phase: Phase,
    pub(crate) outcome: Outcome,
    /// None at creation.
    pub(crate) from: Option<(Lifecycle, Option<SubStep>)>,
    pub(crate) to: (Lifecycle, Option<SubStep>),
    pub(crate) revision: Option<RevisionId>,
    pub(crate) actor: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) request: Option<RequestId>,
    pub(crate) status: &'a Status,
    pub(crate) at: Timestamp,
}

/// A state by its two words.
pub(crate) fn place(state: &State) -> (Lifecycle, Option<SubStep>) {
    (state.lifecycle(), state.sub_step())
}

impl Connection {
    /// Records a move.
    pub(crate) async fn insert_move(&mut self, entry: Move<'_>) -> Result<(), StoreError> {
        let row = HistoryRow {
            deployment_id: Sql(entry.deployment),
            number: entry.number,
            phase: Sql(entry.phase),
            result: Sql(entry.outcome),
            from_lifecycle: entry.from.map(|(lifecycle, _)| Sql(lifecycle)),
            from_sub_step: entry.from.and_then(|(_, sub_step)| sub_step).map(Sql),
            to_lifecycle: Sql(entry.to.0),
            to_sub_step: entry.to.1.map(Sql),
            revision_id: entry.revision.map(Sql),
            actor: entry.actor.to_owned(),
            reason: entry.reason.to_owned(),
            request_id: entry.request.map(Sql),
            status: Json(entry.status.clone()),
            attempts: 1,
            created_at: Sql(entry.at),
            updated_at: Sql(entry.at),
        };
        with_conn!(self, |c| diesel::insert_into(history::table)
            .values(row)
            .execute(c))?;
        Ok(())
    }

    /// Counts that a cycle came to the same place once more.
    pub(crate) async fn repeat_move(
        &mut self,
        deployment: DeploymentId,
        number: i64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let updated = with_conn!(self, |c| {
            diesel::update(history::table.find((Sql(deployment), number)))
                .set((
                    history::attempts.eq(history::attempts + 1),
                    history::updated_at.eq(Sql(now)),
                ))
                .execute(c)
        })?;
        expect_rows("repeat history", 1, updated)
    }
}

#[derive(Insertable)]
#[diesel(table_name = history)]
struct HistoryRow {
    deployment_id: Sql<DeploymentId>,
    number: i64,
    phase: Sql<Phase>,
    result: Sql<Outcome>,
    from_lifecycle: Option<Sql<Lifecycle>>,
    from_sub_step: Option<Sql<SubStep>>,
    to_lifecycle: Sql<Lifecycle>,
    to_sub_step: Option<Sql<SubStep>>,
    revision_id: Option<Sql<RevisionId>>,
    actor: String,
    reason: String,
    request_id: Option<Sql<RequestId>>,
    status: Json<Status>,
    attempts: i32,
    created_at: Sql<Timestamp>,
    updated_at: Sql<Timestamp>,
}
