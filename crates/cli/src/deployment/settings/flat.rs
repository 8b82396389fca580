//! Settings as a flat map from path to text, for comparison.

use std::collections::BTreeMap;

use serde_json::Value;

/// Settings by path, as people write them.
pub(super) type FlatSettings = BTreeMap<String, String>;

/// Adds the settings in a value, below a path.
pub(super) fn flatten(value: &Value, path: &str, flat: &mut FlatSettings) {
    match value {
        // An amount is a message of the API, but people write `2` or `25%`.
        Value::Object(fields) => match amount(value) {
            Some(text) => {
                flat.insert(path.to_owned(), text);
            }
            None => {
                for (key, value) in fields {
                    let path = match path {
                        "" => key.clone(),
                        _ => format!("{path}.{key}"),
                    };
                    flatten(value, &path, flat);
                }
            }
        },
        Value::String(text) => {
            flat.insert(path.to_owned(), text.clone());
        }
        other => {
            flat.insert(path.to_owned(), other.to_string());
        }
    }
}

/// An amount of routes: `2` or `25%`.
pub(super) fn amount(value: &Value) -> Option<String> {
    let fields = value.as_object().filter(|it| it.len() == 1)?;
    match (fields.get("count"), fields.get("percent")) {
        (Some(Value::Number(count)), _) => Some(count.to_string()),
        (_, Some(Value::Number(percent))) => Some(format!("{percent}%")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{FlatSettings, flatten};

    #[test]
    fn each_setting_has_its_path() {
        let value = json!({
            "labels": {"tier": "web", "count": "3"},
            "policy": {"rolling_update": {"max_surge": {"percent": 25}}},
            "target_replicas": 3,
            "command": ["a", "b"],
        });
        let mut flat = FlatSettings::new();
        flatten(&value, "", &mut flat);
        let all: Vec<_> = flat
            .iter()
            .map(|(path, text)| format!("{path}={text}"))
            .collect();
        assert_eq!(
            all,
            [
                "command=[\"a\",\"b\"]",
                "labels.count=3",
                "labels.tier=web",
                "policy.rolling_update.max_surge=25%",
                "target_replicas=3",
            ]
        );
    }
}
