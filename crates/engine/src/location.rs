//! Where a database is, by its URL.

use std::{fmt, path::PathBuf, time::Duration};

use tokio_postgres::config::{Host, TargetSessionAttrs};
use url::Url;

use crate::{error::OpenError, postgres::PgServer, tls::TlsOptions};

/// Where a database is.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// In a file.
    Sqlite(PathBuf),
    /// On a PostgreSQL server.
    Postgres(Box<PgServer>),
}

impl Location {
    /// Parses `sqlite:PATH` or `postgres://USER@HOST:PORT/NAME`, with libpq's options
    /// after a `?`: `sslmode`, `sslrootcert` and more.
    ///
    /// # Errors
    ///
    /// [`OpenError::Url`] for a URL that cannot work.
    pub fn parse(text: &str) -> Result<Self, OpenError> {
        let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
        match scheme {
            "sqlite" => sqlite(rest),
            "postgres" | "postgresql" => postgres(text),
            _ => Err(OpenError::Url(
                "it must begin with sqlite: or postgres://".into(),
            )),
        }
    }
}

fn sqlite(path: &str) -> Result<Location, OpenError> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.ends_with('/') {
        return Err(OpenError::Url("sqlite: needs the path of a file".into()));
    }
    // In memory each reader would see an empty database of its own. Options are not known here:
    // taken for a part of the name, they would make another file.
    if path == ":memory:" || path.contains('?') {
        return Err(OpenError::Url(
            "sqlite: takes the path of a file, and no more".into(),
        ));
    }
    Ok(Location::Sqlite(PathBuf::from(path)))
}

fn postgres(text: &str) -> Result<Location, OpenError> {
    let HostList {
        before,
        hosts,
        after,
    } = HostList::of(text);
    // `Url` knows one host. The others, and their ports, are put in its place again below.
    let first = hosts.split(',').next().unwrap_or_default();
    let mut url = Url::parse(&format!("{before}{first}{after}"))
        .map_err(|error| OpenError::Url(error.to_string()))?;
    if url.path().trim_start_matches('/').is_empty() {
        return Err(OpenError::Url("it needs the name of a database".into()));
    }
    let tls = take_tls(&mut url)?;
    let query = url
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    let whole = format!("{before}{hosts}{}{query}", url.path());
    let mut config: tokio_postgres::Config =
        whole.parse().map_err(|error: tokio_postgres::Error| {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            OpenError::Url(why.unwrap_or_else(|| error.to_string()))
        })?;
    config.ssl_mode(tls.negotiation());
    expect_one_port_each(&config)?;
    // What a standby says may be old, and it takes no writes.
    if !url
        .query_pairs()
        .any(|(name, _)| name == "target_session_attrs")
    {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    detect_silence(&mut config, &url);
    if config.get_application_name().is_none() {
        config.application_name("viridian");
    }
    Ok(Location::Postgres(Box::new(PgServer { url, config, tls })))
}

/// A URL in three parts: `postgres://USER:PASSWORD@`, `HOST:PORT,HOST:PORT`, `/NAME?OPTIONS`.
struct HostList<'a> {
    before: &'a str,
    hosts: &'a str,
    after: &'a str,
}

impl<'a> HostList<'a> {
    fn of(text: &'a str) -> Self {
        let begin = text.find("://").map_or(text.len(), |at| at + 3);
        let end = text[begin..]
            .find(['/', '?'])
            .map_or(text.len(), |at| begin + at);
        let begin = text[begin..end]
            .rfind('@')
            .map_or(begin, |at| begin + at + 1);
        Self {
            before: &text[..begin],
            hosts: &text[begin..end],
            after: &text[end..],
        }
    }
}

/// tokio-postgres finds this at each connection only.
fn expect_one_port_each(config: &tokio_postgres::Config) -> Result<(), OpenError> {
    let (hosts, addresses) = (config.get_hosts().len(), config.get_hostaddrs().len());
    let ports = config.get_ports().len();
    if hosts > 0 && addresses > 0 && hosts != addresses {
        return Err(OpenError::Url(format!(
            "{hosts} hosts and {addresses} hostaddrs"
        )));
    }
    if ports > 1 && ports != hosts.max(addresses) {
        return Err(OpenError::Url(format!("{ports} ports for {hosts} hosts")));
    }
    Ok(())
}

