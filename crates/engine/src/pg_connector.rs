//! Connects to PostgreSQL: to that one of several hosts that takes writes.

use std::{
    error::Error as _,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use diesel::ConnectionError;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::sleep;
use tokio_postgres::{
    Client, Config, Connection, Error, Socket,
    config::{Host, TargetSessionAttrs},
    error::SqlState,
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::limits::Limits;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionUse {
    /// It writes. A server that takes no writes is refused, unless the URL says otherwise
    /// (`target_session_attrs`): what a standby shows may be old.
    Write,
    /// It only looks: at the server that takes writes if there is one, else at any.
    Look,
}

/// Makes connections to a server, or to the one of several that takes writes.
pub(crate) struct PgConnector {
    /// One for each host of the URL.
    hosts: Vec<Config>,
    /// The one that took the last connection is tried first.
    preferred: AtomicUsize,
    tls: MakeRustlsConnect,
}

/// A session, and what drives it.
pub(crate) type PgSession = (
    Client,
    Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>,
);

impl PgConnector {
    pub(crate) fn new(config: &Config, tls: MakeRustlsConnect) -> Self {
        Self {
            hosts: split(config),
            preferred: AtomicUsize::new(0),
            tls,
        }
    }

    pub(crate) async fn connect(
        &self,
        limits: Limits,
        session_use: SessionUse,
    ) -> Result<AsyncPgConnection, ConnectionError> {
        // Not by `establish`, which drops the cause of the error.
        let connected = self.session(session_use).await;
        let (client, driver) = connected.map_err(|error| {
            let why = text(&error);
            ConnectionError::BadConnection(match error.code() {
                Some(&SqlState::TOO_MANY_CONNECTIONS) => format!("{NO_MORE_CONNECTIONS}: {why}"),
                _ => why,
            })
        })?;
        let mut connection =
            AsyncPgConnection::try_from_client_and_connection(client, driver).await?;
        connection
            .batch_execute(&session_settings(limits))
            .await
            .map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(connection)
    }

    /// Connects, and sets nothing.
    pub(crate) async fn session(&self, session_use: SessionUse) -> Result<PgSession, Error> {
        match (self.race(None).await, session_use) {
            (Err(error), SessionUse::Look) => {
                // The first error says more, if it is not only about writes.
                let any = self.race(Some(TargetSessionAttrs::Any)).await;
                any.map_err(|_| error)
            }
            (connected, _) => connected,
        }
    }

    /// Connects to the first host that takes the session. The next host is tried when one
    /// fails, and also when one does not answer soon: a machine that is gone answers nothing.
    async fn race(&self, attributes: Option<TargetSessionAttrs>) -> Result<PgSession, Error> {
        let first = self.preferred.load(Ordering::Relaxed);
        let count = self.hosts.len();
        let mut order = (0..count).map(|step| (first + step) % count);
        let mut attempts = FuturesUnordered::new();
        let mut last_error = None;
        loop {
            if let Some(host) = order.next() {
                let mut config = self.hosts[host].clone();
                config.target_session_attrs(
                    attributes.unwrap_or_else(|| config.get_target_session_attrs()),
                );
                let tls = self.tls.clone();
                attempts.push(async move { (host, config.connect(tls).await) });
            }
            // No host is left, or has not been tried: then the error is the last one's.
            let ended = tokio::select! {
                Some(ended) = attempts.next() => Some(ended),
                () = sleep(NEXT_HOST_AFTER), if order.len() > 0 => None,
                else => break,
            };
            match ended {
                Some((host, Ok(session))) => {
                    self.preferred.store(host, Ordering::Relaxed);
                    return Ok(session);
                }
                // A server that answered says more than one that is away.
                Some((_, Err(error))) if last_error.as_ref().is_none_or(is_away) => {
                    last_error = Some(error);
                }
                _ => {}
            }
        }
        Err(last_error.expect("there is a host, and it failed"))
    }
}

/// Returns a configuration for each host of one: tokio-postgres itself waits for each without
/// a bound before it tries the next, and begins with the first one every time.
fn split(config: &Config) -> Vec<Config> {
    let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
    let count = hosts.len().max(addresses.len());
    if count < 2 {
        return vec![config.clone()];
    }
    let ports = config.get_ports();
    let one = |index: usize| {
        let mut of_host = without_hosts(config);
        match hosts.get(index) {
            Some(Host::Tcp(host)) => {
                of_host.host(host);
            }
            Some(Host::Unix(path)) => {
                of_host.host_path(path);
            }
            None => {}
        }
        if let Some(&address) = addresses.get(index) {
            of_host.hostaddr(address);
        }
        if let Some(&port) = ports.get(index).or_else(|| ports.first()) {
            of_host.port(port);
        }
        of_host
    };
    (0..count).map(one).collect()
}

fn without_hosts(config: &Config) -> Config {
    let mut copy = Config::new();
    config.get_user().map(|user| copy.user(user));
    config
        .get_password()
        .map(|password| copy.password(password));
    config.get_dbname().map(|name| copy.dbname(name));
    config.get_options().map(|options| copy.options(options));
    config
        .get_application_name()
        .map(|name| copy.application_name(name));
    config
        .get_connect_timeout()
        .map(|&timeout| copy.connect_timeout(timeout));
    config
        .get_tcp_user_timeout()
        .map(|&timeout| copy.tcp_user_timeout(timeout));
    config
        .get_keepalives_interval()
        .map(|interval| copy.keepalives_interval(interval));
    config
        .get_keepalives_retries()
        .map(|retries| copy.keepalives_retries(retries));
    copy.ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding())
        .load_balance_hosts(config.get_load_balance_hosts());
    copy
}

/// Whether a server said nothing at all.
fn is_away(error: &Error) -> bool {
    error.as_db_error().is_none() && !text(error).contains("does not allow writes")
}

/// The error without the words that tokio-postgres puts before it.
pub(crate) fn text(error: &Error) -> String {
    let cause = error.source();
    cause.map_or_else(|| error.to_string(), ToString::to_string)
}

/// Returns the settings of a session, whatever the defaults of its role and database are. The
/// server ends what hangs, and not what waits in the pool. Two statements of a transaction see
/// what was committed between them, which decisions under a lock rely on. Errors are classified
/// by their text, so that should be English, which only a superuser may set. A statement is
/// planned once per connection: planning a write takes longer than running it, and no other
/// plan is better for another number of rows.
fn session_settings(limits: Limits) -> String {
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

/// Begins the text of an error of a server that has as many connections as it allows.
pub(crate) const NO_MORE_CONNECTIONS: &str = "it takes no more connections";

/// More than a server in another place needs to answer.
const NEXT_HOST_AFTER: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e2_each_host_has_a_configuration_that_is_the_same_but_for_the_host() {
        let url = "postgres://me:secret@a:5433,b/db?connect_timeout=3&keepalives_retries=4\
                   &target_session_attrs=read-write&options=-csearch_path%3Dx";
        let config: Config = url.parse().expect("a URL");
        let [a, b] = &split(&config)[..] else {
            panic!("two hosts")
        };
        assert_eq!(a.get_hosts(), [Host::Tcp("a".into())]);
        assert_eq!(a.get_ports(), [5433]);
        assert_eq!(b.get_hosts(), [Host::Tcp("b".into())]);
        assert_eq!(b.get_ports(), [5432]);
        let mut expected: Config = "postgres://me:secret@b:5432/db".parse().expect("a URL");
        expected
            .connect_timeout(Duration::from_secs(3))
            .keepalives_retries(4)
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .options("-csearch_path=x");
        assert_eq!(b, &expected);
    }

    #[test]
    fn e2_hosts_may_also_be_options() {
        let url = "postgres:///db?user=me&host=a,b&hostaddr=10.0.0.1,10.0.0.2&port=1,2";
        let config: Config = url.parse().expect("a URL");
        let parts = split(&config);
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[1].get_ports(), [2]);
        assert_eq!(
            parts[1].get_hostaddrs(),
            ["10.0.0.2".parse::<std::net::IpAddr>().expect("one")]
        );
    }
}
