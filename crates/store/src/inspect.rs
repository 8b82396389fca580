//! Inspects a database, before a server runs on it or meanwhile.

use std::{fs::OpenOptions, io, path::Path};

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Bool, Nullable, Text},
};
use viridian_engine::{
    FileChange, Limits, Location, OpenError, SessionUse, Snapshot, count_names, system_clock,
};
use viridian_strategy::Timestamp;

use crate::{
    check::applied,
    error::{CheckError, StoreError},
    migrations::MIGRATIONS,
    schema::{HORIZON, TABLES},
    types::{Instant, Sql, timestamp},
};

/// The state of a database that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The engine and its version: `PostgreSQL 15.4`.
    pub engine: String,
    /// The state of the schema.
    pub schema: SchemaState,
    /// Why a server could not write, if it could not.
    pub read_only: Option<String>,
    /// The time on this machine.
    pub here: Timestamp,
    /// The database's time at the same moment. A server decides by it.
    pub deciding: Timestamp,
    /// What is stored, if the schema is current.
    pub record: Option<Extent>,
}

/// The state of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// There are no Viridian tables: a server creates them when it starts.
    Missing,
    /// An earlier version made it: a server migrates it when it starts.
    Behind,
    /// It is the schema of this version.
    Current,
    /// A later version made it. This version cannot use it.
    Newer,
}

/// How much is stored, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// How many deployments there are, tombstones included.
    pub deployments: u64,
    /// When the last one of them changed.
    pub last_change: Option<Timestamp>,
}

/// Inspects a database. Nothing is changed, the schema included, and servers may run on it. A
/// SQLite file that does not exist is no error if it can be created.
///
/// # Errors
///
/// A [`CheckError`] that is one clear sentence, if the database does not answer or its file
/// cannot be written.
pub async fn inspect(url: &str) -> Result<Inspection, CheckError> {
    match Location::parse(url)? {
        Location::Sqlite(path) => {
            expect_writable(&path).map_err(|why| OpenError::File {
                path: path.display().to_string(),
                why,
            })?;
            if !path.exists() {
                return Ok(not_yet());
            }
        }
        Location::Postgres(server) => {
            let limits = Limits::default();
            server.expect_suitable(limits, SessionUse::Look).await?;
        }
    }
    let here = timestamp(system_clock());
    let mut snapshot = Snapshot::open(url).await?;
    let about: Vec<About> = snapshot
        .rows(snapshot.dialect(ABOUT_SQLITE, ABOUT_POSTGRES), None)
        .await?;
    let about = about.into_iter().next();
    let about =
        about.ok_or_else(|| StoreError::Internal("it says nothing of itself".to_owned()))?;
    let schema = schema_state(&mut snapshot).await?;
    let mut read_only = about.read_only;
    let mut record = None;
    match schema {
        // Only then has a server tables to make.
        SchemaState::Missing | SchemaState::Behind if !about.may_create => {
            read_only.get_or_insert_with(|| "its role may not make tables".to_owned());
        }
        SchemaState::Current => {
            let extent = snapshot.dialect(EXTENT, EXTENT);
            let extent: Vec<Extents> = snapshot.rows(extent, None).await?;
            record = extent.into_iter().next().map(|it| Extent {
                deployments: it.deployments.cast_unsigned(),
                last_change: it.last_change.map(|it| it.0),
            });
            let postgres = refused_postgres();
            let query = snapshot.dialect(REFUSED_SQLITE, &postgres);
            let refused: Vec<Refused> = snapshot.rows(query, None).await?;
            if let Some(tables) = refused.into_iter().find_map(|it| it.tables) {
                // An earlier reason stays: a standby refuses everything, whatever the role may do.
                read_only.get_or_insert_with(|| format!("its role may not write {tables}"));
            }
        }
        _ => {}
    }
    Ok(Inspection {
        engine: about.engine,
        schema,
        read_only,
        here,
        deciding: about.now.map_or(here, |it| it.0),
        record,
    })
}

/// The inspection of a file that a server will create.
fn not_yet() -> Inspection {
    let here = timestamp(system_clock());
    Inspection {
        engine: "SQLite".to_owned(),
        schema: SchemaState::Missing,
        read_only: None,
        here,
        deciding: here,
        record: None,
    }
}