/// Detects a server that is gone silently: its machine died, or a firewall dropped the
/// connection. The system itself gives up after a quarter of an hour when something was
/// sent, and after two hours when not. What the URL sets wins.
fn detect_silence(config: &mut tokio_postgres::Config, url: &Url) {
    let is_set = |option| url.query_pairs().any(|(name, _)| name == option);
    if !is_set("keepalives_idle") {
        config.keepalives_idle(KEEPALIVE_IDLE);
    }
    if !is_set("keepalives_interval") {
        config.keepalives_interval(KEEPALIVE_INTERVAL);
    }
    if !is_set("keepalives_retries") {
        config.keepalives_retries(KEEPALIVE_RETRIES);
    }
    if !is_set("tcp_user_timeout") {
        config.tcp_user_timeout(TCP_USER_TIMEOUT);
    }
}

/// Takes the options out of a URL that tokio-postgres knows only in part, or not at all.
fn take_tls(url: &mut Url) -> Result<TlsOptions, OpenError> {
    let mut tls = TlsOptions::default();
    let query = url.query().unwrap_or_default().to_owned();
    let mut others = Vec::new();
    for option in query.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = decoded(option);
        match &*name {
            "sslmode" => tls.mode = value.parse().map_err(OpenError::Url)?,
            "sslrootcert" => tls.roots = Some(value.into()),
            // As it is written: encoded again, a space would be a `+`, which is no space here.
            _ => others.push(option),
        }
    }
    let others = others.join("&");
    url.set_query(Some(&*others).filter(|others| !others.is_empty()));
    Ok(tls)
}

/// Decodes an option as libpq does: `%20` is a space, and `+` is a plus sign.
fn decoded(option: &str) -> (String, String) {
    let option = option.replace('+', "%2B");
    let pair = url::form_urlencoded::parse(option.as_bytes()).next();
    let (name, value) = pair.unwrap_or_default();
    (name.into_owned(), value.into_owned())
}

/// Without the password.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(server) => {
                let ports = server.config.get_ports();
                let hosts = server.config.get_hosts().iter().enumerate();
                let hosts = hosts.map(|(index, host)| {
                    let host = match host {
                        Host::Tcp(host) => host.clone(),
                        Host::Unix(path) => path.display().to_string(),
                    };
                    let port = ports.get(index).or_else(|| ports.first());
                    format!("{host}:{}", port.unwrap_or(&5432))
                });
                let hosts: Vec<_> = hosts.collect();
                write!(f, "postgres://{}{}", hosts.join(","), server.url.path())
            }
        }
    }
}

