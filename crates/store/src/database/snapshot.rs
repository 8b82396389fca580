//! One snapshot of a database, to be read beside whatever servers run on it.

use std::path::Path;

use diesel::{
    Connection as _, ConnectionError, QueryResult, QueryableByName, SqliteConnection,
    connection::SimpleConnection as _, pg::Pg, sql_query, sql_types::Double, sqlite::Sqlite,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use tokio::task::spawn_blocking;

use super::{Limits, Location};
use crate::{
    connection::{SqliteConn, load_in_place, sqlite},
    error::{OpenError, StoreError},
};

/// A connection of its own in a transaction that only reads: every query sees
/// the same committed state. It takes no server's lock, changes nothing, and is
/// over when it is dropped.
#[expect(clippy::large_enum_variant, reason = "there is one")]
pub(crate) enum Snapshot {
    Pg(AsyncPgConnection),
    Sqlite(SqliteConn),
}

impl Snapshot {
    pub(crate) async fn open(url: &str) -> Result<Self, OpenError> {
        match Location::parse(url)? {
            Location::Postgres(server) => {
                let away = |error: ConnectionError| match error {
                    ConnectionError::BadConnection(why) => OpenError::Unavailable(why),
                    error => OpenError::Unavailable(error.to_string()),
                };
                let server = server.connector()?;
                let mut connection = server.connect(Limits::default()).await.map_err(away)?;
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
                Ok(Self::Sqlite(sqlite(opened.map_err(unusable)?)))
            }
        }
    }

    /// The one of two texts that is meant for this engine.
    pub(crate) fn dialect<'a>(&self, sqlite: &'a str, postgres: &'a str) -> &'a str {
        match self {
            Self::Pg(_) => postgres,
            Self::Sqlite(_) => sqlite,
        }
    }

    /// What a query gives, with its parameter if it has one.
    pub(crate) async fn rows<Row>(
        &mut self,
        query: &str,
        parameter: Option<f64>,
    ) -> Result<Vec<Row>, StoreError>
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

/// A file is opened so that nothing in it, nor the file itself, comes to be.
fn read_only(path: &Path) -> Result<String, String> {
    if !path.is_file() {
        return Err("there is no such file".to_owned());
    }
    let path = path.to_str().ok_or("its name is not UTF-8")?;
    let escaped = path
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    Ok(format!("file:{escaped}?mode=ro"))
}

/// It may take longer than a call may.
const BEGIN_POSTGRES: &str =
    "SET statement_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// A transaction has its snapshot from the first read on.
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
