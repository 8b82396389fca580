//! A database of its own for each test, and what a fleet and callers do to it.

use std::{convert::Infallible, pin::Pin, time::Duration};

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl as _;
use rstest_reuse::template;
use uuid::Uuid;
use viridian_engine::{load, with_conn};
use viridian_strategy::{
    Blocker, BlockerCode, BlueGreen, DeploymentId, DeploymentState, Policy, RevisionId,
    RouteHealth, RouteId, RouteStatus, RouteTraffic, Strategy, SubStep,
};

use super::keeper::Keeper;
use crate::{
    Deployment, DeploymentSpec, FailureBackoff, HealthReport, HistoryEntry, Limits, Metadata,
    NewDeployment, Protocol, ReconcileBatch, Request, RequestContext, RequestId, RevisionSpec,
    RollBackOptions, Route, RouteAddress, RouteFilter, StatusReport, Store, StoreError,
};

#[derive(Clone, Copy, Debug)]
pub(super) enum Engine {
    Sqlite,
    Postgres,
}

/// Runs a test once on each engine: `#[apply(engines)]`.
#[template]
#[rstest::rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
pub(super) fn engines(#[case] engine: Engine) {}

pub(super) struct Fixture {
    pub(super) db: Store,
    pub(super) url: String,
    keeper: Keeper,
}

/// Reads a deployment, and returns a failure of the pool as one of the query.
pub(super) async fn find_deployment(
    db: &Store,
    id: DeploymentId,
) -> Result<Option<Deployment>, StoreError> {
    db.reader().await?.find_deployment(id).await
}

/// A call as a future on the heap. Made in a frame of its own: without optimization, a function
/// that makes several has room for all of them on its stack.
pub(super) fn on_heap<F: Future>(call: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(call())
}

impl Fixture {
    /// With a server by which a reported health counts for this long.
    pub(super) fn with_health_ttl(mut self, ttl: Option<Duration>) -> Self {
        self.db = self.db.with_health_ttl(ttl);
        self
    }

    pub(super) async fn new(engine: Engine) -> Self {
        Self::within(engine, Limits::default()).await
    }

    pub(super) async fn within(engine: Engine, limits: Limits) -> Self {
        let (url, keeper) = Keeper::create(engine).await;
        let db = Store::open_within(&url, limits).await;
        let db = db.expect("the database opens");
        Self { db, url, keeper }
    }

    /// Of a database that was made already.
    pub(super) fn of(db: Store, url: String, keeper: Keeper) -> Self {
        Self { db, url, keeper }
    }

    /// Closes the database, and keeps it.
    pub(super) fn close(self) -> (String, Keeper) {
        (self.url, self.keeper)
    }

    /// Opens a database that was closed.
    pub(super) async fn reopen((url, keeper): (String, Keeper)) -> Self {
        let db = Store::open(&url).await.expect("the database opens");
        Self { db, url, keeper }
    }

    /// A READY deployment whose first revision has `n` ready routes.
    pub(super) async fn ready(&self, n: u32, policy: Policy) -> DeploymentId {
        let id = self.created(n, policy).await;
        self.bring_up(id, RouteHealth::Healthy).await;
        assert!(matches!(
            self.get(id).await.state,
            DeploymentState::Ready { .. }
        ));
        id
    }

    /// A deployment whose first revision has yet to start.
    pub(super) async fn created(&self, n: u32, policy: Policy) -> DeploymentId {
        let new = NewDeployment {
            metadata: Metadata {
                resource_group: "g".into(),
                ..Metadata::default()
            },
            target_replicas: n,
            policy,
            ..new_deployment("p", &format!("d-{}", Uuid::now_v7()))
        };
        let call = call();
        let created = on_heap(|| self.db.create_deployment(new, &call))
            .await
            .expect("it is created");
        let first = created
            .deployment
            .status
            .blockers
            .iter()
            .map(Blocker::code)
            .next();
        let awaited = (n > 0).then_some(BlockerCode::RoutesNotReady);
        assert_eq!(first, awaited, "the first reply says what is awaited");
        created.deployment.id
    }

    /// The same, with a second revision whose routes are ready: at the gate.
    pub(super) async fn at_the_gate(&self, n: u32, policy: Policy) -> (DeploymentId, RevisionId) {
        let id = self.ready(n, policy).await;
        let revision = self.deploy(id).await;
        self.bring_up(id, RouteHealth::Healthy).await;
        assert_eq!(
            self.get(id).await.state.sub_step(),
            Some(SubStep::AwaitingPromotion)
        );
        (id, revision)
    }

    /// Activates a new revision, and has its routes created.
    pub(super) async fn deploy(&self, id: DeploymentId) -> RevisionId {
        let call = call();
        let created = on_heap(|| self.db.create_revision(id, spec(), true, &call)).await;
        let revision = created.expect("it is activated").revision.id;
        self.settle().await;
        revision
    }

    /// Reports all routes that were not started RUNNING and then `health`.
    pub(super) async fn bring_up(&self, id: DeploymentId, health: RouteHealth) {
        let new = self.routes_in(id, RouteStatus::Provisioning).await;
        self.status(&new, RouteStatus::Running).await;
        self.health(&new, health).await;
        self.settle().await;
    }

    pub(super) async fn status(&self, routes: &[RouteId], status: RouteStatus) {
        let reports = routes.iter().map(|&route| report(route, status)).collect();
        let results = on_heap(|| self.db.report_statuses(reports))
            .await
            .expect("the reports are taken");
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    pub(super) async fn health(&self, routes: &[RouteId], health: RouteHealth) {
        let reports = routes
            .iter()
            .map(|&route| HealthReport::new(route, health))
            .collect();
        let results = on_heap(|| self.db.report_health(reports))
            .await
            .expect("the reports are taken");
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    /// Runs cycles until nothing is due.
    pub(super) async fn settle(&self) {
        for _ in 0..20 {
            let pass = self.pass().await;
            if pass.done.is_empty() {
                return;
            }
        }
        panic!("the queue does not empty");
    }

    /// Looks at what is due, as a coordinator does. Nothing fails.
    pub(super) async fn pass(&self) -> ReconcileBatch {
        let backoff = FailureBackoff::default();
        let pass = on_heap(|| self.db.reconcile_due(1_000, &backoff)).await;
        let pass = pass.expect("the pass goes through");
        assert!(pass.failed.is_empty(), "{:?}", pass.failed);
        pass
    }

    pub(super) async fn pause(&self, id: DeploymentId, paused: bool) {
        let changed = if paused {
            self.db.pause_deployment(id, &call()).await
        } else {
            self.db.resume_deployment(id, &call()).await
        };
        changed.expect("it was not so before");
    }

    /// What happened to a deployment, newest first.
    pub(super) async fn history(&self, id: DeploymentId) -> Vec<HistoryEntry> {
        let history = self
            .db
            .reader()
            .await
            .expect("a reader")
            .list_history(id, None, 1_000)
            .await;
        history.expect("it is read")
    }

    pub(super) async fn get(&self, id: DeploymentId) -> Deployment {
        find_deployment(&self.db, id)
            .await
            .expect("it is read")
            .expect("it is there")
    }

    pub(super) async fn routes(&self, id: DeploymentId) -> Vec<Route> {
        self.db
            .reader()
            .await
            .expect("a reader")
            .list_routes(id, RouteFilter::default(), None, 10_000)
            .await
            .expect("they are read")
    }

    pub(super) async fn routes_in(&self, id: DeploymentId, status: RouteStatus) -> Vec<RouteId> {
        let filter = RouteFilter {
            statuses: vec![status],
            revision: None,
        };
        let routes = self
            .db
            .reader()
            .await
            .expect("a reader")
            .list_routes(id, filter, None, 10_000)
            .await
            .expect("they are read");
        routes.iter().map(|route| route.view.id).collect()
    }

    pub(super) async fn routes_of(&self, id: DeploymentId, revision: RevisionId) -> Vec<RouteId> {
        let filter = RouteFilter {
            statuses: Vec::new(),
            revision: Some(revision),
        };
        let routes = self
            .db
            .reader()
            .await
            .expect("a reader")
            .list_routes(id, filter, None, 10_000)
            .await
            .expect("they are read");
        routes.iter().map(|route| route.view.id).collect()
    }

    /// The number that a query gives in its column `n`.
    pub(super) async fn number(&self, query: &str) -> i64 {
        let mut reader = self.db.reader().await.expect("a reader");
        let query = diesel::sql_query(query.to_owned());
        let row: Number =
            with_conn!(&mut reader, |c| query.clone().get_result(c)).expect("a number");
        row.n
    }

    /// The lines that a query gives in its column `line`.
    pub(super) async fn lines(&self, query: &str) -> Vec<String> {
        let mut reader = self.db.reader().await.expect("a reader");
        let query = diesel::sql_query(query.to_owned());
        let lines: Vec<Line> = load!(&mut reader, query.clone()).expect("the query runs");
        lines.into_iter().map(|line| line.line).collect()
    }

    /// Changes rows without going through a unit of work.
    pub(super) async fn tamper(&self, statement: &str) -> Result<(), crate::StoreError> {
        self.db
            .write(async |tx| tx.connection().await?.execute(statement).await)
            .await
    }

    /// How many rows there are of everything, and the sum of all versions: a
    /// call that changed nothing leaves this as it was.
    pub(super) async fn footprint(&self) -> Vec<i64> {
        let mut footprint = Vec::new();
        for query in [
            "SELECT COALESCE(SUM(sequence + generation + epoch + last_history), 0) AS n \
             FROM (SELECT CAST(sequence AS integer) AS sequence, \
             CAST(generation AS integer) AS generation, CAST(epoch AS integer) AS epoch, \
             CAST(last_history AS integer) AS last_history FROM deployments) AS d",
            "SELECT COUNT(*) AS n FROM deployments WHERE due_at IS NOT NULL",
            "SELECT COUNT(*) AS n FROM routes WHERE traffic_status = 'ACTIVE'",
            "SELECT COUNT(*) AS n FROM routes WHERE status = 'TERMINATING'",
            "SELECT COUNT(*) AS n FROM routes",
            "SELECT COUNT(*) AS n FROM assignments",
            "SELECT COUNT(*) AS n FROM history",
            "SELECT COUNT(*) AS n FROM events",
            "SELECT COUNT(*) AS n FROM revisions",
            "SELECT COUNT(*) AS n FROM replies",
        ] {
            footprint.push(self.number(query).await);
        }
        footprint
    }
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

pub(super) fn call() -> RequestContext {
    RequestContext {
        actor: "tester".into(),
        reason: "a test".into(),
        ..RequestContext::default()
    }
}

/// One whose repeat gets the same answer.
pub(super) fn with_request() -> RequestContext {
    RequestContext {
        request: Some(Request {
            id: RequestId(Uuid::now_v7()),
            method: "Call",
            fingerprint: vec![0, 255, 7],
        }),
        ..call()
    }
}

/// A deployment of one route, with a manual gate.
pub(super) fn new_deployment(project: &str, name: &str) -> NewDeployment {
    NewDeployment {
        project: project.into(),
        name: name.into(),
        labels: [].into(),
        metadata: Metadata::default(),
        target_replicas: 1,
        policy: manual(),
        revision_history_limit: 10,
        protocol: Protocol::default(),
        initial_revision: Some(spec()),
    }
}

pub(super) fn spec() -> RevisionSpec {
    RevisionSpec {
        command: vec!["true".into()],
        ..RevisionSpec::default()
    }
}

pub(super) fn report(route: RouteId, status: RouteStatus) -> StatusReport {
    StatusReport {
        route,
        status,
        session_id: "s".into(),
        address: Some(RouteAddress::parse(&format!("{route}.test:8080"))),
        failure: String::new(),
    }
}

/// A roll-back to this revision.
pub(super) fn back_to(revision: RevisionId) -> RollBackOptions {
    RollBackOptions {
        revision: Some(revision),
        ..RollBackOptions::default()
    }
}

/// Changes a spec without a condition.
pub(super) fn amend(
    change: impl Fn(&mut DeploymentSpec) + Send + Sync + 'static,
) -> impl Fn(&DeploymentSpec) -> Result<DeploymentSpec, Infallible> + Send + Sync + 'static {
    move |present| {
        let mut spec = present.clone();
        change(&mut spec);
        Ok(spec)
    }
}

/// Blue-green with a manual gate.
pub(super) fn manual() -> Policy {
    blue_green(|_| {})
}

/// Blue-green that promotes by itself after a delay.
pub(super) fn automatic(promote_delay: Duration) -> Policy {
    blue_green(|spec| {
        spec.auto_promote = true;
        spec.promote_delay = promote_delay;
    })
}

/// Blue-green that replaces nothing that fails, unless the change says so.
pub(super) fn blue_green(change: impl FnOnce(&mut BlueGreen)) -> Policy {
    let mut spec = BlueGreen {
        max_replacements: Some(0),
        ..BlueGreen::default()
    };
    change(&mut spec);
    Policy {
        strategy: Strategy::BlueGreen(spec),
        ..Policy::default()
    }
}

/// The revisions of the routes that are ACTIVE.
pub(super) fn colours(routes: &[Route]) -> Vec<RevisionId> {
    let active = routes
        .iter()
        .filter(|route| route.view.traffic == RouteTraffic::Active);
    let mut colours: Vec<RevisionId> = active.map(|route| route.view.revision).collect();
    colours.sort();
    colours.dedup();
    colours
}
