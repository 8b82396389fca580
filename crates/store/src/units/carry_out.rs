//! Carrying changes out: those of many deployments by as many statements as
//! those of one.

use viridian_strategy::Timestamp;

use crate::{
    assignments::{assign, delete_assignments},
    deployments::{Deployment, update_deployments},
    events::insert_events,
    history::{insert_moves, repeat_moves},
    routes::{drain_routes, insert_routes, promote_routes, retain_routes, update_reported},
    transaction::Transaction,
    units::{
        RequestContext,
        change::{Change, Plan, RouteChanges},
        lock::Locked,
    },
};

impl Transaction {
    /// Has a plan carried out when this is committed. Gives the deployment as it
    /// is then.
    pub(crate) fn carry_out(
        &mut self,
        held: Locked,
        plan: &Plan,
        call: &RequestContext,
    ) -> Deployment {
        let now = held.now;
        let change = held.change(plan, call);
        let deployment = change.deployment.clone();
        self.carry_out_all(vec![change], now);
        deployment
    }

    /// Has changes of different deployments carried out when this is committed.
    pub(crate) fn carry_out_all(&mut self, changes: Vec<Change>, now: Timestamp) {
        let mut routes = Vec::new();
        let (mut states, mut moves, mut repeats) = (Vec::new(), Vec::new(), Vec::new());
        let mut events = Vec::new();
        for change in changes {
            repeats.extend(change.repeats.map(|number| (change.deployment.id, number)));
            events.extend(change.event.map(|kind| (kind, change.deployment)));
            routes.push(change.routes);
            states.extend(change.state);
            moves.extend(change.moves);
            self.tell(change.moved);
            change
                .touched
                .into_iter()
                .for_each(|touched| self.notify_on_commit(touched));
        }
        self.change_routes(routes, now);
        self.write([
            update_deployments(states),
            insert_moves(moves),
            repeat_moves(repeats, now),
            insert_events(events),
        ]);
    }

    /// Has routes changed: green is activated before blue is drained.
    pub(crate) fn change_routes(&mut self, changes: Vec<RouteChanges>, now: Timestamp) {
        let mut all = RouteChanges::default();
        for of_one in changes {
            all.reported.extend(of_one.reported);
            all.promoted.extend(of_one.promoted);
            all.retained.extend(of_one.retained);
            all.drained.extend(of_one.drained);
            all.created.extend(of_one.created);
            all.assigned.extend(of_one.assigned);
            all.done.extend(of_one.done);
        }
        self.write([
            update_reported(all.reported),
            promote_routes(&all.promoted),
            retain_routes(&all.retained, now),
            drain_routes(&all.drained, now),
            insert_routes(all.created),
            delete_assignments(all.done),
            assign(all.assigned),
        ]);
    }
}
