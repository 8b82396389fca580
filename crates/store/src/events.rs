//! Events: what could be seen of a deployment at each sequence.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::{
    connection::{Connection, with_conn},
    deployments::Deployment,
    error::StoreError,
    schema::events,
    types::{EventKind, Json, Sql},
};

impl Connection {
    /// Records a deployment as it is at its sequence.
    pub(crate) async fn insert_event(
        &mut self,
        kind: EventKind,
        deployment: &Deployment,
    ) -> Result<(), StoreError> {
        let row = (
            events::deployment_id.eq(Sql(deployment.id)),
            events::sequence.eq(deployment.sequence),
            events::kind.eq(Sql(kind)),
            events::snapshot.eq(Json(deployment.clone())),
            events::created_at.eq(Sql(deployment.updated_at)),
        );
        with_conn!(self, |c| diesel::insert_into(events::table)
            .values(row)
            .execute(c))?;
        Ok(())
    }
}