// 10 s, and twice 5 s: an idle connection is given up after 20 s, as a busy one is.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 2;
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::SslVerification;

    #[test]
    fn says_what_cannot_work() {
        for (url, why) in [
            ("", "must begin with"),
            ("mysql://h/db", "must begin with"),
            ("sqlite:", "needs the path"),
            ("sqlite::memory:", "path of a file"),
            ("postgres://h", "name of a database"),
            ("postgres://h:notaport/db", "port"),
            ("postgres://h/db?sslmode=allow", "sslmode is one of"),
            ("postgres://h/db?sslcert=me.pem", "sslcert"),
        ] {
            let error = Location::parse(url).expect_err(url).to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn takes_the_options_about_tls() {
        let url = "postgres://h/db?connect_timeout=3&sslmode=verify-full&sslrootcert=%2Fa%20b.pem";
        let Ok(Location::Postgres(server)) = Location::parse(url) else {
            panic!("it can work");
        };
        assert_eq!(server.tls.mode, SslVerification::VerifyFull);
        assert_eq!(server.tls.roots, Some("/a b.pem".into()));
        assert_eq!(server.url.as_str(), "postgres://h/db?connect_timeout=3");
        assert_eq!(
            server.config.get_connect_timeout(),
            Some(&Duration::from_secs(3))
        );
    }

    #[test]
    fn e3_options_are_what_psql_takes_them_for() {
        let options = [
            ("options=-c%20search_path%3Dx", "-c search_path=x"),
            ("options=-csearch_path=x%2Cpublic", "-csearch_path=x,public"),
            (
                "options=-c%20search_path%3D%22a%2Bb%22&sslmode=disable",
                "-c search_path=\"a+b\"",
            ),
            ("sslmode=prefer&options=-c%20x.y%3Da+b", "-c x.y=a+b"),
        ];
        for (query, expected) in options {
            let parsed = Location::parse(&format!("postgres://h/db?{query}"));
            let Ok(Location::Postgres(server)) = parsed else {
                panic!("it can work: {query}");
            };
            assert_eq!(server.config.get_options(), Some(expected), "{query}");
        }
    }

    #[test]
    fn e3_an_application_has_the_name_that_the_url_gives_it() {
        for (query, expected) in [
            ("", "viridian"),
            ("?application_name=blue%20one", "blue one"),
        ] {
            let parsed = Location::parse(&format!("postgres://h/db{query}"));
            let Ok(Location::Postgres(server)) = parsed else {
                panic!("it can work: {query}");
            };
            assert_eq!(server.config.get_application_name(), Some(expected));
        }
    }

    #[test]
    fn silence_is_noticed_unless_the_url_says_otherwise() {
        let parsed = |url| match Location::parse(url) {
            Ok(Location::Postgres(server)) => server.config,
            _ => panic!("it can work"),
        };
        let config = parsed("postgres://h/db");
        assert!(config.get_keepalives());
        assert_eq!(config.get_keepalives_idle(), KEEPALIVE_IDLE);
        assert_eq!(config.get_keepalives_interval(), Some(KEEPALIVE_INTERVAL));
        assert_eq!(config.get_keepalives_retries(), Some(KEEPALIVE_RETRIES));
        assert_eq!(config.get_tcp_user_timeout(), Some(&TCP_USER_TIMEOUT));

        let config = parsed(
            "postgres://h/db?keepalives_idle=60&keepalives_interval=7&keepalives_retries=9\
             &tcp_user_timeout=90",
        );
        let seconds = Duration::from_secs;
        assert_eq!(config.get_keepalives_idle(), seconds(60));
        assert_eq!(config.get_keepalives_interval(), Some(seconds(7)));
        assert_eq!(config.get_keepalives_retries(), Some(9));
        assert_eq!(config.get_tcp_user_timeout(), Some(&seconds(90)));
    }

    #[test]
    fn e2_a_url_may_name_several_hosts() {
        for (url, hosts) in [
            (
                "postgres://me:a%40b@a:5433,b/db?sslmode=disable",
                "a:5433,b:5432",
            ),
            ("postgres://a,b:5434,[::1]:7/db", "a:5432,b:5434,::1:7"),
            ("postgres://a,b/db?connect_timeout=3", "a:5432,b:5432"),
        ] {
            let location = Location::parse(url).expect(url);
            assert_eq!(
                format!("{location:?}"),
                format!("postgres://{hosts}/db"),
                "{url}"
            );
        }
        for url in [
            "postgres://a,b:x/db",
            "postgres://a,b/db?port=1,2,3",
            "postgres://a,b",
        ] {
            Location::parse(url).expect_err(url);
        }
    }

    #[test]
    fn e2_a_session_is_one_that_writes_unless_the_url_says_otherwise() {
        for (query, expected) in [
            ("", TargetSessionAttrs::ReadWrite),
            ("?target_session_attrs=any", TargetSessionAttrs::Any),
        ] {
            let parsed = Location::parse(&format!("postgres://h/db{query}"));
            let Ok(Location::Postgres(server)) = parsed else {
                panic!("it can work: {query}");
            };
            assert_eq!(server.config.get_target_session_attrs(), expected);
        }
    }

    #[test]
    fn debug_has_no_password() {
        let location = Location::parse("postgres://me:secret@db:5433/viridian").expect("a URL");
        assert_eq!(format!("{location:?}"), "postgres://db:5433/viridian");
    }
}
