use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error, NoTls};

use super::TestDatabase;

/// A session that locks the rows of all deployments, so that no call can change one.
/// Released when it is dropped. On SQLite it is the write lock of the whole file.
pub(crate) enum RowLock {
    Sqlite(SqliteConnection),
    Postgres {
        session: Client,
        driver: JoinHandle<Result<(), Error>>,
    },
}

impl RowLock {
    pub(crate) async fn all_deployments(database: &TestDatabase) -> Self {
        match database.url().strip_prefix("sqlite:") {
            Some(path) => {
                let mut session = SqliteConnection::establish(path).expect("the file opens");
                let begun = session.batch_execute("PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE");
                begun.expect("it can be locked");
                Self::Sqlite(session)
            }
            None => {
                let (session, connection) = tokio_postgres::connect(database.url(), NoTls)
                    .await
                    .expect("it answers");
                let driver = tokio::spawn(connection);
                let begun = session.batch_execute("BEGIN; SELECT id FROM deployments FOR UPDATE");
                begun.await.expect("it can be locked");
                Self::Postgres { session, driver }
            }
        }
    }

    /// Counts the other sessions in a transaction. `None` on SQLite, which has no such
    /// view.
    pub(crate) async fn others_in_transactions(&self) -> Option<i64> {
        self.others("(wait_event_type = 'Lock' OR state LIKE 'idle in transaction%')")
            .await
    }

    /// Counts the other sessions that wait for a lock. `None` on SQLite.
    pub(crate) async fn others_that_wait(&self) -> Option<i64> {
        self.others("wait_event_type = 'Lock'").await
    }

    async fn others(&self, condition: &str) -> Option<i64> {
        let Self::Postgres { session, .. } = self else {
            return None;
        };
        let count = format!(
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND {condition}"
        );
        // PostgreSQL keeps its statistics unchanged within a transaction.
        let afresh = session.batch_execute("SELECT pg_stat_clear_snapshot()");
        afresh.await.expect("it can be asked");
        let row = session.query_one(&count, &[]).await;
        Some(row.expect("it can be asked").get(0))
    }

    pub(crate) async fn release(self) {
        match self {
            Self::Sqlite(mut session) => {
                session.batch_execute("ROLLBACK").expect("it is released");
            }
            Self::Postgres { session, driver } => {
                session
                    .batch_execute("ROLLBACK")
                    .await
                    .expect("it is released");
                drop(session);
                let ended = driver.await.expect("it does not panic");
                ended.expect("the session ends well");
            }
        }
    }
}
