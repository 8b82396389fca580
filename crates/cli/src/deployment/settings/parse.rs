//! Parses settings as people write them into a message of the API.

use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};
use viridian_proto::v1::CreateDeploymentRequest;

use super::{REVISION, REVISION_IN_FILES};
use crate::{
    duration::{self, DurationError},
    output::{self, OutputError},
};

/// Why settings are not valid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingError {
    #[error("{path}: unknown setting; expected one of: {names}")]
    Unknown { path: String, names: String },
    #[error("{path}: expected {expected}")]
    Expected { path: String, expected: String },
    #[error("{path}: {source}")]
    Duration { path: String, source: DurationError },
    #[error("{path}: only one of {names} is allowed")]
    OneOf { path: String, names: String },
    #[error("the settings do not match the API: {0}")]
    Mismatch(#[from] serde_json::Error),
    #[error("the settings do not match the API: {0}")]
    Decode(#[from] prost::DecodeError),
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// The request for a deployment with these settings, and the paths of the settings.
pub(super) fn parse(file: &Value) -> Result<(CreateDeploymentRequest, Vec<String>), SettingError> {
    let descriptor = output::descriptor("CreateDeploymentRequest")?;
    let mut reader = SettingsReader::default();
    let Value::Object(fields) = file else {
        return Err(expected("the file", "a mapping"));
    };
    let mut tree = Map::new();
    for (key, value) in fields {
        let known = match key.as_str() {
            REVISION_IN_FILES => descriptor.get_field_by_name(REVISION),
            key if CALL_FIELDS.contains(&key) => None,
            key => descriptor.get_field_by_name(key),
        };
        let field = known.ok_or_else(|| SettingError::Unknown {
            path: key.clone(),
            names: top_names(&descriptor),
        })?;
        tree.insert(
            field.name().to_owned(),
            // By the name in the API: the field mask of an update is made of these paths.
            reader.field(&field, value, field.name())?,
        );
    }
    let message = DynamicMessage::deserialize(descriptor, Value::Object(tree))?;
    Ok((message.transcode_to()?, reader.named))
}

/// Reads settings, and collects their paths.
#[derive(Default)]
struct SettingsReader {
    named: Vec<String>,
}

impl SettingsReader {
    fn message(
        &mut self,
        descriptor: &MessageDescriptor,
        value: &Value,
        path: &str,
    ) -> Result<Value, SettingError> {
        let fields = match (descriptor.full_name(), value) {
            ("google.protobuf.Duration", _) => return self.duration(value, path),
            ("viridian.deployment.v1.IntOrPercent", _) => return self.amount(value, path),
            (_, Value::Object(fields)) => fields,
            _ => return Err(expected(path, "a mapping, or nothing")),
        };
        // `rolling_update: {}` chooses a strategy, although it names no setting.
        if fields.is_empty() {
            self.named.push(path.to_owned());
        }
        check_oneofs(descriptor, fields, path)?;
        let mut tree = Map::new();
        for (key, value) in fields {
            let path = format!("{path}.{key}");
            let field = descriptor.get_field_by_name(key);
            let field = field.ok_or_else(|| SettingError::Unknown {
                path: in_files(&path),
                names: names(descriptor.fields()),
            })?;
            tree.insert(key.clone(), self.field(&field, value, &path)?);
        }
        Ok(Value::Object(tree))
    }

    fn field(
        &mut self,
        field: &FieldDescriptor,
        value: &Value,
        path: &str,
    ) -> Result<Value, SettingError> {
        // The kind of a map is a message too: that of its entries.
        if let (Kind::Message(message), false) = (field.kind(), field.is_map()) {
            return self.message(&message, value, path);
        }
        self.named.push(path.to_owned());
        match (value, field.kind()) {
            (Value::Object(entries), _) if field.is_map() => {
                let entry = |(key, value): (&String, &Value)| {
                    Ok((key.clone(), text(value, &format!("{path}.{key}"))?))
                };
                entries.iter().map(entry).collect()
            }
            _ if field.is_map() => Err(expected(path, "a mapping")),
            // All lists of settings are lists of texts.
            (Value::Array(items), _) if field.is_list() => {
                items.iter().map(|item| text(item, path)).collect()
            }
            _ if field.is_list() => Err(expected(path, "a list")),
            (_, Kind::String) => text(value, path),
            (Value::String(name), Kind::Enum(all)) => enum_value(&all, name, path),
            // A fraction, or a number out of range, fails when the message is deserialized.
            (Value::Bool(_), Kind::Bool) | (Value::Number(_), Kind::Int32) => Ok(value.clone()),
            (_, Kind::Bool) => Err(expected(path, "true or false")),
            _ => Err(expected(path, "a whole number")),
        }
    }

    fn duration(&mut self, value: &Value, path: &str) -> Result<Value, SettingError> {
        self.named.push(path.to_owned());
        // Another type than text becomes an empty text, which is no duration either.
        let text = value.as_str().unwrap_or_default();
        let duration = duration::parse(text).map_err(|source| SettingError::Duration {
            path: in_files(path),
            source,
        })?;
        Ok(duration::to_text(duration).into())
    }

    fn amount(&mut self, value: &Value, path: &str) -> Result<Value, SettingError> {
        self.named.push(path.to_owned());
        let what = "a number of routes, or a percentage like 25%";
        let percent = value.as_str().and_then(|text| text.strip_suffix('%'));
        let (name, number) = match (value, percent) {
            (Value::Number(count), _) => ("count", count.as_i64()),
            (_, Some(percent)) => ("percent", percent.parse().ok()),
            // A number in quotes is a count as well.
            _ => ("count", value.as_str().and_then(|text| text.parse().ok())),
        };
        let number = number.ok_or_else(|| expected(path, what))?;
        Ok(serde_json::json!({ name: number }))
    }
}

/// Refuses two fields of one oneof: the message could hold only one of them.
fn check_oneofs(
    descriptor: &MessageDescriptor,
    fields: &Map<String, Value>,
    path: &str,
) -> Result<(), SettingError> {
    for oneof in descriptor.oneofs() {
        let given = oneof.fields().filter(|it| fields.contains_key(it.name()));
        if given.count() > 1 {
            return Err(SettingError::OneOf {
                path: in_files(path),
                names: names(oneof.fields()),
            });
        }
    }
    Ok(())
}

/// A text. YAML reads an unquoted `80` or `true` as another type; those count as text.
fn text(value: &Value, path: &str) -> Result<Value, SettingError> {
    match value {
        Value::String(_) => Ok(value.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string().into()),
        _ => Err(expected(path, "a text")),
    }
}

/// The value of an enum by its short name: `rollback`.
fn enum_value(all: &EnumDescriptor, name: &str, path: &str) -> Result<Value, SettingError> {
    let short = |value: &str| {
        // Each name starts with the name of the enum, and zero is `…_UNSPECIFIED`.
        let zero = all.default_value();
        let prefix = zero.name().trim_end_matches("UNSPECIFIED").to_owned();
        let short = value.strip_prefix(&prefix).unwrap_or(value);
        short.to_ascii_lowercase().replace('_', "-")
    };
    let mut values = all.values().filter(|it| it.number() != 0);
    let asked = name.to_ascii_lowercase().replace('_', "-");
    // By the full name too, which is how JSON output shows it.
    match values.find(|it| short(it.name()) == asked || it.name() == name) {
        Some(value) => Ok(value.name().into()),
        None => {
            let named = all.values().filter(|it| it.number() != 0);
            let names: Vec<_> = named.map(|it| short(it.name())).collect();
            Err(expected(path, &names.join(" or ")))
        }
    }
}

fn expected(path: &str, expected: &str) -> SettingError {
    SettingError::Expected {
        path: in_files(path),
        expected: expected.to_owned(),
    }
}

/// A path with the names that files use.
pub(super) fn in_files(path: &str) -> String {
    path.replacen(REVISION, REVISION_IN_FILES, 1)
}

fn top_names(descriptor: &MessageDescriptor) -> String {
    let settings = descriptor
        .fields()
        .filter(|it| !CALL_FIELDS.contains(&it.name()));
    format!("{}, {REVISION_IN_FILES}", names(settings))
}

fn names(fields: impl Iterator<Item = FieldDescriptor>) -> String {
    let names: Vec<_> = fields.map(|it| it.name().to_owned()).collect();
    names.join(", ")
}

/// Fields that are no settings: those of the call itself, and the API's name of the
/// revision, which files call `revision`.
const CALL_FIELDS: [&str; 4] = ["request_id", "expected_generation", "reason", REVISION];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::EXAMPLE, *};

    fn error(file: &Value) -> String {
        parse(file).expect_err("it is not valid").to_string()
    }

    /// The paths of all settings of the API.
    fn every_path(descriptor: &MessageDescriptor, prefix: &str, all: &mut Vec<String>) {
        for field in descriptor.fields() {
            let path = format!("{prefix}{}", field.name());
            match field.kind() {
                Kind::Message(inner)
                    if !field.is_map() && !["Duration", "IntOrPercent"].contains(&inner.name()) =>
                {
                    every_path(&inner, &format!("{path}."), all);
                }
                _ if CALL_FIELDS.contains(&path.as_str()) => {}
                _ => all.push(path),
            }
        }
    }

    #[test]
    fn the_example_has_every_setting_of_the_api() {
        let file = serde_saphyr::from_str(EXAMPLE).expect("YAML");
        let (_, mut named) = parse(&file).expect("settings");
        // The other strategy cannot be there too.
        let rolling = json!({"policy": {"rolling_update":
            {"max_surge": "25%", "max_unavailable": 1}}});
        named.extend(parse(&rolling).expect("settings").1);
        named.sort();
        let mut all = Vec::new();
        let descriptor = output::descriptor("CreateDeploymentRequest").expect("a message");
        every_path(&descriptor, "", &mut all);
        all.sort();
        assert_eq!(named, all);
    }

    #[test]
    fn values_are_as_people_write_them() {
        let file = json!({
            "target_replicas": 3,
            "policy": {"blue_green": {
                "promote_delay": "1m30s",
                "gate_timeout": {"duration": "1h", "action": "rollback"},
            }},
            "revision": {"command": ["serve", 80], "environ": {"PORT": 8080, "DEBUG": true}},
        });
        let (request, named) = parse(&file).expect("settings");
        insta::assert_snapshot!("request", format!("{request:#?}\n{named:#?}"));
    }

    #[test]
    fn errors_name_the_path() {
        let errors = [
            json!([]),
            json!({"replicas": 3}),
            json!({"reason": "because"}),
            json!({"initial_revision": {}}),
            json!({"labels": null}),
            json!({"labels": {"a": [1]}}),
            json!({"target_replicas": "many"}),
            json!({"policy": {"blue_green": {"auto_promote": "yes"}}}),
            json!({"policy": {"blue_green": {"autopromote": true}}}),
            json!({"policy": {"blue_green": {"min_ready": 30}}}),
            json!({"policy": {"blue_green": {"gate_timeout": {"action": "explode"}}}}),
            json!({"policy": {"blue_green": {}, "rolling_update": {}}}),
            json!({"policy": {"rolling_update": {"max_surge": "lots"}}}),
            json!({"revision": {"command": "serve"}}),
            json!({"revision": {"health_check": {"interval": "-1s"}}}),
        ];
        let errors: Vec<_> = errors.iter().map(error).collect();
        insta::assert_snapshot!("errors", errors.join("\n"));
    }
}
