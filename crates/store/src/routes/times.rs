//! Times of routes that were moved back, since the clock was set back.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use viridian_engine::with_conn;
use viridian_strategy::ObservedRoute;

use crate::{
    connection::StoreConnection, error::StoreError, row_count::expect_rows, schema::routes,
    types::Sql,
};

impl StoreConnection {
    /// Stores the times of a locked route.
    pub(crate) async fn store_route_times(
        &mut self,
        route: &ObservedRoute,
    ) -> Result<(), StoreError> {
        let changed = with_conn!(self, |c| diesel::update(routes::table.find(Sql(route.id)))
            .set((
                routes::created_at.eq(Sql(route.created_at)),
                routes::status_updated_at.eq(Sql(route.status_updated_at)),
                routes::health_updated_at.eq(route.health_updated_at.map(Sql)),
                routes::health_observed_at.eq(route.health_observed_at.map(Sql)),
                routes::drained_at.eq(route.drained_at.map(Sql)),
                routes::retained_at.eq(route.retained_at.map(Sql)),
                routes::drain_requested_at.eq(route.drain_requested_at.map(Sql)),
                routes::hung_at.eq(route.hung_at.map(Sql)),
            ))
            .execute(c))?;
        expect_rows("store route times", 1, changed)
    }
}
