//! PostgreSQL: a pool of connections.

use std::{sync::Arc, time::Duration};

use diesel_async::{
    AsyncPgConnection,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
        deadpool::{self, Object},
    },
};
use futures::FutureExt as _;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use url::Url;

use crate::{
    connection::EngineConnection,
    connection_slots::{ConnectionSlot, ConnectionSlots},
    error::{EngineError, OpenError},
    limits::Limits,
    migrations::Migrations,
    pg_connection::{PgConnection, SessionWatch},
    pg_connector::{NO_MORE_CONNECTIONS, PgConnector, SessionUse},
    suitability,
    tls::TlsOptions,
    wait::WaitStart,
    write_fault::WriteFault,
};

/// A server, and how to connect to it. Made by [`Location`](crate::Location).
#[derive(Clone, PartialEq, Eq)]
pub struct PgServer {
    /// The URL without the options about TLS.
    pub(crate) url: Url,
    pub(crate) config: tokio_postgres::Config,
    pub(crate) tls: TlsOptions,
}

#[derive(Clone)]
pub(crate) struct PgPool {
    connections: deadpool::Pool<AsyncPgConnection>,
    slots: ConnectionSlots,
    pub(crate) acquire_timeout: Duration,
    sessions: SessionWatch,
}

impl PgPool {
    pub(crate) async fn open(
        server: &PgServer,
        limits: Limits,
        migrations: Migrations,
    ) -> Result<Self, OpenError> {
        server.expect_suitable(limits, SessionUse::Write).await?;
        let connector = Arc::new(server.connector()?);
        let mut config = ManagerConfig::<AsyncPgConnection>::default();
        // `Verified` would cost a round trip for each checkout. `PgConnection` closes what is
        // broken or still in use instead of returning it.
        config.recycling_method = RecyclingMethod::Fast;
        config.custom_setup = Box::new(move |_| {
            let connector = Arc::clone(&connector);
            async move { connector.connect(limits, SessionUse::Write).await }.boxed()
        });
        let manager = AsyncDieselConnectionManager::new_with_config(server.url.as_str(), config);
        let connections = deadpool::Pool::builder(manager)
            .max_size(limits.connections as usize)
            .build()
            .map_err(|error| OpenError::Unavailable(error.to_string()))?;
        let pool = Self {
            connections,
            slots: ConnectionSlots::new(limits.connections as usize),
            acquire_timeout: limits.acquire_timeout,
            sessions: SessionWatch::new(limits.answer_timeout()),
        };
        let (first, _slot) = pool
            .object(WaitStart::now())
            .await
            .map_err(|error| match error {
                EngineError::Unavailable(why) => OpenError::Unavailable(why),
                EngineError::PoolTimeout => OpenError::Unavailable("it does not answer".to_owned()),
                EngineError::Unwritable(fault) => OpenError::Unavailable(fault.to_string()),
                error => OpenError::Unavailable(error.to_string()),
            })?;
        // Taken out of the pool for good: the session gets other timeouts and an advisory lock.
        migrations.run_on_postgres(Object::take(first)).await?;
        Ok(pool)
    }

    pub(crate) async fn get(&self, since: WaitStart) -> Result<EngineConnection, EngineError> {
        let (object, slot) = self.object(since).await?;
        let connection = PgConnection::new(object, slot, self.sessions.clone());
        Ok(EngineConnection::Pg(Box::new(connection)))
    }

    /// Returns how long ago the last answer came.
    pub(crate) fn unanswered_for(&self) -> Duration {
        self.sessions.unanswered_for()
    }

    /// Takes a connection out of the pool for good.
    pub(crate) async fn take(&self) -> Result<AsyncPgConnection, EngineError> {
        let (object, _slot) = self.object(WaitStart::now()).await?;
        Ok(Object::take(object))
    }

    /// Returns why nothing could be written when it was last tried.
    pub(crate) fn write_fault(&self) -> Option<WriteFault> {
        self.sessions.faults.get()
    }

    /// Asks whether the server takes writes.
    pub(crate) async fn probe_read_only(&self) -> Result<(), EngineError> {
        let mut connection = self.get(WaitStart::now()).await?;
        // A decision needs more than the setting: on a standby it cannot be switched off.
        connection.execute(EXPECT_WRITABLE).await
    }

