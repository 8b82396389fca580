//! Writes what was decided: that of many deployments takes as many statements as
//! that of one.

use viridian_strategy::Timestamp;

use crate::{
    assignments::{assign, delete_assignments},
    deployments::{insert_deployments, update_deployments},
    error::StoreError,
    events::insert_events,
    history::{insert_moves, repeat_entries},
    labels::LabelWrites,
    record::{Deployment, Event},
    revisions::insert_revisions,
    routes::{
        drain_hung_routes, drain_routes, end_routes, insert_routes, promote_routes, request_drains,
        retain_routes, reuse_routes, update_reported,
    },
    transaction::UnitTransaction,
    units::{
        RequestContext,
        change::{PlannedChange, RowWrite, WriteSet},
        lock::Locked,
        route_writes::RouteWrites,
    },
};

impl UnitTransaction {
    /// Adds a plan to what is written at the commit. Returns the deployment as it
    /// will be.
    pub(crate) fn carry_out(
        &mut self,
        held: Locked,
        plan: &PlannedChange,
        call: &RequestContext,
    ) -> Deployment {
        let now = held.now;
        let set = held.write_set(plan, call);
        let deployment = set.deployment.clone();
        self.carry_out_all(vec![set], now);
        deployment
    }

    /// Adds write sets of different deployments to what is written at the commit.
    pub(crate) fn carry_out_all(&mut self, sets: Vec<WriteSet>, now: Timestamp) {
        let mut routes = RouteWrites::default();
        let mut labels = LabelWrites::default();
        let (mut inserts, mut updates, mut revisions) = (Vec::new(), Vec::new(), Vec::new());
        let (mut moves, mut repeats, mut events) = (Vec::new(), Vec::new(), Vec::new());
        for set in sets {
            let id = set.deployment.id;
            self.count_usage(&set.deployment.project, set.project_usage());
            repeats.extend(set.repeats.into_iter().map(|entry| (id, entry)));
            let commit = set.commit;
            events.extend(set.event.map(|kind| Event {
                kind,
                deployment: set.deployment,
                commit,
            }));
            routes.append(set.routes);
            labels.append(set.labels);
            match set.row {
                Some(RowWrite::Insert(state)) => inserts.push(state),
                Some(RowWrite::Update(state)) => updates.push(state),
                None => {}
            }
            revisions.extend(set.revision);
            moves.extend(set.moves);
            self.tell(set.moved);
            set.touched
                .into_iter()
                .for_each(|touched| self.notify_on_commit(touched));
        }
        // What refers to a row comes after it: SQLite checks each statement.
        self.write([insert_deployments(inserts), insert_revisions(revisions)]);
        self.write_routes(routes, now);
        // After the row, which has the lock that orders changes of one deployment's labels.
        self.write(labels.writes());
        self.write([
            update_deployments(updates),
            insert_moves(moves),
            repeat_entries(repeats),
            insert_events(events),
        ]);
    }

    /// Adds a change to what is written, unless it is only validated: then the quotas are asked
    /// as they would be at the commit, and nothing is written.
    pub(crate) async fn carry_out_unless(
        &mut self,
        validate_only: bool,
        change: Option<WriteSet>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if !validate_only {
            self.carry_out_all(change.into_iter().collect(), now);
            return Ok(());
        }
        let Some(set) = change else {
            return Ok(());
        };
        self.check_quota(&set.deployment.project, set.project_usage())
            .await
    }

    /// Writes routes. Green is activated before blue is drained.
    fn write_routes(&mut self, routes: RouteWrites, now: Timestamp) {
        // No two of these write the same row. On PostgreSQL they become one statement, in which
        // only one of two writes of a row takes place, and nothing says which.
        self.write([
            update_reported(routes.reported),
            promote_routes(&routes.promoted),
            retain_routes(&routes.retained, now),
            reuse_routes(&routes.reused),
            drain_routes(&routes.drained, now),
            drain_hung_routes(&routes.hung, now),
            end_routes(routes.ended),
            request_drains(&routes.drain_requested, now),
            insert_routes(routes.created),
            delete_assignments(routes.done),
            assign(routes.assigned),
        ]);
    }
}
