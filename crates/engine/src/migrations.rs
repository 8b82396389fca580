//! Brings a schema up to date. Which migrations there are is the caller's.

use diesel::{
    SqliteConnection,
    migration::{MigrationSource, MigrationVersion},
    pg::Pg,
};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _};

use crate::error::OpenError;

/// The migrations of both engines: the same names in both.
#[derive(Clone, Copy)]
pub struct Migrations {
    /// Those of PostgreSQL.
    pub postgres: &'static EmbeddedMigrations,
    /// Those of SQLite.
    pub sqlite: &'static EmbeddedMigrations,
    /// The advisory lock of PostgreSQL under which one server migrates and others wait.
    pub advisory_lock: i64,
    /// The query for the time that decides, on PostgreSQL.
    pub postgres_time: &'static str,
}

impl Migrations {
    /// Returns the versions that an up-to-date database has, in order.
    ///
    /// # Errors
    ///
    /// When the program's own migrations cannot be read.
    pub fn versions(&self) -> Result<Vec<String>, OpenError> {
        let all = MigrationSource::<Pg>::migrations(self.postgres).map_err(failed)?;
        let mut versions: Vec<String> = all
            .iter()
            .map(|it| it.name().version().to_string())
            .collect();
        versions.sort();
        Ok(versions)
    }

    /// Migrates PostgreSQL. When several servers start at once, the first one migrates and
    /// the others wait. The lock ends with the connection.
    pub(crate) async fn run_on_postgres(
        &self,
        mut connection: AsyncPgConnection,
    ) -> Result<(), OpenError> {
        // A migration may take longer than any call may wait, here or on the server that has the
        // lock.
        let lock = format!(
            "SET lock_timeout = 0; SET statement_timeout = 0; SELECT pg_advisory_lock({})",
            self.advisory_lock
        );
        connection.batch_execute(&lock).await.map_err(failed)?;
        let mut harness = AsyncMigrationHarness::new(connection);
        let applied = harness.applied_migrations().map_err(failed)?;
        // Under the lock: a newer server may have migrated while this one waited for it.
        self.refuse_newer(&applied)?;
        harness
            .run_pending_migrations(MigrationsRef(self.postgres))
            .map_err(failed)?;
        Ok(())
    }

    /// Migrates a SQLite file.
    pub(crate) fn run_on_sqlite(&self, connection: &mut SqliteConnection) -> Result<(), OpenError> {
        let applied = connection.applied_migrations().map_err(failed)?;
        self.refuse_newer(&applied)?;
        connection
            .run_pending_migrations(MigrationsRef(self.sqlite))
            .map_err(failed)?;
        Ok(())
    }

    /// Refuses a newer schema: this program would write rows that are wrong there.
    fn refuse_newer(&self, applied: &[MigrationVersion<'_>]) -> Result<(), OpenError> {
        let known = self.versions()?;
        let unknown = applied
            .iter()
            .map(ToString::to_string)
            .find(|version| !known.contains(version));
        match unknown {
            None => Ok(()),
            Some(version) => Err(OpenError::Schema(format!(
                "it was made by a newer program, migration {version} is not known here"
            ))),
        }
    }
}

/// A source is taken by value, and embedded migrations are not `Copy`.
struct MigrationsRef(&'static EmbeddedMigrations);

impl<DB: diesel::backend::Backend> MigrationSource<DB> for MigrationsRef
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    fn migrations(
        &self,
    ) -> diesel::migration::Result<Vec<Box<dyn diesel::migration::Migration<DB>>>> {
        self.0.migrations()
    }
}

fn failed(error: impl std::fmt::Display) -> OpenError {
    OpenError::Migration(error.to_string())
}
