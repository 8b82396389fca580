//! `NAME=SECRET/KEY`: an environment variable, and the secret that is its value.

use viridian_proto::v1::EnvironSource;

/// Parses one. The server checks the names.
pub(super) fn parse(text: &str) -> Result<EnvironSource, &'static str> {
    let (name, reference) = text.split_once('=').ok_or(EXPECTED)?;
    let (secret, key) = reference.split_once('/').ok_or(EXPECTED)?;
    if [name, secret, key].iter().any(|part| part.is_empty()) {
        return Err(EXPECTED);
    }
    Ok(EnvironSource {
        name: name.to_owned(),
        secret: secret.to_owned(),
        key: key.to_owned(),
    })
}

const EXPECTED: &str = "must be NAME=SECRET/KEY";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g15_a_source_has_three_parts() {
        let source = parse("DB_PASSWORD=db.main/password").expect("a source");
        let parts = [&source.name, &source.secret, &source.key];
        assert_eq!(parts, ["DB_PASSWORD", "db.main", "password"]);
        for text in ["", "A", "A=", "A=s", "A=s/", "A=/k", "=s/k", "s/k"] {
            parse(text).expect_err(text);
        }
    }
}
