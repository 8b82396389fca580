//! Environment variables whose values are secrets: their names, and where the values are.

use std::collections::BTreeMap;

use viridian_proto::v1;
use viridian_store::SecretReference;

use super::Violations;

/// The secrets of a spec from the wire. `field` is where the spec stands in the request.
pub(super) fn parse(
    field: &str,
    wire: &v1::RevisionSpec,
    violations: &mut Violations,
) -> BTreeMap<String, SecretReference> {
    let field = format!("{field}.environ_from");
    violations.count(&field, wire.environ_from.len(), MAX_SECRETS);
    let mut found = BTreeMap::new();
    for (index, source) in wire.environ_from.iter().take(MAX_SECRETS).enumerate() {
        let v1::EnvironSource { name, secret, key } = source;
        let at = |part: &str| format!("{field}[{index}].{part}");
        violations.check(
            is_variable_name(name),
            &at("name"),
            "is not a variable's name",
        );
        // Which of the two a replica gets would depend on its scheduler.
        violations.check(
            !wire.environ.contains_key(name),
            &at("name"),
            "is in environ too",
        );
        violations.check(is_secret_name(secret), &at("secret"), SECRET_NAME);
        violations.check(is_secret_key(key), &at("key"), SECRET_KEY);
        let reference = SecretReference {
            secret: secret.clone(),
            key: key.clone(),
        };
        let earlier = found.insert(name.clone(), reference);
        violations.check(earlier.is_none(), &at("name"), "is there twice");
    }
    found
}

/// The secrets of a spec, to the wire.
pub(super) fn to_wire(secrets: BTreeMap<String, SecretReference>) -> Vec<v1::EnvironSource> {
    let source = |(name, SecretReference { secret, key })| v1::EnvironSource { name, secret, key };
    secrets.into_iter().map(source).collect()
}

/// Whether a process can be given a variable of this name.
pub(super) fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// Whether a text can name a secret, by the rule that Kubernetes has.
fn is_secret_name(text: &str) -> bool {
    let is_edge = |c: &u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_inner = |c: &u8| is_edge(c) || matches!(c, b'-' | b'.');
    let bytes = text.as_bytes();
    // It becomes a folder's name: by its edges it is neither hidden nor "..".
    (1..=MAX_NAME).contains(&bytes.len())
        && bytes.first().is_some_and(is_edge)
        && bytes.last().is_some_and(is_edge)
        && bytes.iter().all(is_inner)
}

/// Whether a text can name a key of a secret, by the rule that Kubernetes has.
fn is_secret_key(text: &str) -> bool {
    let is_inner = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    // It becomes a file's name. What begins with ".." is above the secret, or
    // what Kubernetes keeps beside the keys.
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(is_inner)
        && text != "."
        && !text.starts_with("..")
}

const MAX_SECRETS: usize = 64;
const MAX_NAME: usize = 253;
const SECRET_NAME: &str = "must be 1 to 253 lower-case letters, digits, \"-\" and \".\", with a \
                           letter or digit at both ends";
const SECRET_KEY: &str = "must be 1 to 253 letters, digits, \"-\", \"_\" and \".\", and not begin \
                          with \"..\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g15_no_name_leads_out_of_its_folder() {
        for secret in ["db", "db.main", "0", "a-b", &"a".repeat(253)] {
            assert!(is_secret_name(secret), "{secret}");
        }
        for secret in [
            "",
            ".",
            "..",
            "../shop",
            "a/b",
            ".a",
            "a.",
            "-a",
            "A",
            "a_b",
            "a b",
            "a\0",
            "ä",
            "a\n",
            &"a".repeat(254),
        ] {
            assert!(!is_secret_name(secret), "{secret:?}");
        }
        for key in [
            "password",
            "tls.crt",
            ".dockerconfigjson",
            "A_B-c",
            "a..b",
            &"k".repeat(253),
        ] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in [
            "",
            ".",
            "..",
            "..data",
            "...",
            "../a",
            "a/b",
            "/a",
            "a\0",
            "a\n",
            "a b",
            "ä",
            &"k".repeat(254),
        ] {
            assert!(!is_secret_key(key), "{key:?}");
        }
    }

    #[test]
    fn g15_a_name_has_one_source() {
        let source = |name: &str| v1::EnvironSource {
            name: name.to_owned(),
            secret: "db".to_owned(),
            key: "password".to_owned(),
        };
        let violations = |names: &[&str]| {
            let spec = v1::RevisionSpec {
                environ: [("PLAIN".to_owned(), "1".to_owned())].into(),
                environ_from: names.iter().copied().map(source).collect(),
                ..v1::RevisionSpec::default()
            };
            let mut violations = Violations::default();
            parse("spec", &spec, &mut violations);
            violations.finish().map_err(|it| it.message().to_owned())
        };
        assert_eq!(violations(&["A", "B"]), Ok(()));
        for names in [&["A", "PLAIN"] as &[_], &["A", "A"], &["", "A"], &["A=B"]] {
            violations(names).expect_err("refused");
        }
        let many: Vec<_> = (0..=MAX_SECRETS).map(|it| format!("A{it}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        violations(&many[1..]).expect("as many as may be");
        violations(&many).expect_err("too many");
    }
}
