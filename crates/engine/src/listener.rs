//! `LISTEN` and `NOTIFY` of PostgreSQL, on a connection of its own.

use std::time::Duration;

use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use futures::{StreamExt as _, pin_mut};
use tokio::time::timeout;

use crate::error::EngineError;

#[diesel::declare_sql_function]
extern "SQL" {
    fn pg_notify(
        channel: diesel::sql_types::Text,
        payload: diesel::sql_types::Text,
    ) -> diesel::sql_types::Text;
}

/// Sends and receives the notifications of one channel. An error means that the connection
/// is lost, and notifications with it.
pub struct Listener {
    connection: AsyncPgConnection,
    channel: &'static str,
}

impl Listener {
    pub(crate) async fn start(
        mut connection: AsyncPgConnection,
        channel: &'static str,
    ) -> Result<Self, EngineError> {
        let listen = format!("LISTEN {channel}");
        respond_in_time(connection.batch_execute(&listen)).await?;
        Ok(Self {
            connection,
            channel,
        })
    }

    /// Waits for the payload of a notification. Cancelled, it loses none.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub async fn recv(&mut self) -> Result<String, EngineError> {
        let notifications = self.connection.notifications_stream();
        pin_mut!(notifications);
        match notifications.next().await {
            Some(notification) => Ok(notification?.payload),
            None => Err(EngineError::Unavailable("the connection was closed".into())),
        }
    }

    /// Notifies all listeners of the channel, this one included.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub async fn send(&mut self, payload: String) -> Result<(), EngineError> {
        let notify = diesel::select(pg_notify(self.channel, payload));
        respond_in_time(notify.execute(&mut self.connection)).await?;
        Ok(())
    }

    /// Asks whether the server is there: a connection that broke silently would be waited
    /// on for ever.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub async fn probe(&mut self) -> Result<(), EngineError> {
        respond_in_time(self.connection.batch_execute("SELECT 1")).await
    }
}

async fn respond_in_time<T>(
    statement: impl Future<Output = diesel::QueryResult<T>>,
) -> Result<T, EngineError> {
    match timeout(RESPONSE_TIMEOUT, statement).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(EngineError::Unavailable("it does not answer".into())),
    }
}

// A server that works answers each of these statements at once.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
