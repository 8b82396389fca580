//! What must hold after each instant.

use std::collections::BTreeMap;

use viridian_strategy::{Lifecycle, Strategy};

use super::{RETRY_DELAY, Reply, Results, SimulatedStore, deeds::StartedCall, open};
use crate::{
    Deployment, HealthReport, Projects, ReconcileBatch, ReportError, RequestContext, RouteFilter,
    StatusReport, Tables, TrafficTable,
    tests::fixture::find_deployment,
    tests::simulation::{
        callers::{CallFailure, StoreCall, is_at_gate},
        coordinator::POLL_INTERVAL,
        fleet::ReplicaReport,
    },
};

impl SimulatedStore<'_> {
    /// Nothing else changed it meanwhile: a call that is taken left what it
    /// says, and one that is refused left everything as it was.
    pub(super) async fn is_answered_alone(&mut self, calling: &StartedCall, reply: &Reply) {
        let StartedCall {
            place, before, ask, ..
        } = calling;
        let after = find_deployment(&open(&self.fixture).db, self.lives[*place].id).await;
        let (Ok(before), Ok(Some(after))) = (before, after) else {
            return;
        };
        let life = &self.lives[*place];
        match reply {
            Ok(told) if *told != after => {
                life.fail(format!(
                    "{ask:?} told of {told:#?}, and there is {after:#?}"
                ));
            }
            Err(_) if *before != after => {
                life.fail(format!("{ask:?} was refused, and changed {before:#?}"));
            }
            _ => {}
        }
        let ought = ask.ought(before);
        let is_wrong = ought.is_some_and(|ought| ought != reply.is_ok());
        if is_wrong && life.poison.is_none() {
            life.fail(format!("{ask:?} was answered with {reply:?}"));
        }
    }

    pub(super) async fn is_answered(&mut self, calling: StartedCall, reply: Reply) {
        let StartedCall {
            place, ask, terms, ..
        } = calling;
        let now = self.time.now();
        let life = &mut self.lives[place];
        let outcome = match &reply {
            Ok(_) => "taken".to_owned(),
            Err(CallFailure::Refused(why)) => format!("refused: {why}"),
            Err(CallFailure::Failed(error)) => format!("failed: {error}"),
        };
        life.note(now, format_args!("{ask:?} is {outcome}"));
        match reply {
            Ok(deployment) => {
                self.coverage.count("calls taken");
                life.knows(&deployment);
                if terms.request.is_some() {
                    self.is_repeated(place, &ask, &terms, &deployment).await;
                }
            }
            Err(CallFailure::Refused(why)) => {
                self.coverage.count("calls refused");
                if why.contains("HealthStale") {
                    self.coverage.count("waits for a health");
                }
            }
            Err(CallFailure::Failed(error)) if life.poison.is_some() && error.is_of_rows() => {
                self.coverage.count("calls failed by poison");
            }
            Err(CallFailure::Failed(error)) => life.fail(format!("{ask:?} fails: {error}")),
        }
    }

    /// A repeated call gets the first reply.
    pub(super) async fn is_repeated(
        &mut self,
        place: usize,
        ask: &StoreCall,
        terms: &RequestContext,
        first: &Deployment,
    ) {
        let life = &self.lives[place];
        let again = ask.ask(&open(&self.fixture).db, life.id, terms).await;
        match again {
            Ok(again) if again == *first => self.coverage.count("calls repeated"),
            again => life.fail(format!("the repeat of {ask:?} came to {again:?}")),
        }
    }

    pub(super) fn statuses_are_taken(
        &mut self,
        reports: Vec<(usize, StatusReport)>,
        results: Results,
    ) {
        for ((place, report), result) in reports.into_iter().zip(results) {
            self.is_taken(place, ReplicaReport::Status(report), result);
        }
    }

    pub(super) fn healths_are_taken(
        &mut self,
        reports: Vec<(usize, HealthReport)>,
        results: Results,
    ) {
        for ((place, report), result) in reports.into_iter().zip(results) {
            self.is_taken(place, ReplicaReport::Health(report), result);
        }
    }

    pub(super) fn is_taken(
        &mut self,
        place: usize,
        report: ReplicaReport,
        result: Result<(), ReportError>,
    ) {
        let now = self.time.now();
        let life = &mut self.lives[place];
        match result {
            Ok(()) => self.coverage.count("reports taken"),
            // It was drained meanwhile, or has ended.
            Err(ReportError::IllegalMove { .. } | ReportError::Over(_)) => {
                self.coverage.count("reports refused");
            }
            // Before the arms below: the RUNNING that names its session may have failed too.
            Err(error) if error.may_pass() && life.poison.is_some() => {
                self.coverage.count("reports failed by poison");
                life.agenda.stall(now, report);
            }
            // Another one has overtaken it, or the route was started anew meanwhile.
            Err(ReportError::Outdated { .. }) => self.coverage.count("reports outdated"),
            Err(ReportError::OtherSession { .. }) => {
                self.coverage.count("reports of another session");
            }
            Err(ReportError::TooOld { .. }) => self.coverage.count("reports too old"),
            Err(error) => life.fail(format!("{report:?} fails: {error}")),
        }
    }

    /// Nothing failed but what is poisoned.
    pub(super) fn is_sound(&mut self, pass: ReconcileBatch) {
        let now = self.time.now();
        for id in pass.done {
            self.coverage.count("cycles");
            self.lives[self.places[&id]].clear_failures();
        }
        for (id, error) in pass.failed {
            let life = &mut self.lives[self.places[&id]];
            if life.poison.is_none() || !error.is_of_rows() {
                life.fail(format!("its cycle fails: {error}"));
            }
            self.coverage.count("cycles failed by poison");
            life.failed(now);
        }
    }

    /// Everything due has been reconciled, and a damaged deployment delays no other.
    pub(super) async fn nothing_waits(&self) {
        let now = self.time.now();
        let late = if self.mode.loses.is_some() {
            now - POLL_INTERVAL
        } else {
            now
        };
        let query = format!("SELECT COUNT(*) AS n FROM deployments WHERE due_at <= '{late}'");
        let waiting = open(&self.fixture).number(&query).await;
        assert_eq!(waiting, 0, "left in the queue at {now}");
        let revenants = open(&self.fixture).number(REVENANTS).await;
        assert_eq!(revenants, 0, "drained, and back at {now}");
    }

    /// A watcher of a table sees a later epoch each time that it changed.
    pub(super) async fn tables_move_on(&mut self) {
        let now = self.time.now();
        let all = Tables::All {
            after: None,
            limit: 10_000,
        };
        let tables = open(&self.fixture)
            .db
            .reader()
            .await
            .expect("a reader")
            .traffic_tables(all, Projects::All)
            .await;
        for table in tables.expect("they are read") {
            self.shares_are_sound(&table);
            // What has no traffic comes and goes without a new table.
            let table = TrafficTable {
                deploying: None,
                preview: Vec::new(),
                split_seed: 0,
                ..table
            };
            let life = &self.lives[self.places[&table.deployment]];
            if let Some(seen) = self.tables.get(&table.deployment)
                && *seen != table
                && seen.epoch >= table.epoch
            {
                life.fail(format!("at {now} {table:?} follows {seen:?}"));
            }
            self.tables.insert(table.deployment, table);
        }
    }

    pub(super) async fn check(&mut self) {
        self.coverage.count("checks");
        let now = self.time.now();
        let check = self
            .time
            .check(&open(&self.fixture).url, POLL_INTERVAL + RETRY_DELAY)
            .await;
        for violation in check.violations {
            let life = &self.lives[self.places[&violation.deployment]];
            let excused = life.excused_until().is_some_and(|until| until >= now);
            // A deployment that cannot be reconciled passes its deadline.
            if violation.invariant == "I11" && (life.poison.is_some() || excused) {
                continue;
            }
            life.fail(format!("at {now}: {violation:?}"));
        }
    }

    /// Nothing is due or assigned, and every deployment has the replicas that it should.
    pub(super) async fn is_at_rest(&self) {
        let due = "SELECT COUNT(*) AS n FROM deployments WHERE due_at IS NOT NULL";
        assert_eq!(open(&self.fixture).number(due).await, 0, "due for ever");
        let assigned = "SELECT COUNT(*) AS n FROM assignments";
        assert_eq!(
            open(&self.fixture).number(assigned).await,
            0,
            "assigned for ever"
        );
        for life in &self.lives {
            let deployment = open(&self.fixture).get(life.id).await;
            if !life.is_at_rest(&deployment) {
                life.fail(format!("comes to rest as {deployment:#?}"));
            }
            if deployment.paused {
                continue;
            }
            let filter = RouteFilter::default();
            let routes = open(&self.fixture)
                .db
                .reader()
                .await
                .expect("a reader")
                .list_routes(life.id, filter, None, 10_000)
                .await;
            let mut by_revision: BTreeMap<_, u32> = BTreeMap::new();
            for route in routes.expect("they are listed") {
                let view = route.view;
                if view.is_ready() {
                    *by_revision.entry(view.revision).or_default() += 1;
                } else if !view.status.is_over() {
                    life.fail(format!("is left with {view:?}"));
                }
            }
            let state = &deployment.state;
            let wanted = if state.lifecycle() == Lifecycle::Destroyed {
                [None, None]
            } else {
                [state.current(), state.deploying()]
            };
            let target = deployment.target_replicas;
            let wanted = wanted
                .into_iter()
                .flatten()
                .map(|revision| (revision, target));
            let mut wanted: BTreeMap<_, u32> = wanted.filter(|(_, target)| *target > 0).collect();
            // At the gate there may be as few as its threshold asks for.
            let switch = match &deployment.policy.strategy {
                Strategy::BlueGreen(spec) => Some(spec),
                Strategy::Canary(spec) => Some(&spec.switch),
                Strategy::Rolling(_) => None,
            };
            if let (Some(switch), Some(green)) = (switch, state.deploying())
                && let Some(&ready) = by_revision.get(&green)
                && (switch.least_ready(target)..=target).contains(&ready)
            {
                wanted.insert(green, ready);
            }
            if by_revision != wanted {
                life.fail(format!("is left with {by_revision:?}, not {wanted:?}"));
            }
            debug_assert!(is_at_gate(&deployment) || state.deploying().is_none());
        }
    }
}

/// Whatever is reported of what is drained, it does not come back.
const REVENANTS: &str = "SELECT COUNT(*) AS n FROM routes \
    WHERE drained_at IS NOT NULL AND status IN ('PROVISIONING', 'RUNNING')";
