use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};

/// Shows a token with each call, if there is one. `Debug` does not show it.
#[derive(Clone, Debug, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

/// A token that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is one word of plain characters")]
pub struct MalformedToken;

impl Bearer {
    /// Shows this token.
    ///
    /// # Errors
    ///
    /// When no server could take it.
    pub fn new(token: &str) -> Result<Self, MalformedToken> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(MalformedToken);
        }
        let header = format!("Bearer {token}");
        let mut value: MetadataValue<Ascii> = header.parse().map_err(|_| MalformedToken)?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }

    /// Whether there is a token.
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_shows_the_token_and_debug_does_not() {
        let mut bearer = Bearer::new("vrd_secret").expect("a token");
        let request = bearer.call(Request::new(())).expect("it goes on");
        let shown = request
            .metadata()
            .get("authorization")
            .expect("it is shown");
        assert_eq!(shown.as_bytes(), b"Bearer vrd_secret");
        for debug in [format!("{bearer:?}"), format!("{request:?}")] {
            assert!(!debug.contains("secret"), "{debug}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_shown() {
        for text in ["", "two words", "line\nfeed", "caf\u{e9}"] {
            assert_eq!(
                Bearer::new(text).map(|_| ()),
                Err(MalformedToken),
                "{text:?}"
            );
        }
    }
}
