//! Bringing the schema up to date.

use diesel::{SqliteConnection, migration::MigrationSource, pg::Pg};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

use crate::error::OpenError;

const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");
const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");

/// Several servers may start at once: the first migrates, the others wait. The
/// lock ends with the connection.
pub(crate) async fn postgres(mut connection: AsyncPgConnection) -> Result<(), OpenError> {
    connection
        .batch_execute("SET lock_timeout = 0; SELECT pg_advisory_lock(7887342211)")
        .await
        .map_err(failed)?;
    AsyncMigrationHarness::new(connection)
        .run_pending_migrations(POSTGRES)
        .map_err(failed)?;
    Ok(())
}

pub(crate) fn sqlite(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    connection.run_pending_migrations(SQLITE).map_err(failed)?;
    Ok(())
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
