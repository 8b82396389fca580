//! Shares of traffic, in per mille, as people write them: `5%`, `2.5%`.

/// Why a text is not a share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a share of the traffic like 5% or 2.5%")]
pub(crate) struct PermilleError;

/// Reads a percentage with at most one decimal, of any size: what a share may be is up to the
/// server.
pub(crate) fn parse(text: &str) -> Result<i32, PermilleError> {
    let percent = text.strip_suffix('%').ok_or(PermilleError)?;
    let (whole, tenths) = percent.split_once('.').unwrap_or((percent, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    if !is_number(whole) || !is_number(tenths) || tenths.len() > 1 {
        return Err(PermilleError);
    }
    // The digits of a percentage with one decimal are its per mille.
    format!("{whole}{tenths}")
        .parse()
        .map_err(|_| PermilleError)
}

/// A share in the form that [`parse`] reads: `5%`, `2.5%`.
pub(crate) fn to_text(permille: i32) -> String {
    format!("{}%", f64::from(permille) / 10.0)
}

/// A share for people to read: `5 %`, `2.5 %`.
pub(crate) fn to_words(permille: i32) -> String {
    format!("{} %", f64::from(permille) / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_with_one_decimal() {
        for (text, permille) in [
            ("0%", 0),
            ("0.1%", 1),
            ("5%", 50),
            ("2.5%", 25),
            ("99.9%", 999),
            ("100%", 1_000),
        ] {
            assert_eq!(parse(text), Ok(permille), "{text}");
            assert_eq!(to_text(permille), text);
        }
        assert_eq!(parse("5.0%"), Ok(50));
        assert_eq!(to_words(25), "2.5 %");
        for text in [
            "",
            "%",
            "5",
            "5 %",
            "-5%",
            "+5%",
            "5.%",
            ".5%",
            "5.25%",
            "1e1%",
            "x%",
            "4294967296%",
        ] {
            assert_eq!(parse(text), Err(PermilleError), "{text}");
        }
    }
}
