//! A database with many deployments at their gate, and a way to reset them to it.

use std::env;

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tempfile::TempDir;
use tokio::task::block_in_place;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;
use viridian_store::{
    AssignmentSelection, FailureBackoff, HealthReport, Metadata, NewDeployment, Projects, Protocol,
    RequestContext, RevisionSpec, RouteAddress, StatusReport, Store,
};
use viridian_strategy::{
    BlueGreen, DeploymentId, Policy, RouteHealth, RouteId, RouteStatus, Strategy,
};

/// A database of either engine, with a connection beside the store.
pub(crate) struct Stage {
    pub(crate) url: String,
    pub(crate) ids: Vec<DeploymentId>,
    pub(crate) side: Side,
    _folder: TempDir,
}

pub(crate) enum Side {
    Postgres(Client),
    Sqlite(String),
}

impl Stage {
    /// A new database on the server that `VIRIDIAN_TEST_POSTGRES` names.
    pub(crate) async fn on_postgres() -> Self {
        let server = server();
        let name = format!("bench_{}", Uuid::now_v7().simple());
        let first = connect(&server).await;
        let create = format!("CREATE DATABASE {name}");
        first.batch_execute(&create).await.expect("a new database");
        let mut url = url::Url::parse(&server).expect("a URL");
        url.set_path(&name);
        Self {
            side: Side::Postgres(connect(url.as_str()).await),
            url: url.into(),
            ids: Vec::new(),
            _folder: TempDir::new().expect("a temporary folder"),
        }
    }

    pub(crate) fn on_sqlite() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().join("viridian.db").display().to_string();
        Self {
            url: format!("sqlite:{path}"),
            ids: Vec::new(),
            side: Side::Sqlite(path),
            _folder: folder,
        }
    }

    /// Creates deployments whose first revision serves.
    pub(crate) async fn create(&mut self, db: &Store, deployments: usize, routes: u32) {
        self.create_only(db, deployments, routes).await;
        self.bring_up(db).await;
    }

    /// Creates deployments whose first revision is to be started.
    pub(crate) async fn create_only(&mut self, db: &Store, deployments: usize, routes: u32) {
        let create = async |_| {
            let created = db.create_deployment(new(routes), &call()).await;
            created.expect("it is created").deployment.id
        };
        self.ids = all(0..deployments, create).await;
    }

    /// Deploys one more revision of each, and brings it to its gate.
    pub(crate) async fn deploy(&self, db: &Store) {
        self.activate(db).await;
        settle(db).await;
        self.bring_up(db).await;
    }

    pub(crate) async fn activate(&self, db: &Store) {
        let activate = async |id| {
            let terms = call();
            let created = db.create_revision(id, RevisionSpec::default(), true, &terms);
            created.await.expect("it is activated");
        };
        all(self.ids.iter().copied(), activate).await;
    }

    /// Reports all new routes as running and healthy.
    pub(crate) async fn bring_up(&self, db: &Store) {
        self.report(db).await;
        settle(db).await;
    }

    pub(crate) async fn report(&self, db: &Store) {
        let open = db
            .open_assignments("g", Projects::All, &AssignmentSelection::All)
            .await;
        let open = open.expect("they are read").open;
        let routes: Vec<RouteId> = open.iter().map(|open| open.route.view.id).collect();
        for routes in routes.chunks(1_000) {
            let running = routes.iter().map(|&route| StatusReport {
                route,
                status: RouteStatus::Running,
                session_id: "s".into(),
                address: Some(RouteAddress::parse(&format!("{route}.test:80"))),
                failure: String::new(),
            });
            let results = db.report_statuses(running.collect()).await;
            assert!(results.expect("they are taken").iter().all(Result::is_ok));
            let health = RouteHealth::Healthy;
            let healthy = routes.iter().map(|&route| HealthReport::new(route, health));
            let results = db.report_health(healthy.collect()).await;
            assert!(results.expect("they are taken").iter().all(Result::is_ok));
        }
    }

    /// Saves all tables, to be restored.
    pub(crate) async fn keep(&self) {
        for table in TABLES {
            self.execute(&format!(
                "CREATE TABLE kept_{table} AS SELECT * FROM {table}"
            ))
            .await;
        }
    }

    /// Numbers the deployments at their gate, for the statements by hand.
    pub(crate) async fn number(&self) {
        let Side::Postgres(_) = &self.side else {
            return;
        };
        self.execute(
            "CREATE TABLE numbered AS SELECT row_number() OVER () AS n, d.id, d.status, \
             (SELECT snapshot FROM events WHERE deployment_id = d.id ORDER BY sequence DESC LIMIT 1), \
             ARRAY(SELECT id FROM routes WHERE revision_id = d.deploying_revision_id) AS green, \
             ARRAY(SELECT id FROM routes WHERE revision_id = d.current_revision_id) AS blue \
             FROM deployments AS d; CREATE UNIQUE INDEX ON numbered (n); ANALYZE numbered",
        )
        .await;
    }

    /// Restores the saved tables.
    pub(crate) async fn rewind(&self) {
        match &self.side {
            Side::Postgres(_) => {
                let insert = TABLES.map(|table| {
                    let own = match table {
                        "events" => "OVERRIDING SYSTEM VALUE",
                        _ => "",
                    };
                    format!("INSERT INTO {table} {own} SELECT * FROM kept_{table}")
                });
                let tables = TABLES.join(", ");
                let insert = insert.join("; ");
                self.execute(&format!("BEGIN; TRUNCATE {tables}; {insert}; COMMIT"))
                    .await;
                for table in TABLES {
                    self.execute(&format!("VACUUM ANALYZE {table}")).await;
                }
                self.execute("CHECKPOINT").await;
            }
            Side::Sqlite(_) => {
                let delete = TABLES
                    .iter()
                    .rev()
                    .map(|table| format!("DELETE FROM {table}"));
                let insert =
                    TABLES.map(|table| format!("INSERT INTO {table} SELECT * FROM kept_{table}"));
                let all = delete.chain(insert).collect::<Vec<_>>().join("; ");
                self.execute(&format!(
                    "PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE; {all}; COMMIT; \
                     PRAGMA wal_checkpoint(TRUNCATE)"
                ))
                .await;
            }
        }
    }

    pub(crate) async fn execute(&self, statements: &str) {
        match &self.side {
            Side::Postgres(client) => client.batch_execute(statements).await.expect(statements),
            Side::Sqlite(path) => block_in_place(|| {
                let mut connection = SqliteConnection::establish(path).expect("it opens");
                connection
                    .batch_execute(&format!("PRAGMA busy_timeout = 5000; {statements}"))
                    .expect(statements);
            }),
        }
    }
}

