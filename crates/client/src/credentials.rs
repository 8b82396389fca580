use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};

/// What a client shows with each call: a bearer token, or nothing. A client
/// certificate belongs to the connection instead:
/// [`ClientTlsFiles`](crate::ClientTlsFiles).
///
/// `Debug` never prints the token.
#[derive(Clone, Debug, Default)]
pub struct CallCredentials(Option<MetadataValue<Ascii>>);

/// The text cannot be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is one word of plain characters")]
pub struct MalformedToken;

impl CallCredentials {
    /// Shows nothing.
    pub fn anonymous() -> Self {
        Self(None)
    }

    /// Shows this token.
    ///
    /// # Errors
    ///
    /// When the token is empty or has anything but visible ASCII characters: no
    /// server could accept it.
    pub fn bearer(token: &str) -> Result<Self, MalformedToken> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(MalformedToken);
        }
        let header = format!("Bearer {token}");
        let mut value: MetadataValue<Ascii> = header.parse().map_err(|_| MalformedToken)?;
        // Keeps it out of `Debug`, and out of the compression table of HTTP/2.
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }

    /// Returns whether there is a token to show.
    pub fn has_token(&self) -> bool {
        self.0.is_some()
    }
}

impl Interceptor for CallCredentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_shows_the_token_and_debug_does_not() {
        let mut credentials = CallCredentials::bearer("vrd_secret").expect("a token");
        let request = credentials.call(Request::new(())).expect("it passes");
        let header = request.metadata().get("authorization");
        assert_eq!(header.expect("the header").as_bytes(), b"Bearer vrd_secret");
        for debug in [format!("{credentials:?}"), format!("{request:?}")] {
            assert!(!debug.contains("secret"), "{debug}");
        }
    }

    #[test]
    fn without_a_token_there_is_no_header() {
        let mut credentials = CallCredentials::anonymous();
        let request = credentials.call(Request::new(())).expect("it passes");
        assert!(request.metadata().is_empty(), "{request:?}");
    }

    #[test]
    fn a_malformed_token_is_refused_without_being_shown() {
        for text in ["", "two words", "line\nfeed", "caf\u{e9}"] {
            let refused = CallCredentials::bearer(text).map(|_| ());
            assert_eq!(refused, Err(MalformedToken), "{text:?}");
        }
    }
}
