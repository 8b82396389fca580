use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error, NoTls};

use super::TestDatabase;

/// Someone who holds all deployments, so that no call can change one, and who
/// lets go when it is dropped.
pub(crate) enum Hold {
    Sqlite(SqliteConnection),
    Postgres {
        session: Client,
        driver: JoinHandle<Result<(), Error>>,
    },
}

impl Hold {
    pub(crate) async fn all_deployments(database: &TestDatabase) -> Self {
        match database.url().strip_prefix("sqlite:") {
            Some(path) => {
                let mut session = SqliteConnection::establish(path).expect("the file opens");
                let begun = session.batch_execute("PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE");
                begun.expect("it can be held");
                Self::Sqlite(session)
            }
            None => {
                let (session, connection) = tokio_postgres::connect(database.url(), NoTls)
                    .await
                    .expect("it answers");
                let driver = tokio::spawn(connection);
                let begun = session.batch_execute("BEGIN; SELECT id FROM deployments FOR UPDATE");
                begun.await.expect("it can be held");
                Self::Postgres { session, driver }
            }
        }
    }

    /// How many sessions besides this one are in a transaction, as PostgreSQL
    /// knows. SQLite does not tell.
    pub(crate) async fn others_in_transactions(&self) -> Option<i64> {
        self.others("(wait_event_type = 'Lock' OR state LIKE 'idle in transaction%')")
            .await
    }

    /// How many of them wait for a lock.
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
        // Within a transaction it goes on telling what it told first.
        let afresh = session.batch_execute("SELECT pg_stat_clear_snapshot()");
        afresh.await.expect("it can be asked");
        let row = session.query_one(&count, &[]).await;
        Some(row.expect("it can be asked").get(0))
    }

    pub(crate) async fn release(self) {
        match self {
            Self::Sqlite(mut session) => {
                session.batch_execute("ROLLBACK").expect("it lets go");
            }
            Self::Postgres { session, driver } => {
                session.batch_execute("ROLLBACK").await.expect("it lets go");
                drop(session);
                let ended = driver.await.expect("it does not panic");
                ended.expect("the session ends well");
            }
        }
    }
}
