//! `KEY=VALUE` arguments.

/// A text that is not `KEY=VALUE`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected KEY=VALUE")]
pub(crate) struct KeyValueError;

/// Splits at the first `=`. The value may be empty, the key may not.
pub(crate) fn parse(text: &str) -> Result<(String, String), KeyValueError> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(KeyValueError),
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyValueError, parse};

    #[test]
    fn splits_at_the_first_equals_sign() {
        assert_eq!(parse("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(parse("A="), Ok(("A".to_owned(), String::new())));
    }

    #[test]
    fn a_key_is_required() {
        assert_eq!(parse("A"), Err(KeyValueError));
        assert_eq!(parse("=b"), Err(KeyValueError));
    }
}
