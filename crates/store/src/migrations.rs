//! The schema's migrations, of both engines.

use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use viridian_engine::Migrations;

/// The newest migration that this program knows.
pub fn schema_version() -> String {
    // The list of what is compiled in can be read, and is not empty.
    let versions = MIGRATIONS.versions().unwrap_or_default();
    versions.into_iter().next_back().unwrap_or_default()
}

pub(crate) const MIGRATIONS: Migrations = Migrations {
    postgres: &POSTGRES,
    sqlite: &SQLITE,
    // Any number, and never another one: servers of two versions would migrate at the same time.
    advisory_lock: 7_887_342_211,
    postgres_time: POSTGRES_TIME,
};

/// Not `now()`, which is the time of BEGIN: a transaction that waited for a lock would decide by
/// a time from before the wait. The correction is how much the clock was set by meanwhile.
const POSTGRES_TIME: &str = "SELECT clock_timestamp() \
     - (SELECT clock_correction FROM horizon) * interval '1 microsecond'";

pub(crate) const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");
pub(crate) const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");
