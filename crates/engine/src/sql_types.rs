//! How each kind of value is stored, on both engines.
//!
//! | SQL type | PostgreSQL | SQLite |
//! |---|---|---|
//! | [`Id`] | `uuid` | `BLOB`, 16 bytes |
//! | [`Label`] | `text` | `TEXT` |
//! | [`Instant`] | `timestamptz` | `TEXT`, RFC 3339 in UTC with six digits |
//! | [`Document`] | `text` | `TEXT` |

use diesel::{query_builder::QueryId, sql_types::SqlType};

/// An id.
#[derive(Clone, Copy, Debug, Default, QueryId, SqlType)]
#[diesel(
    postgres_type(oid = 2950, array_oid = 2951),
    sqlite_type(name = "Binary")
)]
pub struct Id;

/// One of a few words.
#[derive(Clone, Copy, Debug, Default, QueryId, SqlType)]
#[diesel(postgres_type(oid = 25, array_oid = 1009), sqlite_type(name = "Text"))]
pub struct Label;

/// A point in time.
#[derive(Clone, Copy, Debug, Default, QueryId, SqlType)]
#[diesel(
    postgres_type(oid = 1184, array_oid = 1185),
    sqlite_type(name = "Text")
)]
pub struct Instant;

impl diesel::sql_types::SqlOrd for Instant {}

/// JSON, as text on PostgreSQL too: it is read and written as a whole, and the database
/// would parse `jsonb` each time.
#[derive(Clone, Copy, Debug, Default, QueryId, SqlType)]
#[diesel(postgres_type(oid = 25, array_oid = 1009), sqlite_type(name = "Text"))]
pub struct Document;
