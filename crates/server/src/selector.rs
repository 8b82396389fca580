//! Label selectors, with the syntax of Kubernetes: `a=b,c!=d,e in (f,g),!h`.

use std::collections::BTreeMap;

/// What labels must be like. An empty one takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<LabelRequirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct LabelRequirement {
    key: String,
    rule: LabelRule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum LabelRule {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl LabelSelector {
    /// Parses a selector, or says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        split(text)
            .into_iter()
            .map(requirement)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether labels are like that. As in Kubernetes, `!=` and `notin` take
    /// labels that do not have the key.
    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|LabelRequirement { key, rule }| {
            let value = labels.get(key);
            match rule {
                LabelRule::Exists => value.is_some(),
                LabelRule::Missing => value.is_none(),
                LabelRule::In(values) => value.is_some_and(|value| values.contains(value)),
                LabelRule::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            }
        })
    }

    /// Returns the labels that all matching deployments have one of, by requirement: the key and
    /// its values. Only those with few values, which an index can be asked for.
    pub(crate) fn indexed(&self) -> impl Iterator<Item = (&str, &[String])> {
        let requirements = self.0.iter();
        requirements.filter_map(|LabelRequirement { key, rule }| match rule {
            LabelRule::In(values) if values.len() <= MAX_INDEXED_VALUES => {
                Some((key.as_str(), values.as_slice()))
            }
            _ => None,
        })
    }

    /// Returns the keys that all matching deployments have.
    pub(crate) fn required_keys(&self) -> impl Iterator<Item = &str> {
        let requirements = self.0.iter();
        requirements.filter_map(|LabelRequirement { key, rule }| match rule {
            LabelRule::In(_) | LabelRule::Exists => Some(key.as_str()),
            LabelRule::Missing | LabelRule::NotIn(_) => None,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Splits at the commas that are not within parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .collect()
}

fn requirement(text: &str) -> Result<LabelRequirement, String> {
    if let Some(key) = text.strip_prefix('!') {
        return Ok(LabelRequirement {
            key: word(key)?,
            rule: LabelRule::Missing,
        });
    }
    // Before `=`, which `!=` and `==` contain.
    if let Some((key, value)) = text.split_once("!=") {
        return Ok(LabelRequirement {
            key: word(key)?,
            rule: LabelRule::NotIn(vec![value_of(value)?]),
        });
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(LabelRequirement {
            key: word(key)?,
            rule: LabelRule::In(vec![value_of(value)?]),
        });
    }
    let mut words = text.splitn(2, char::is_whitespace);
    let key = word(words.next().unwrap_or_default())?;
    let Some(rest) = words.next() else {
        return Ok(LabelRequirement {
            key,
            rule: LabelRule::Exists,
        });
    };
    let (operator, set) = rest
        .split_once('(')
        .and_then(|(operator, set)| Some((operator.trim(), set.strip_suffix(')')?)))
        .ok_or_else(|| format!("{text:?} is not a requirement"))?;
    let values = set
        .split(',')
        .map(value_of)
        .collect::<Result<Vec<_>, _>>()?;
    match operator {
        "in" => Ok(LabelRequirement {
            key,
            rule: LabelRule::In(values),
        }),
        "notin" => Ok(LabelRequirement {
            key,
            rule: LabelRule::NotIn(values),
        }),
        _ => Err(format!("{operator:?} is neither `in` nor `notin`")),
    }
}

fn word(text: &str) -> Result<String, String> {
    let text = text.trim();
    let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if !text.is_empty() && text.chars().all(usable) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a label's key"))
    }
}

/// A value; unlike a key it may be empty.
fn value_of(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Ok(String::new())
    } else {
        word(text)
    }
}

/// Each is a query.
const MAX_INDEXED_VALUES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g10_an_index_is_asked_for_what_must_be_there() {
        let selector = LabelSelector::parse("a=b,c!=d,e in (f,g),!h,i").expect("a selector");
        let indexed: Vec<_> = selector
            .indexed()
            .map(|(key, it)| (key, it.len()))
            .collect();
        assert_eq!(indexed, [("a", 1), ("e", 2)]);
        let required: Vec<_> = selector.required_keys().collect();
        assert_eq!(required, ["a", "e", "i"]);
        let many = format!("a in ({})", "x,".repeat(MAX_INDEXED_VALUES));
        let many = LabelSelector::parse(&many).expect("a selector");
        assert_eq!(many.indexed().count(), 0);
    }

    fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        LabelSelector::parse(selector)
            .expect(selector)
            .matches(&labels)
    }

    #[test]
    fn selects_as_kubernetes_does() {
        let labels = [("a", "b"), ("e", "g")];
        assert!(matches("", &labels));
        assert!(matches("a=b,c!=d,e in (f,g),!h", &labels));
        assert!(matches("a==b, e", &labels));
        assert!(matches("x notin (y)", &labels));
        assert!(!matches("a=c", &labels));
        assert!(!matches("!a", &labels));
        assert!(!matches("e in (f, h)", &labels));
        assert!(!matches("x in (y)", &labels));
    }

    #[test]
    fn says_what_it_cannot_read() {
        for text in ["a b", "a in b", "a like (b)", "=b", ",", "a=b c", "a in (b"] {
            LabelSelector::parse(text).expect_err(text);
        }
    }
}
