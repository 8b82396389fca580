//! PostgreSQL: a pool of connections.

use std::{error::Error as _, sync::Arc, time::Duration};

use diesel::ConnectionError;
use diesel_async::{
    AsyncPgConnection, SimpleAsyncConnection as _,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
        deadpool::{self, Object},
    },
};
use futures::FutureExt as _;
use tokio::time::{timeout, timeout_at};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

use crate::{
    connection::EngineConnection,
    error::{EngineError, OpenError},
    limits::Limits,
    migrations::Migrations,
    pg_connection::{PgConnection, ResponseClock},
    suitability,
    tls::TlsOptions,
    wait::WaitStart,
};

/// A server, and how to connect to it. Made by [`Location`](crate::Location).
#[derive(Clone, PartialEq, Eq)]
pub struct PgServer {
    /// The URL without the options about TLS.
    pub(crate) url: Url,
    pub(crate) config: tokio_postgres::Config,
    pub(crate) tls: TlsOptions,
}

/// Makes connections to a server.
pub(crate) struct PgConnector {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
}

#[derive(Clone)]
pub(crate) struct PgPool {
    connections: deadpool::Pool<AsyncPgConnection>,
    pub(crate) acquire_timeout: Duration,
    clock: ResponseClock,
}

impl PgPool {
    pub(crate) async fn open(
        server: &PgServer,
        limits: Limits,
        migrations: Migrations,
    ) -> Result<Self, OpenError> {
        server.expect_suitable(limits).await?;
        let connector = Arc::new(server.connector()?);
        let mut config = ManagerConfig::<AsyncPgConnection>::default();
        // `Verified` would cost a round trip for each checkout. `PgConnection` closes what is
        // broken or still in use instead of returning it.
        config.recycling_method = RecyclingMethod::Fast;
        config.custom_setup = Box::new(move |_| {
            let connector = Arc::clone(&connector);
            async move { connector.connect(limits).await }.boxed()
        });
        let manager = AsyncDieselConnectionManager::new_with_config(server.url.as_str(), config);
        let connections = deadpool::Pool::builder(manager)
            .max_size(limits.connections as usize)
            .build()
            .map_err(|error| OpenError::Unavailable(error.to_string()))?;
        let pool = Self {
            connections,
            acquire_timeout: limits.acquire_timeout,
            clock: ResponseClock::new(limits.answer_timeout()),
        };
        let first = pool
            .object(WaitStart::now())
            .await
            .map_err(|error| match error {
                EngineError::Unavailable(why) => OpenError::Unavailable(why),
                EngineError::PoolTimeout => OpenError::Unavailable("it does not answer".to_owned()),
                error => OpenError::Unavailable(error.to_string()),
            })?;
        // Taken out of the pool for good: the session gets other timeouts and an advisory lock.
        migrations.run_on_postgres(Object::take(first)).await?;
        Ok(pool)
    }

    pub(crate) async fn get(&self, since: WaitStart) -> Result<EngineConnection, EngineError> {
        let connection = PgConnection::new(self.object(since).await?, self.clock.clone());
        Ok(EngineConnection::Pg(Box::new(connection)))
    }

    /// Returns how long ago the last answer came.
    pub(crate) fn unanswered_for(&self) -> Duration {
        self.clock.unanswered_for()
    }

    /// Takes a connection out of the pool for good.
    pub(crate) async fn take(&self) -> Result<AsyncPgConnection, EngineError> {
        Ok(Object::take(self.object(WaitStart::now()).await?))
    }

    pub(crate) fn connections_in_use(&self) -> (usize, usize) {
        let status = self.connections.status();
        (status.size - status.available, status.max_size)
    }

    async fn object(&self, since: WaitStart) -> Result<Object<AsyncPgConnection>, EngineError> {
        let deadline = since.deadline(self.acquire_timeout);
        // This covers the time to connect too, since the pool connects while its caller waits.
        let object = timeout_at(deadline, self.connections.get())
            .await
            .map_err(|_| EngineError::PoolTimeout)?;
        Ok(object?)
    }
}

impl PgServer {
    /// Checks what its sessions are like, before anything depends on it: the encoding, and that
    /// no pooler shares them.
    ///
    /// # Errors
    ///
    /// [`OpenError::Unsuitable`], or [`OpenError::Unavailable`] if it does not answer.
    pub async fn expect_suitable(&self, limits: Limits) -> Result<(), OpenError> {
        let tls = self.tls.connector().map_err(OpenError::Url)?;
        let looked = suitability::expect(&self.config, &tls);
        timeout(limits.acquire_timeout, looked)
            .await
            .unwrap_or_else(|_| Err(OpenError::Unavailable("it does not answer".to_owned())))
    }

    /// Reads the roots by which the server's certificate is verified.
    pub(crate) fn connector(&self) -> Result<PgConnector, OpenError> {
        Ok(PgConnector {
            config: self.config.clone(),
            tls: self.tls.connector().map_err(OpenError::Url)?,
        })
    }
}

impl PgConnector {
    pub(crate) async fn connect(
        &self,
        limits: Limits,
    ) -> Result<AsyncPgConnection, ConnectionError> {
        // Not by `establish`, which drops the cause of the error.
        let connected = self.config.connect(self.tls.clone()).await;
        let (client, driver) = connected.map_err(|error| {
            let why = error.source().map(ToString::to_string);
            ConnectionError::BadConnection(why.unwrap_or_else(|| error.to_string()))
        })?;
        let mut connection =
            AsyncPgConnection::try_from_client_and_connection(client, driver).await?;
        connection
            .batch_execute(&session(limits))
            .await
            .map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(connection)
    }
}

/// Returns the settings of a session, whatever the defaults of its role and database are. The
/// server ends what hangs, and not what waits in the pool. Two statements of a transaction see
/// what was committed between them, which decisions under a lock rely on. Errors are classified
/// by their text, so that should be English, which only a superuser may set. A statement is
/// planned once per connection: planning a write takes longer than running it, and no other
/// plan is better for another number of rows.
fn session(limits: Limits) -> String {
    format!(
        "SET lock_timeout = {}; SET statement_timeout = {}; \
         SET idle_in_transaction_session_timeout = {}; SET TIME ZONE 'UTC'; \
         SET plan_cache_mode = force_generic_plan; \
         SET default_transaction_isolation = 'read committed'; \
         DO $$ BEGIN SET lc_messages = 'C'; EXCEPTION WHEN insufficient_privilege THEN END $$; \
         DO $$ BEGIN SET idle_session_timeout = 0; EXCEPTION WHEN undefined_object THEN END $$",
        limits.lock_timeout.as_millis(),
        limits.statement_timeout.as_millis(),
        limits.idle_timeout.as_millis(),
    )
}