    /// Looks whether there is room on the database's disk again.
    pub(crate) async fn probe_room(&self) -> Result<(), EngineError> {
        let mut connection = self.get(WaitStart::now()).await?;
        match connection.execute(NEED_ROOM).await {
            // A role that may make no temporary tables finds out by its next write.
            Err(EngineError::Internal(why)) if why.contains("permission denied") => Ok(()),
            looked => looked,
        }
    }

    /// Notes that writes are taken again.
    pub(crate) fn clear_fault(&self) {
        self.sessions.faults.set(None);
    }

    pub(crate) fn connections_in_use(&self) -> (usize, usize) {
        let status = self.connections.status();
        (status.size - status.available, status.max_size)
    }

    /// Waits for a connection, and for one that there is if the server gives no more.
    async fn object(
        &self,
        since: WaitStart,
    ) -> Result<(Object<AsyncPgConnection>, ConnectionSlot), EngineError> {
        let deadline = since.deadline(self.acquire_timeout);
        let mut refusal = EngineError::PoolTimeout;
        let mut kept = None;
        loop {
            let got = timeout_at(deadline, async {
                let slot = match kept.take() {
                    Some(slot) => slot,
                    None => self.slots.acquire().await,
                };
                // This covers the time to connect too, since the pool connects while its caller
                // waits.
                (
                    self.connections.get().await.map_err(EngineError::from),
                    slot,
                )
            });
            match got.await {
                Err(_) => return Err(refusal),
                // Its server is gone, or takes no writes any more. The others may be the same.
                Ok((Ok(object), slot)) if self.sessions.is_outdated(&object) => {
                    drop(Object::take(object));
                    kept = Some(slot);
                }
                Ok((Ok(object), slot)) => return Ok((object, slot)),
                Ok((Err(EngineError::Unavailable(why)), slot))
                    if why.starts_with(NO_MORE_CONNECTIONS) =>
                {
                    if let Err(slot) = self.slots.withhold(slot) {
                        refusal = EngineError::Unavailable(why);
                        kept = Some(slot);
                        sleep_until(deadline.min(Instant::now() + RETRY_DELAY)).await;
                    }
                }
                Ok((Err(error), _)) => {
                    if let EngineError::Unwritable(fault) = &error {
                        self.sessions.faults.set(Some(fault.clone()));
                    }
                    return Err(error);
                }
            }
        }
    }
}

impl PgServer {
    /// Checks what its sessions are like, before anything depends on it: the encoding, and that
    /// no pooler shares them.
    ///
    /// # Errors
    ///
    /// [`OpenError::Unsuitable`], or [`OpenError::Unavailable`] if it does not answer, or takes no
    /// writes that the session is for.
    pub async fn expect_suitable(
        &self,
        limits: Limits,
        session_use: SessionUse,
    ) -> Result<(), OpenError> {
        let connector = self.connector()?;
        let looked = suitability::expect(&connector, session_use);
        timeout(limits.acquire_timeout, looked)
            .await
            .unwrap_or_else(|_| Err(OpenError::Unavailable("it does not answer".to_owned())))
    }

    /// Reads the roots by which the server's certificate is verified.
    pub(crate) fn connector(&self) -> Result<PgConnector, OpenError> {
        let tls = self.tls.connector().map_err(OpenError::Url)?;
        Ok(PgConnector::new(&self.config, tls))
    }
}

/// Fails as a write would.
const EXPECT_WRITABLE: &str = "DO $$ BEGIN IF current_setting('transaction_read_only')::boolean \
     THEN RAISE EXCEPTION 'it is read-only' USING ERRCODE = '25006'; END IF; END $$";

/// Half a megabyte in the database's own tablespace. The table ends with this.
const NEED_ROOM: &str = "CREATE TEMPORARY TABLE viridian_room AS \
     SELECT n FROM generate_series(1, 15000) AS n; DROP TABLE viridian_room";

/// Between attempts of a caller for whom the server has no connection at all.
const RETRY_DELAY: Duration = Duration::from_millis(50);
