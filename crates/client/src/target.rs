use std::net::IpAddr;

use tonic::transport::{Endpoint, Uri};

use crate::{CallCredentials, ClientTlsError, ClientTlsFiles};

/// A server: where it is, whom to trust there, and what to show.
///
/// At `https://` the connection is encrypted, and the server's certificate is
/// verified against the CAs of this machine unless
/// [`with_tls`](Self::with_tls) names others.
#[derive(Clone, Debug)]
pub struct ServerTarget {
    url: String,
    uri: Uri,
    pub(crate) tls: ClientTlsFiles,
    pub(crate) credentials: CallCredentials,
}

/// The text is not the URL of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It has no host, or is not a URL.
    #[error("write http://HOST:PORT or https://HOST:PORT")]
    Malformed,
    /// It has another scheme than `http` and `https`.
    #[error("only http:// and https:// are supported")]
    Scheme,
}

impl ServerTarget {
    /// The server at this URL: `http://HOST:PORT`, `https://HOST:PORT`, or
    /// `HOST:PORT`, which means `http://`.
    ///
    /// # Errors
    ///
    /// When the text is no such URL.
    pub fn new(url: &str) -> Result<Self, UrlError> {
        let url = normalize_url(url)?;
        Ok(Self {
            uri: url.parse().map_err(|_| UrlError::Malformed)?,
            url,
            tls: ClientTlsFiles::default(),
            credentials: CallCredentials::anonymous(),
        })
    }

    /// Shows these credentials with each call.
    #[must_use]
    pub fn with_credentials(mut self, credentials: CallCredentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Trusts and shows what these files hold.
    ///
    /// # Errors
    ///
    /// When a file cannot be read now, or the URL is not `https://`. A file that
    /// becomes unreadable later fails the next connection.
    pub fn with_tls(mut self, files: ClientTlsFiles) -> Result<Self, ClientTlsError> {
        if files != ClientTlsFiles::default() && !self.is_encrypted() {
            return Err(ClientTlsError::PlainUrl);
        }
        // A wrong path is an error now, not at the first call.
        files.load()?;
        self.tls = files;
        Ok(self)
    }

    /// The URL, with its scheme.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The host in the URL.
    pub fn host(&self) -> &str {
        self.uri.host().unwrap_or_default()
    }

    /// Returns whether the URL is `https://`.
    pub fn is_encrypted(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Returns whether a token would cross the network unencrypted: there is one,
    /// the URL is `http://`, and the host is not this machine.
    pub fn exposes_token(&self) -> bool {
        self.credentials.has_token() && self.crosses_in_clear()
    }

    /// Returns whether calls would cross the network unencrypted: the URL is `http://`, and
    /// the host is not this machine. Who is in between may read and change them.
    pub fn crosses_in_clear(&self) -> bool {
        !self.is_encrypted() && !is_loopback(self.host())
    }
}

/// Completes the URL of a server: `HOST:PORT` becomes `http://HOST:PORT`.
///
/// # Errors
///
/// When the text is no URL of a server.
pub fn normalize_url(text: &str) -> Result<String, UrlError> {
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
    // The host of `http://[::1]:1` keeps its brackets.
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_server_is_a_url_or_host_and_port() {
        for (text, url) in [
            ("localhost:1", "http://localhost:1"),
            ("http://[::1]:1", "http://[::1]:1"),
            ("https://example.org", "https://example.org"),
        ] {
            assert_eq!(normalize_url(text).as_deref(), Ok(url));
        }
        assert_eq!(normalize_url("ftp://example.org"), Err(UrlError::Scheme));
        for text in ["http://", "two words", ""] {
            assert_eq!(normalize_url(text), Err(UrlError::Malformed), "{text}");
        }
    }

    #[test]
    fn a_token_is_exposed_on_the_way_to_another_machine_without_tls() {
        let exposes = |url: &str| {
            let credentials = CallCredentials::bearer("t").expect("a token");
            let target = ServerTarget::new(url).expect(url);
            assert!(!target.exposes_token(), "{url} without a token");
            target.with_credentials(credentials).exposes_token()
        };
        for url in ["localhost:1", "127.1.2.3:1", "[::1]:1", "https://a.org"] {
            assert!(!exposes(url), "{url}");
        }
        for url in ["a.org:1", "10.0.0.1:1", "[::2]:1", "localhost.a.org:1"] {
            assert!(exposes(url), "{url}");
        }
    }

    #[test]
    fn tls_files_are_for_https_and_must_exist() {
        let files = ClientTlsFiles {
            ca: Some(PathBuf::from("missing/ca.pem")),
            identity: None,
        };
        let plain = ServerTarget::new("http://a.org").expect("a URL");
        let error = plain.with_tls(files.clone()).expect_err("it is plain");
        assert!(matches!(error, ClientTlsError::PlainUrl), "{error}");
        let encrypted = ServerTarget::new("https://a.org").expect("a URL");
        let error = encrypted.with_tls(files).expect_err("no such file");
        assert!(error.to_string().contains("missing/ca.pem"), "{error}");
    }
}
