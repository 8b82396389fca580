//! The schema's migrations, of both engines.

use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use viridian_engine::Migrations;

pub(crate) const MIGRATIONS: Migrations = Migrations {
    postgres: &POSTGRES,
    sqlite: &SQLITE,
    // Any number, and never another one: servers of two versions would migrate at the same time.
    advisory_lock: 7_887_342_211,
};

pub(crate) const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");
pub(crate) const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");
