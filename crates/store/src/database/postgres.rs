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
use tokio::time::timeout_at;
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

use super::{Limits, keyed_locks::KeyedLocks, tls::Tls, wait::WaitStart};
use crate::{
    connection::{Connection, PgConnection, ResponseClock},
    error::{OpenError, StoreError},
    migrations,
};

/// A server, and what is asked of it. Made by [`Location`](super::Location).
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// Without the options about TLS.
    pub(super) url: Url,
    pub(super) config: tokio_postgres::Config,
    pub(super) tls: Tls,
}

/// What makes connections to a server.
pub(super) struct Connector {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
}

#[derive(Clone)]
pub(crate) struct Pool {
    connections: deadpool::Pool<AsyncPgConnection>,
    pub(super) acquire_timeout: Duration,
    answers: ResponseClock,
    /// Where callers wait that want the same deployment.
    pub(super) locks: KeyedLocks,
}

impl Pool {
    pub(super) async fn open(server: &Server, limits: Limits) -> Result<Self, OpenError> {
        let connector = Arc::new(server.connector()?);
        let mut config = ManagerConfig::<AsyncPgConnection>::default();
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
            answers: ResponseClock::within(limits.answer_timeout()),
            locks: KeyedLocks::new(limits.lock_timeout),
        };
        let first = pool
            .object(WaitStart::now())
            .await
            .map_err(|error| match error {
                StoreError::Unavailable(why) => OpenError::Unavailable(why),
                StoreError::PoolTimeout => OpenError::Unavailable("it does not answer".to_owned()),
                error => OpenError::Unavailable(error.to_string()),
            })?;
        migrations::postgres(Object::take(first)).await?;
        Ok(pool)
    }

    pub(super) async fn get(&self, since: WaitStart) -> Result<Connection, StoreError> {
        let connection = PgConnection::new(self.object(since).await?, self.answers.clone());
        Ok(Connection::Pg(Box::new(connection)))
    }

    /// For how long there was no answer to anything.
    pub(super) fn unanswered_for(&self) -> Duration {
        self.answers.unanswered_for()
    }

    /// A connection that is no longer one of the pool's.
    pub(super) async fn take(&self) -> Result<AsyncPgConnection, StoreError> {
        Ok(Object::take(self.object(WaitStart::now()).await?))
    }

    pub(super) fn handed_out(&self) -> (usize, usize) {
        let status = self.connections.status();
        (status.size - status.available, status.max_size)
    }

    async fn object(&self, since: WaitStart) -> Result<Object<AsyncPgConnection>, StoreError> {
        let deadline = since.deadline(self.acquire_timeout);
        let object = timeout_at(deadline, self.connections.get())
            .await
            .map_err(|_| StoreError::PoolTimeout)?;
        Ok(object?)
    }
}

impl Server {
    /// Reads the roots that its certificate is held against.
    pub(super) fn connector(&self) -> Result<Connector, OpenError> {
        Ok(Connector {
            config: self.config.clone(),
            tls: self.tls.connector().map_err(OpenError::Url)?,
        })
    }
}

impl Connector {
    pub(super) async fn connect(
        &self,
        limits: Limits,
    ) -> Result<AsyncPgConnection, ConnectionError> {
        // Not by `establish`, which drops the reason behind the error.
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

/// What hangs is ended by the server. Its errors are told apart by their words,
/// so they ought to be English; only a superuser may say so. A statement is
/// planned once a connection: planning one that writes takes longer than doing
/// it, and how many rows it is about makes no other plan a better one.
fn session(limits: Limits) -> String {
    format!(
        "SET lock_timeout = {}; SET statement_timeout = {}; \
         SET idle_in_transaction_session_timeout = {}; SET TIME ZONE 'UTC'; \
         SET plan_cache_mode = force_generic_plan; SET application_name = 'viridian'; \
         DO $$ BEGIN SET lc_messages = 'C'; EXCEPTION WHEN insufficient_privilege THEN END $$",
        limits.lock_timeout.as_millis(),
        limits.statement_timeout.as_millis(),
        limits.idle_timeout.as_millis(),
    )
}
