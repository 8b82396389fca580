use std::{env, thread};

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use jiff::SignedDuration;
use tempfile::TempDir;
use tokio_postgres::NoTls;
use url::Url;
use uuid::Uuid;

/// The two engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// A fresh database for one test; gone when it is dropped.
pub(crate) struct TestDatabase {
    url: String,
    keeper: Keeper,
}

enum Keeper {
    Folder(#[expect(dead_code, reason = "removed when it is dropped")] TempDir),
    Postgres { admin: Url, name: String },
}

impl TestDatabase {
    pub(crate) async fn create(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => {
                let folder = tempfile::tempdir().expect("a temporary folder");
                Self {
                    url: format!("sqlite:{}", folder.path().join("viridian.db").display()),
                    keeper: Keeper::Folder(folder),
                }
            }
            Engine::Postgres => {
                let admin = postgres();
                let name = format!("e2e_{}", Uuid::now_v7().simple());
                execute(&admin, &format!("CREATE DATABASE {name}")).await;
                let mut url = admin.clone();
                url.set_path(&name);
                Self {
                    url: url.into(),
                    keeper: Keeper::Postgres { admin, name },
                }
            }
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Changes rows behind the server's back.
    pub(crate) async fn execute(&self, statement: &str) {
        match self.url.strip_prefix("sqlite:") {
            Some(path) => SqliteConnection::establish(path)
                .expect("the file opens")
                .batch_execute(&format!("PRAGMA busy_timeout = 5000; {statement}"))
                .expect(statement),
            None => execute(&self.url.parse().expect("a URL"), statement).await,
        }
    }
}

/// What PostgreSQL alone can do.
impl TestDatabase {
    /// Cuts all connections, and takes no more.
    pub(crate) async fn lock_out(&self) {
        let (admin, name) = self.in_postgres();
        let statement = format!(
            "ALTER DATABASE {name} ALLOW_CONNECTIONS false; SELECT pg_terminate_backend(pid) \
             FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        );
        execute(admin, &statement).await;
    }

    /// Locks all deployments until what it gives is dropped.
    pub(crate) async fn hold_deployments(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(self.url(), NoTls)
            .await
            .expect("the server answers");
        tokio::spawn(connection);
        let lock = "BEGIN; SELECT id FROM deployments FOR UPDATE";
        client.batch_execute(lock).await.expect("they are locked");
        client
    }

    /// Has each creation of routes take a second.
    pub(crate) async fn slow_down_cycles(&self) {
        self.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN PERFORM pg_sleep(1); RETURN NEW; END'; \
             CREATE TRIGGER slow BEFORE INSERT ON routes \
             FOR EACH STATEMENT EXECUTE FUNCTION slow()",
        )
        .await;
    }

    /// Sets the clock of the database wrong by an offset.
    pub(crate) async fn set_clock(&self, by: SignedDuration) {
        let (_, name) = self.in_postgres();
        let seconds = by.as_secs();
        self.execute(&format!(
            "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS \
             'SELECT pg_catalog.clock_timestamp() + make_interval(secs => {seconds})'; \
             ALTER DATABASE {name} SET search_path = public, pg_catalog"
        ))
        .await;
    }

    /// How many of these there are now.
    pub(crate) async fn cycles_under_way(&self) -> i64 {
        self.number(
            "SELECT COUNT(*) FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event = 'PgSleep'",
        )
        .await
    }

    /// The number that a query gives.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        let (client, connection) = tokio_postgres::connect(self.url(), NoTls)
            .await
            .expect("the server answers");
        let driver = tokio::spawn(connection);
        let row = client.query_one(query, &[]).await.expect(query);
        drop(client);
        let ended = driver.await.expect("the connection does not panic");
        ended.expect("the connection ends well");
        row.get(0)
    }

    fn in_postgres(&self) -> (&Url, &str) {
        match &self.keeper {
            Keeper::Postgres { admin, name } => (admin, name),
            Keeper::Folder(_) => panic!("it is in PostgreSQL"),
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Keeper::Postgres { admin, name } = &self.keeper else {
            return;
        };
        let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        let admin = admin.clone();
        // Within a runtime no other can be entered, hence the thread.
        let dropped = thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(execute(&admin, &statement));
        });
        let dropped = dropped.join();
        assert!(
            dropped.is_ok() || thread::panicking(),
            "database {name} cannot be dropped"
        );
    }
}

/// The superuser's URL of the PostgreSQL server for tests.
fn postgres() -> Url {
    let url = env::var("VIRIDIAN_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!(
            "VIRIDIAN_TEST_POSTGRES is not set, and tests on PostgreSQL are never skipped: \
             run them by scripts/test or scripts/with-postgres"
        )
    });
    url.parse()
        .expect("VIRIDIAN_TEST_POSTGRES is a postgres:// URL")
}

async fn execute(server: &Url, statement: &str) {
    let (client, connection) = tokio_postgres::connect(server.as_str(), NoTls)
        .await
        .expect("the PostgreSQL server of VIRIDIAN_TEST_POSTGRES answers");
    let driver = tokio::spawn(connection);
    client.batch_execute(statement).await.expect(statement);
    drop(client);
    driver
        .await
        .expect("the connection does not panic")
        .expect("the connection ends well");
}
