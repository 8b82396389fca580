//! `KEY=VALUE` arguments.

/// Why a text is no pair.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("write KEY=VALUE")]
pub(crate) struct PairError;

/// Splits at the first `=`. The value may be empty, the key may not.
pub(crate) fn parse(text: &str) -> Result<(String, String), PairError> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(PairError),
    }
}

#[cfg(test)]
mod tests {
    use super::{PairError, parse};

    #[test]
    fn splits_at_the_first_equals_sign() {
        assert_eq!(parse("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(parse("A="), Ok(("A".to_owned(), String::new())));
    }

    #[test]
    fn a_key_is_required() {
        assert_eq!(parse("A"), Err(PairError));
        assert_eq!(parse("=b"), Err(PairError));
    }
}
