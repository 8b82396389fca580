//! Looks at a PostgreSQL server before anything depends on it: what would otherwise show as
//! errors at random calls is one sentence at the start.

use tokio::task::AbortHandle;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use crate::{
    error::OpenError,
    pg_connector::{PgConnector, SessionUse, text},
    write_fault::WriteFault,
};

/// Checks the encoding, and that a session is the caller's own.
///
/// # Errors
///
/// [`OpenError::Unsuitable`], or [`OpenError::Unavailable`] if the server does not answer.
pub(crate) async fn expect(
    connector: &PgConnector,
    session_use: SessionUse,
) -> Result<(), OpenError> {
    let first = Session::connect(connector, session_use).await;
    let first = first.map_err(away)?;
    let encoding = first.value("SHOW server_encoding").await.map_err(away)?;
    if encoding != "UTF8" {
        return Err(OpenError::Unsuitable(format!(
            "its encoding is {encoding}, which cannot store every name and message; create it \
             with ENCODING 'UTF8' TEMPLATE template0"
        )));
    }
    // A role may be allowed one connection only. Then no pooler has a second one to give either.
    let Ok(second) = Session::connect(connector, session_use).await else {
        return Ok(());
    };
    match shares_sessions(&first, &second).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(OpenError::Unsuitable(POOLED.to_owned())),
        // PgBouncer's own words, where not even a transaction is one session's.
        Err(error) if text(&error).contains("statement pooling") => {
            Err(OpenError::Unsuitable(POOLED.to_owned()))
        }
        Err(error) => Err(away(error)),
    }
}

/// Whether the process of one session is given to another one between transactions. A
/// pooler looks like PostgreSQL in all else.
async fn shares_sessions(first: &Session, second: &Session) -> Result<bool, Error> {
    let before = first.value(BACKEND).await?;
    for _ in 0..ROUNDS {
        // While the second is in a transaction it keeps its process: if that was the first's,
        // it is shared. Asked before the first is used again, which would wait for that process
        // if it is the only one.
        second.run("BEGIN").await?;
        if second.value(BACKEND).await? == before {
            return Ok(true);
        }
        let after = first.value(BACKEND).await?;
        second.run("ROLLBACK").await?;
        if after != before {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A connection of its own, closed when it is dropped.
struct Session {
    client: Client,
    driver: AbortHandle,
}

impl Session {
    async fn connect(connector: &PgConnector, session_use: SessionUse) -> Result<Self, Error> {
        let (client, driver) = connector.session(session_use).await?;
        let driver = tokio::spawn(async move {
            // What ends it fails the next query, too.
            let _ = driver.await;
        });
        Ok(Self {
            client,
            driver: driver.abort_handle(),
        })
    }

    async fn run(&self, statement: &str) -> Result<(), Error> {
        self.client.batch_execute(statement).await
    }

    /// The one value of a query. Unprepared: a pooler may know no prepared statements.
    async fn value(&self, query: &str) -> Result<String, Error> {
        let messages = self.client.simple_query(query).await?;
        let value = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(value.unwrap_or_default().to_owned())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn away(error: Error) -> OpenError {
    let why = text(&error);
    let fault = WriteFault::of_message(&why);
    OpenError::Unavailable(fault.map_or(why, |fault| fault.to_string()))
}

const BACKEND: &str = "SELECT pg_backend_pid()";

/// A pooler that takes its processes in turn shows at the second, one under load by chance.
const ROUNDS: u32 = 3;

const POOLED: &str = "a pooler in front of it gives a session's connection to others between \
     transactions (transaction or statement pooling); connect to PostgreSQL itself, or set \
     pool_mode = session";