async fn schema_state(snapshot: &mut Snapshot) -> Result<SchemaState, CheckError> {
    let tables: Vec<Tables> = snapshot
        .rows(snapshot.dialect(TABLES_SQLITE, TABLES_POSTGRES), None)
        .await?;
    if tables.iter().all(|it| it.n == 0) {
        return Ok(SchemaState::Missing);
    }
    let found = applied(snapshot).await?;
    let known = MIGRATIONS.versions()?;
    Ok(if found.iter().any(|version| !known.contains(version)) {
        SchemaState::Newer
    } else if found == known {
        SchemaState::Current
    } else {
        SchemaState::Behind
    })
}

/// Checks that SQLite can write a file, which need not exist, and create files beside it. The
/// file that tests this is deleted at once.
fn expect_writable(path: &Path) -> Result<(), String> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(format!("there is no folder {}", folder.display()));
    }
    if path.is_dir() {
        return Err("it is a folder".to_owned());
    }
    let refused = |what: &str, error: io::Error| format!("{what} cannot be written: {error}");
    if path.exists() {
        let opened = OpenOptions::new().write(true).open(path);
        opened.map_err(|error| refused("it", error))?;
        if count_names(path) > Some(1) {
            let linked = FileChange::Linked;
            return Err(format!(
                "it {linked}; remove that, and copy the file instead"
            ));
        }
    }
    tempfile::tempfile_in(folder).map_err(|error| refused("its folder", error))?;
    Ok(())
}

/// The query for the tables that a role may not write. The list of tables is the one
/// that is copied, so that a new table cannot be left out here.
fn refused_postgres() -> String {
    let names = TABLES.map(|table| format!("'{table}'")).join(", ");
    format!(
        "SELECT string_agg(name, ', ') AS tables FROM unnest(ARRAY[{names}, '{HORIZON}']) AS name \
         WHERE NOT (has_table_privilege(name, 'UPDATE') AND (name = '{HORIZON}' \
         OR has_table_privilege(name, 'INSERT') AND has_table_privilege(name, 'DELETE')))"
    )
}

#[derive(QueryableByName)]
struct About {
    #[diesel(sql_type = Text)]
    engine: String,
    #[diesel(sql_type = Nullable<Text>)]
    read_only: Option<String>,
    #[diesel(sql_type = Bool)]
    may_create: bool,
    #[diesel(sql_type = Nullable<Instant>)]
    now: Option<Sql<Timestamp>>,
}

#[derive(QueryableByName)]
struct Tables {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Extents {
    #[diesel(sql_type = BigInt)]
    deployments: i64,
    #[diesel(sql_type = Nullable<Instant>)]
    last_change: Option<Sql<Timestamp>>,
}

#[derive(QueryableByName)]
struct Refused {
    #[diesel(sql_type = Nullable<Text>)]
    tables: Option<String>,
}

const ABOUT_POSTGRES: &str = "SELECT 'PostgreSQL ' || current_setting('server_version') AS engine, \
     CASE WHEN pg_is_in_recovery() THEN 'it is a standby' \
     WHEN current_setting('default_transaction_read_only')::boolean \
     THEN 'default_transaction_read_only is on' END AS read_only, \
     has_schema_privilege(current_schema(), 'CREATE') AS may_create, clock_timestamp() AS now";

/// On SQLite the time is that of the server's process.
const ABOUT_SQLITE: &str = "SELECT 'SQLite ' || sqlite_version() AS engine, NULL AS read_only, \
     1 AS may_create, NULL AS now";

// `to_regclass` is NULL for a table that is not there, and COUNT leaves that out.
const TABLES_POSTGRES: &str = "SELECT COUNT(to_regclass('__diesel_schema_migrations')) AS n";

const TABLES_SQLITE: &str =
    "SELECT COUNT(*) AS n FROM sqlite_schema WHERE name = '__diesel_schema_migrations'";

const EXTENT: &str = "SELECT COUNT(*) AS deployments, MAX(updated_at) AS last_change \
     FROM deployments";

const REFUSED_SQLITE: &str = "SELECT NULL AS tables";
