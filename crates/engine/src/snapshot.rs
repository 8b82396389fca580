//! One consistent view of a database, beside whatever servers run on it.

use std::path::Path;

use diesel::{
    Connection as _, ConnectionError, QueryResult, QueryableByName, SqliteConnection,
    connection::SimpleConnection as _,
    pg::Pg,
    result::Error as DieselError,
    sql_query,
    sql_types::{Double, Text},
    sqlite::Sqlite,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use tokio::task::spawn_blocking;

use crate::{
    connection::load_in_place,
    error::{EngineError, OpenError},
    limits::Limits,
    location::Location,
    pg_connector::SessionUse,
    sqlite_file::uri,
    sqlite_thread::{SqliteConn, with_thread},
};

/// A connection in a read-only transaction: every query sees the same committed state. It
/// takes no lock that a server needs, and ends when it is dropped.
#[expect(clippy::large_enum_variant, reason = "there is one")]
pub enum Snapshot {
    /// On PostgreSQL.
    Pg(AsyncPgConnection),
    /// On SQLite.
    Sqlite(SqliteConn),
}

impl Snapshot {
    /// Begins the transaction.
    ///
    /// # Errors
    ///
    /// An [`OpenError`] that is one clear sentence.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        match Location::parse(url)? {
            Location::Postgres(server) => {
                let away = |error: ConnectionError| match error {
                    ConnectionError::BadConnection(why) => OpenError::Unavailable(why),
                    error => OpenError::Unavailable(error.to_string()),
                };
                let server = server.connector()?;
                let connected = server.connect(Limits::default(), SessionUse::Look).await;
                let mut connection = connected.map_err(away)?;
                let begun = connection.batch_execute(BEGIN_POSTGRES).await;
                begun.map_err(|error| OpenError::Unavailable(error.to_string()))?;
                Ok(Self::Pg(connection))
            }
            Location::Sqlite(path) => {
                let unusable = |why: String| OpenError::File {
                    path: path.display().to_string(),
                    why,
                };
                let uri = read_only(&path).map_err(unusable)?;
                let opened = spawn_blocking(move || {
                    let mut connection =
                        SqliteConnection::establish(&uri).map_err(|error| error.to_string())?;
                    let begun = connection.batch_execute(BEGIN_SQLITE);
                    begun.map_err(|error| error.to_string())?;
                    Ok(connection)
                });
                let opened = opened.await.map_err(|error| unusable(error.to_string()))?;
                Ok(Self::Sqlite(with_thread(opened.map_err(unusable)?)))
            }
        }
    }

    /// Returns the text that is meant for this engine.
    pub fn dialect<'a>(&self, sqlite: &'a str, postgres: &'a str) -> &'a str {
        match self {
            Self::Pg(_) => postgres,
            Self::Sqlite(_) => sqlite,
        }
    }

    /// Returns what is wrong with SQLite's file: at most 100 lines, in its own words. None on
    /// PostgreSQL, which has checksums of its own.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn damages(&mut self) -> Result<Vec<String>, EngineError> {
        let Self::Sqlite(connection) = self else {
            return Ok(Vec::new());
        };
        let query = sql_query("SELECT integrity_check AS line FROM pragma_integrity_check");
        Ok(damages_in(load_in_place(connection, query).await)?)
    }

    /// Returns the rows of a query, which may have one parameter.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn rows<Row>(
        &mut self,
        query: &str,
        parameter: Option<f64>,
    ) -> Result<Vec<Row>, EngineError>
    where
        Row: QueryableByName<Pg> + QueryableByName<Sqlite> + Send + 'static,
    {
        let query = sql_query(query);
        let rows: QueryResult<Vec<Row>> = match (self, parameter) {
            (Self::Pg(c), None) => query.load(c).await,
            (Self::Pg(c), Some(value)) => query.bind::<Double, _>(value).load(c).await,
            (Self::Sqlite(c), None) => load_in_place(c, query).await,
            (Self::Sqlite(c), Some(value)) => {
                load_in_place(c, query.bind::<Double, _>(value)).await
            }
        };
        Ok(rows?)
    }
}

/// Returns a URI that opens a file without making or changing it.
fn read_only(path: &Path) -> Result<String, String> {
    if !path.is_file() {
        return Err("there is no such file".to_owned());
    }
    uri(path, "ro")
}

/// Returns what is wrong with the structure of a file, if anything is: the first thing, in
/// SQLite's words. Does not compare indexes with their tables, which takes much longer.
pub(crate) fn first_damage(connection: &mut SqliteConnection) -> QueryResult<Option<String>> {
    let query = sql_query("SELECT quick_check AS line FROM pragma_quick_check");
    let damages = damages_in(diesel::RunQueryDsl::load(query, connection))?;
    Ok(damages.into_iter().next())
}

/// Returns the damages that a check has found. One that ends at a damage has found that.
fn damages_in(found: QueryResult<Vec<Line>>) -> QueryResult<Vec<String>> {
    match found {
        Ok(lines) => {
            let lines = lines.into_iter().map(|it| it.line);
            Ok(lines.filter(|line| line != SOUND).collect())
        }
        Err(DieselError::DatabaseError(_, info)) if info.message().contains(MALFORMED) => {
            Ok(vec![info.message().to_owned()])
        }
        Err(error) => Err(error),
    }
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// What SQLite says instead of going on.
const MALFORMED: &str = "malformed";

/// What SQLite says of a file in which nothing is wrong.
const SOUND: &str = "ok";

/// A check may take longer than a call.
const BEGIN_POSTGRES: &str =
    "SET statement_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// SQLite takes its snapshot at the first read.
const BEGIN_SQLITE: &str = "PRAGMA busy_timeout = 5000; BEGIN; SELECT COUNT(*) FROM sqlite_schema";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_no_part_of_the_options() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a?b%c#d.db");
        std::fs::write(&path, "").expect("a file");
        let uri = read_only(&path).expect("a URI");
        assert!(uri.ends_with("/a%3fb%25c%23d.db?mode=ro"), "{uri}");
        assert!(read_only(folder.path()).is_err());
    }
}
