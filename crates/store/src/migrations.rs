//! Bringing the schema up to date.

use diesel::{
    SqliteConnection,
    migration::{MigrationSource, MigrationVersion},
    pg::Pg,
};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

use crate::error::OpenError;

pub(crate) const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");
pub(crate) const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");

/// Several servers may start at once: the first migrates, the others wait. The
/// lock ends with the connection.
pub(crate) async fn postgres(mut connection: AsyncPgConnection) -> Result<(), OpenError> {
    connection
        .batch_execute(
            "SET lock_timeout = 0; SET statement_timeout = 0; \
             SELECT pg_advisory_lock(7887342211)",
        )
        .await
        .map_err(failed)?;
    let mut harness = AsyncMigrationHarness::new(connection);
    let applied = harness.applied_migrations().map_err(failed)?;
    refuse_newer(&applied)?;
    harness.run_pending_migrations(POSTGRES).map_err(failed)?;
    Ok(())
}

pub(crate) fn sqlite(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let applied = connection.applied_migrations().map_err(failed)?;
    refuse_newer(&applied)?;
    connection.run_pending_migrations(SQLITE).map_err(failed)?;
    Ok(())
}

/// A program that does not know all that was done to a database would write what
/// is wrong there.
fn refuse_newer(applied: &[MigrationVersion<'_>]) -> Result<(), OpenError> {
    let known = versions()?;
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

/// The versions that a database has whose schema is up to date: the same ones on
/// both engines.
pub(crate) fn versions() -> Result<Vec<String>, OpenError> {
    let all = MigrationSource::<Pg>::migrations(&POSTGRES).map_err(failed)?;
    let mut versions: Vec<String> = all
        .iter()
        .map(|it| it.name().version().to_string())
        .collect();
    versions.sort();
    Ok(versions)
}

fn failed(error: impl std::fmt::Display) -> OpenError {
    OpenError::Migration(error.to_string())
}
