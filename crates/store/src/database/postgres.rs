//! PostgreSQL: a pool of connections.

use std::{error::Error as _, time::Duration};

use diesel::ConnectionError;
use diesel_async::{
    AsyncPgConnection, SimpleAsyncConnection as _,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
        deadpool::{self, Object},
    },
};
use futures::{FutureExt as _, future::BoxFuture};
use tokio::time::timeout;
use tokio_postgres::NoTls;
use url::Url;

use crate::{
    connection::Connection,
    error::{OpenError, StoreError},
    migrations,
};

#[derive(Clone)]
pub(super) struct Pool(deadpool::Pool<AsyncPgConnection>);

impl Pool {
    pub(super) async fn open(url: &Url) -> Result<Self, OpenError> {
        let mut config = ManagerConfig::<AsyncPgConnection>::default();
        config.recycling_method = RecyclingMethod::Fast;
        config.custom_setup = Box::new(connect);
        let manager = AsyncDieselConnectionManager::new_with_config(url.as_str(), config);
        let pool = deadpool::Pool::builder(manager)
            .max_size(CONNECTIONS)
            .build()
            .map_err(|error| OpenError::Away(error.to_string()))?;
        let pool = Self(pool);
        let first = pool.object().await.map_err(|error| match error {
            StoreError::Away(why) => OpenError::Away(why),
            error => OpenError::Away(error.to_string()),
        })?;
        migrations::postgres(Object::take(first)).await?;
        Ok(pool)
    }

    pub(super) async fn get(&self) -> Result<Connection, StoreError> {
        Ok(Connection::Pg(self.object().await?))
    }

    /// A connection that is no longer one of the pool's.
    pub(super) async fn take(&self) -> Result<AsyncPgConnection, StoreError> {
        Ok(Object::take(self.object().await?))
    }

    #[cfg(test)]
    pub(super) fn handed_out(&self) -> (usize, usize) {
        let status = self.0.status();
        (status.size - status.available, status.max_size)
    }

    async fn object(&self) -> Result<Object<AsyncPgConnection>, StoreError> {
        let object = timeout(ACQUIRE, self.0.get())
            .await
            .map_err(|_| StoreError::Exhausted)?;
        Ok(object?)
    }
}

pub(super) fn connect(url: &str) -> BoxFuture<'_, Result<AsyncPgConnection, ConnectionError>> {
    async move {
        // Not by `establish`, which drops the reason behind the error.
        let (client, driver) = tokio_postgres::connect(url, NoTls).await.map_err(|error| {
            let why = error.source().map(ToString::to_string);
            ConnectionError::BadConnection(why.unwrap_or_else(|| error.to_string()))
        })?;
        let mut connection =
            AsyncPgConnection::try_from_client_and_connection(client, driver).await?;
        connection
            .batch_execute(SESSION)
            .await
            .map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(connection)
    }
    .boxed()
}

/// A lock that is not had in 2 s is given up; what hangs is ended by the server.
const SESSION: &str = "SET lock_timeout = '2s'; SET statement_timeout = '30s'; \
     SET idle_in_transaction_session_timeout = '60s'; SET TIME ZONE 'UTC'; \
     SET application_name = 'viridian'";

const CONNECTIONS: usize = 16;
const ACQUIRE: Duration = Duration::from_secs(5);
