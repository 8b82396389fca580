//! Which server to talk to, and as whom.

use std::{
    convert::Infallible,
    fmt, fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{Args, builder::BoolishValueParser};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Uri};
use viridian_agent::{Bearer, MalformedToken};

/// The flags of everything that talks to a server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// The server to talk to.
    #[arg(
        long,
        global = true,
        env = "VIRIDIAN_SERVER",
        value_name = "URL",
        default_value = DEFAULT_SERVER,
        value_parser = parse_server
    )]
    server: String,
    /// The token to show. Better in the environment: others see what is on a
    /// command line.
    #[arg(
        long,
        global = true,
        env = "VIRIDIAN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    token: Option<SecretText>,
    /// Show the token to a server on another machine though nothing is encrypted
    /// on the way there.
    #[arg(
        long,
        global = true,
        env = "VIRIDIAN_TOKEN_IN_CLEAR",
        value_parser = BoolishValueParser::new()
    )]
    token_in_clear: bool,
    /// The CAs that the server's certificate may be of, in PEM [default: those that
    /// this machine trusts].
    #[arg(long, global = true, env = "VIRIDIAN_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// The certificate to show, in PEM.
    #[arg(
        long,
        global = true,
        env = "VIRIDIAN_CLIENT_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    #[arg(
        long,
        global = true,
        env = "VIRIDIAN_CLIENT_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
}

/// A server, and what to show there.
#[derive(Debug)]
pub(crate) struct ServerTarget {
    pub(crate) url: String,
    pub(crate) tls: Option<ClientTlsConfig>,
    pub(crate) bearer: Bearer,
}

/// A text that is shown nowhere.
#[derive(Clone)]
struct SecretText(String);

/// Why a text does not name a server.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("write http://HOST:PORT or https://HOST:PORT")]
    Malformed,
    #[error("only http:// and https:// can be spoken")]
    Scheme,
}

/// Why a server cannot be talked to as the flags say.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error(transparent)]
    Token(#[from] MalformedToken),
    #[error(
        "the token would go to {host} without encryption: use https://, or --token-in-clear if \
         that is what you want"
    )]
    InClear { host: String },
    #[error("--tls-ca, --tls-cert and --tls-key are for servers at https://")]
    TlsInVain,
    #[error("cannot read {}: {source}", file.display())]
    File { file: PathBuf, source: io::Error },
}

impl ServerArgs {
    /// What the flags come to.
    pub(crate) fn target(&self) -> Result<ServerTarget, ServerError> {
        let bearer = match &self.token {
            Some(SecretText(token)) => Bearer::new(token)?,
            None => Bearer::default(),
        };
        let url = self.server.clone();
        let uri = url.parse::<Uri>().unwrap_or_default();
        let tls = if uri.scheme_str() == Some("https") {
            Some(self.tls()?)
        } else {
            self.check_plain(&uri, bearer.is_some())?;
            None
        };
        Ok(ServerTarget { url, tls, bearer })
    }

    fn tls(&self) -> Result<ClientTlsConfig, ServerError> {
        let mut tls = ClientTlsConfig::new();
        tls = match &self.tls_ca {
            Some(ca) => tls.ca_certificate(Certificate::from_pem(read(ca)?)),
            None => tls.with_native_roots(),
        };
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
        }
        Ok(tls)
    }

    /// Without encryption a token goes to this machine only.
    fn check_plain(&self, uri: &Uri, has_token: bool) -> Result<(), ServerError> {
        if self.tls_ca.is_some() || self.tls_cert.is_some() {
            return Err(ServerError::TlsInVain);
        }
        let host = uri.host().unwrap_or_default();
        if has_token && !self.token_in_clear && !is_loopback(host) {
            let host = host.to_owned();
            return Err(ServerError::InClear { host });
        }
        Ok(())
    }
}

/// Reads the URL of a server; `HOST:PORT` will do.
pub(crate) fn parse_server(text: &str) -> Result<String, UrlError> {
    let url = match text.split_once("://") {
        None => format!("http://{text}"),
        Some(("http" | "https", _)) => text.to_owned(),
        Some(_) => return Err(UrlError::Scheme),
    };
    let endpoint = Endpoint::from_shared(url.clone()).map_err(|_| UrlError::Malformed)?;
    match endpoint.uri().host() {
        Some(host) if !host.is_empty() => Ok(url),
        _ => Err(UrlError::Malformed),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn read(file: &Path) -> Result<Vec<u8>, ServerError> {
    fs::read(file).map_err(|source| ServerError::File {
        file: file.to_owned(),
        source,
    })
}

impl FromStr for SecretText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

const DEFAULT_SERVER: &str = "http://127.0.0.1:50051";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        server: ServerArgs,
    }

    fn flags(line: &str) -> ServerArgs {
        let words = ["viridian"].into_iter().chain(line.split(' '));
        Flags::try_parse_from(words).expect("the flags").server
    }

    #[test]
    fn a_server_is_a_url_or_host_and_port() {
        for (text, url) in [
            ("localhost:1", "http://localhost:1"),
            ("http://[::1]:1", "http://[::1]:1"),
            ("https://example.org", "https://example.org"),
        ] {
            assert_eq!(parse_server(text).as_deref(), Ok(url));
        }
        assert_eq!(parse_server("ftp://example.org"), Err(UrlError::Scheme));
        assert_eq!(parse_server("http://"), Err(UrlError::Malformed));
        assert_eq!(parse_server("two words"), Err(UrlError::Malformed));
    }

    #[test]
    fn without_encryption_a_token_goes_to_this_machine_only() {
        for host in ["localhost:1", "127.0.0.1:1", "127.1.2.3:1", "[::1]:1"] {
            let target = flags(&format!("--token t --server {host}")).target();
            assert!(target.expect(host).bearer.is_some());
        }
        for host in [
            "example.org:1",
            "10.0.0.1:1",
            "[::2]:1",
            "localhost.example.org:1",
        ] {
            let line = format!("--token t --server {host}");
            let error = flags(&line).target().expect_err(host);
            assert!(matches!(error, ServerError::InClear { .. }), "{error}");
            flags(&format!("{line} --token-in-clear"))
                .target()
                .expect(host);
            flags(&format!("--server {host}")).target().expect(host);
        }
        flags("--token t --server https://example.org")
            .target()
            .expect("it is encrypted");
    }

    #[test]
    fn tls_is_for_https() {
        let error = flags("--tls-ca ca.pem")
            .target()
            .expect_err("it is in vain");
        assert!(matches!(error, ServerError::TlsInVain), "{error}");
        let missing = flags("--server https://a.org --tls-ca missing/ca.pem");
        let error = missing.target().expect_err("it is not there").to_string();
        assert!(error.contains("missing/ca.pem"), "{error}");
    }

    #[test]
    fn no_token_is_shown() {
        let flags = flags("--token vrd_secret");
        let shown = format!("{flags:?} {:?}", flags.target().expect("a token"));
        assert!(!shown.contains("secret"), "{shown}");
        let flags = Flags::try_parse_from(["viridian", "--token", "vrd secret"]);
        let error = flags.expect("it is looked at later").server.target();
        let error = error.expect_err("two words").to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