/// Reconciles until nothing is due.
pub(crate) async fn settle(db: &Store) {
    loop {
        let pass = db.reconcile_due(500, &FailureBackoff::default()).await;
        let pass = pass.expect("the pass goes through");
        assert!(pass.failed.is_empty(), "{:?}", pass.failed);
        if pass.done.is_empty() {
            return;
        }
    }
}

/// Runs a task for each item, some at a time.
async fn all<I, T>(of: impl IntoIterator<Item = I>, work: impl AsyncFn(I) -> T) -> Vec<T> {
    let each = stream::iter(of).map(|one| async { Ok::<_, ()>(work(one).await) });
    let done = each.buffered(16).try_collect().await;
    done.expect("nothing fails")
}

pub(crate) fn call() -> RequestContext {
    RequestContext {
        actor: "bench".into(),
        reason: "a bench".into(),
        ..RequestContext::default()
    }
}

pub(crate) fn server() -> String {
    env::var("VIRIDIAN_TEST_POSTGRES").expect("VIRIDIAN_TEST_POSTGRES: run this with its script")
}

async fn connect(url: &str) -> Client {
    let connected = tokio_postgres::connect(url, NoTls).await;
    let (client, connection) = connected.expect("the server answers");
    // Ends with the client.
    tokio::spawn(connection);
    client
}

fn new(routes: u32) -> NewDeployment {
    NewDeployment {
        project: "p".into(),
        name: Uuid::now_v7().to_string(),
        labels: [].into(),
        metadata: Metadata {
            resource_group: "g".into(),
            ..Metadata::default()
        },
        target_replicas: routes,
        policy: Policy {
            strategy: Strategy::BlueGreen(BlueGreen::default()),
            ..Policy::default()
        },
        revision_history_limit: 10,
        protocol: Protocol::default(),
        initial_revision: Some(RevisionSpec::default()),
    }
}

/// Each table is after those that it refers to.
const TABLES: [&str; 8] = [
    "deployments",
    "revisions",
    "routes",
    "assignments",
    "history",
    "events",
    "replies",
    "last_reports",
];
