//! Settings as a flat map from path to text, for comparison.

use std::collections::BTreeMap;

use serde_json::Value;

use super::is_within;
use crate::permille;

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
            let text = enum_value(path, text).unwrap_or_else(|| text.clone());
            flat.insert(path.to_owned(), text);
        }
        Value::Array(steps) if path == STEPS => {
            let steps: Vec<_> = steps.iter().map(step).collect();
            flat.insert(path.to_owned(), steps.join(", "));
        }
        other => {
            flat.insert(path.to_owned(), other.to_string());
        }
    }
}

/// A step of a canary as the flag takes it: `25%:600s:manual`. A zero that is set is as one
/// that is not.
fn step(step: &Value) -> String {
    let permille = step["weight_permille"].as_i64().unwrap_or_default();
    let mut text = permille::to_text(permille.try_into().unwrap_or_default());
    if let Some(hold) = step["hold"].as_str().filter(|&it| it != "0s") {
        text += &format!(":{hold}");
    }
    if step["manual"] == true {
        text += ":manual";
    }
    if let Some(amount) = amount(&step["replicas"]) {
        text += &format!(":replicas={amount}");
    }
    text
}

const STEPS: &str = "policy.canary.steps";

/// A value of an enum as people write it, and as the server's plans have it: `rollback`.
pub(super) fn enum_value(path: &str, text: &str) -> Option<String> {
    // By their paths: a label may have any text.
    let prefix = match path {
        "protocol" => "DEPLOYMENT_PROTOCOL_",
        path if is_within(path, "policy") && path.ends_with(".action") => "GATE_TIMEOUT_ACTION_",
        _ => return None,
    };
    text.strip_prefix(prefix).map(str::to_ascii_lowercase)
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
            "labels": {"tier": "web", "count": "3", "protocol": "DEPLOYMENT_PROTOCOL_TCP"},
            "protocol": "DEPLOYMENT_PROTOCOL_HTTP2",
            "policy": {"blue_green": {"gate_timeout": {"action": "GATE_TIMEOUT_ACTION_HOLD"}}, "rolling_update": {"max_surge": {"percent": 25}}, "canary": {"steps": [
                {"hold": "0s"},
                {"weight_permille": 25, "hold": "90s", "replicas": {"count": 3}},
                {"weight_permille": 500, "manual": true, "replicas": {"percent": 80}},
            ]}},
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
                "labels.protocol=DEPLOYMENT_PROTOCOL_TCP",
                "labels.tier=web",
                "policy.blue_green.gate_timeout.action=hold",
                "policy.canary.steps=0%, 2.5%:90s:replicas=3, 50%:manual:replicas=80%",
                "policy.rolling_update.max_surge=25%",
                "protocol=http2",
                "target_replicas=3",
            ]
        );
    }
}
