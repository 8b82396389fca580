//! How settings differ, as paths with texts: by descriptor, so that a setting needs no
//! code here.

use std::{collections::BTreeMap, time::Duration};

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, OneofDescriptor, ReflectMessage as _, Value,
};
use viridian_proto::v1;
use viridian_store::FieldChange;

use super::mask::descriptor;

/// Settings by path, as people write them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlatSettings(BTreeMap<String, String>);

impl FlatSettings {
    /// Adds the settings of a message of the contract, below a path.
    pub(crate) fn add<M: prost::Message>(&mut self, name: &str, message: &M, path: &str) {
        let mut dynamic = DynamicMessage::new(descriptor(name));
        // It fails only for a message of another type.
        if dynamic.transcode_from(message).is_ok() {
            self.add_message(&dynamic, path);
        }
    }

    /// Adds the settings of one field of a message, below a path.
    pub(crate) fn add_field(
        &mut self,
        message: &DynamicMessage,
        field: &FieldDescriptor,
        path: &str,
    ) {
        if field.supports_presence() && !message.has_field(field) {
            return;
        }
        match (&*message.get_field(field), field.kind()) {
            (Value::Map(entries), _) => {
                for (key, value) in entries {
                    if let (MapKey::String(key), Some(text)) = (key, value.as_str()) {
                        self.set(format!("{path}.{key}"), text);
                    }
                }
            }
            (Value::List(items), Kind::Message(kind)) if kind.name() == "CanaryStep" => {
                let steps: Vec<_> = items
                    .iter()
                    .filter_map(Value::as_message)
                    .map(step)
                    .collect();
                self.set(path.to_owned(), &steps.join(", "));
            }
            (Value::List(items), Kind::Message(_)) => {
                for item in items.iter().filter_map(Value::as_message) {
                    self.add_source(item, path);
                }
            }
            (Value::List(items), _) if !items.is_empty() => {
                let texts: Vec<_> = items.iter().filter_map(Value::as_str).collect();
                self.set(path.to_owned(), &serde_json::json!(texts).to_string());
            }
            (Value::Message(inner), _) => match amount(inner) {
                Some(text) => self.set(path.to_owned(), &text),
                None => self.add_message(inner, path),
            },
            (Value::String(text), _) if !text.is_empty() => self.set(path.to_owned(), text),
            (Value::Bool(value), _) => self.set(path.to_owned(), &value.to_string()),
            (Value::I32(value), _) => self.set(path.to_owned(), &value.to_string()),
            (Value::EnumNumber(number), Kind::Enum(all)) => {
                let zero = all.default_value();
                let prefix = zero.name().trim_end_matches("UNSPECIFIED");
                let value = all.get_value(*number);
                let name = value.map_or_else(String::new, |it| {
                    let name = it.name();
                    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
                });
                self.set(path.to_owned(), &name);
            }
            _ => {}
        }
    }

    /// How these differ from others, by path.
    pub(crate) fn changes_to(&self, after: &Self) -> Vec<FieldChange> {
        let paths = self.0.keys().chain(after.0.keys());
        let paths: std::collections::BTreeSet<_> = paths.collect();
        let changed = paths
            .into_iter()
            .filter(|path| self.0.get(*path) != after.0.get(*path));
        let change = |path: &String| FieldChange {
            path: path.clone(),
            old_value: shown(path, self.0.get(path)),
            new_value: shown(path, after.0.get(path)),
        };
        changed.map(change).collect()
    }

    /// Adds a variable of the environment that comes from a secret, by the variable's name.
    fn add_source(&mut self, source: &DynamicMessage, path: &str) {
        let text = |name: &str| {
            let value = source.get_field_by_name(name);
            value.and_then(|it| it.as_str().map(str::to_owned))
        };
        if let (Some(name), Some(secret), Some(key)) = (text("name"), text("secret"), text("key")) {
            self.set(format!("{path}.{name}"), &format!("{secret}/{key}"));
        }
    }

    fn add_message(&mut self, message: &DynamicMessage, path: &str) {
        let descriptor = message.descriptor();
        // Which of several messages was chosen is a setting by itself.
        for oneof in descriptor.oneofs().filter(|it| !it.is_synthetic()) {
            let chosen = OneofDescriptor::fields(&oneof).find(|it| message.has_field(it));
            if let Some(chosen) = chosen {
                self.set(format!("{path}.{}", oneof.name()), chosen.name());
            }
        }
        for field in descriptor.fields() {
            self.add_field(message, &field, &format!("{path}.{}", field.name()));
        }
    }

    fn set(&mut self, path: String, text: &str) {
        self.0.insert(path, text.to_owned());
    }
}

/// How a revision differs from another, or from none.
pub(crate) fn revision_changes(
    before: Option<&v1::RevisionSpec>,
    after: &v1::RevisionSpec,
) -> Vec<FieldChange> {
    let mut flat = [FlatSettings::default(), FlatSettings::default()];
    for (flat, spec) in flat.iter_mut().zip([before, Some(after)]) {
        if let Some(spec) = spec {
            flat.add("RevisionSpec", spec, "revision");
            // It is about one reply, and no setting.
            flat.0.remove("revision.environ_redacted");
        }
    }
    flat[0].changes_to(&flat[1])
}

/// A duration or an amount of routes, which people write as one word.
fn amount(message: &DynamicMessage) -> Option<String> {
    let value = |name: &str| message.get_field_by_name(name).map(|it| it.into_owned());
    let number = |name| value(name).and_then(|it| it.as_i32());
    match message.descriptor().full_name() {
        "google.protobuf.Duration" => {
            let seconds = value("seconds")?.as_i64()?;
            let duration = Duration::new(
                seconds.try_into().unwrap_or_default(),
                number("nanos")?.cast_unsigned(),
            );
            Some(format!("{}s", duration_in_seconds(duration)))
        }
        "viridian.deployment.v1.IntOrPercent" if message.has_field_by_name("percent") => {
            Some(format!("{}%", number("percent")?))
        }
        "viridian.deployment.v1.IntOrPercent" => Some(number("count")?.to_string()),
        _ => None,
    }
}

/// A step of a canary, as the command line takes it: `25%:600s:manual:replicas=3`.
fn step(message: &DynamicMessage) -> String {
    let value = |name: &str| message.get_field_by_name(name).map(|it| it.into_owned());
    let part = |name: &str| {
        let value = value(name).filter(|_| message.has_field_by_name(name))?;
        amount(value.as_message()?)
    };
    let weight = value("weight_permille").and_then(|it| it.as_i32());
    let mut text = format!("{}%", f64::from(weight.unwrap_or_default()) / 10.0);
    if let Some(hold) = part("hold").filter(|hold| hold != "0s") {
        text += &format!(":{hold}");
    }
    if value("manual").and_then(|it| it.as_bool()) == Some(true) {
        text += ":manual";
    }
    if let Some(replicas) = part("replicas") {
        text += &format!(":replicas={replicas}");
    }
    text
}

/// Seconds with as many digits as they have.
fn duration_in_seconds(duration: Duration) -> String {
    let fraction = format!("{:09}", duration.subsec_nanos());
    match fraction.trim_end_matches('0') {
        "" => duration.as_secs().to_string(),
        fraction => format!("{}.{fraction}", duration.as_secs()),
    }
}

/// A value as the history may keep it: not one that may be a secret, and not a long one as a
/// whole.
fn shown(path: &str, value: Option<&String>) -> String {
    match value {
        None => String::new(),
        Some(_) if path.starts_with(SECRETS) => HIDDEN.to_owned(),
        Some(text) if text.len() <= MAX_VALUE_BYTES => text.clone(),
        Some(text) => format!("{}…", &text[..text.floor_char_boundary(MAX_VALUE_BYTES)]),
    }
}

const SECRETS: &str = "revision.environ.";
const HIDDEN: &str = "***";
const MAX_VALUE_BYTES: usize = 1_024;

#[cfg(test)]
mod tests {
    use prost_types::Duration as Wire;

    use super::*;

    fn lines(changes: &[FieldChange]) -> Vec<String> {
        let line = |it: &FieldChange| format!("{}: {} -> {}", it.path, it.old_value, it.new_value);
        changes.iter().map(line).collect()
    }

    fn environ(pairs: &[(&str, &str)]) -> v1::RevisionSpec {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        v1::RevisionSpec {
            image: "web:1".to_owned(),
            environ: pairs.iter().map(pair).collect(),
            ..v1::RevisionSpec::default()
        }
    }

    #[test]
    fn c4_values_of_the_environment_are_in_no_change() {
        let before = environ(&[("GONE", "one"), ("KEPT", "two"), ("TURNED", "three")]);
        let after = environ(&[("KEPT", "two"), ("NEW", ""), ("TURNED", "four")]);
        assert_eq!(
            lines(&revision_changes(Some(&before), &after)),
            [
                "revision.environ.GONE: *** -> ",
                "revision.environ.NEW:  -> ***",
                "revision.environ.TURNED: *** -> ***",
            ]
        );
    }

    #[test]
    fn g15_a_secret_is_a_change_by_its_name_and_never_by_its_value() {
        let with = |sources: &[(&str, &str)]| v1::RevisionSpec {
            environ_from: sources
                .iter()
                .map(|(name, key)| v1::EnvironSource {
                    name: (*name).to_owned(),
                    secret: "db".to_owned(),
                    key: (*key).to_owned(),
                })
                .collect(),
            ..v1::RevisionSpec::default()
        };
        let (before, after) = (with(&[("A", "old"), ("B", "b")]), with(&[("A", "new")]));
        assert_eq!(
            lines(&revision_changes(Some(&before), &after)),
            [
                "revision.environ_from.A: db/old -> db/new",
                "revision.environ_from.B: db/b -> ",
            ]
        );
        assert_eq!(
            lines(&revision_changes(None, &after)),
            ["revision.environ_from.A:  -> db/new"],
        );
    }

    #[test]
    fn values_are_as_people_write_them() {
        let mut flat = FlatSettings::default();
        let policy = v1::DeploymentPolicy {
            strategy: Some(v1::deployment_policy::Strategy::BlueGreen(
                v1::BlueGreenSpec {
                    promote_delay: Some(Wire {
                        seconds: 90,
                        nanos: 500_000_000,
                    }),
                    gate_timeout: Some(v1::GateTimeout {
                        duration: Some(Wire::default()),
                        action: v1::GateTimeoutAction::Rollback.into(),
                    }),
                    ..v1::BlueGreenSpec::default()
                },
            )),
            ..v1::DeploymentPolicy::default()
        };
        flat.add("DeploymentPolicy", &policy, "policy");
        for (path, value) in [
            ("policy.strategy", "blue_green"),
            ("policy.blue_green.auto_promote", "false"),
            ("policy.blue_green.promote_delay", "90.5s"),
            ("policy.blue_green.gate_timeout.duration", "0s"),
            ("policy.blue_green.gate_timeout.action", "rollback"),
        ] {
            let found = flat.0.get(path).map(String::as_str);
            assert_eq!(found, Some(value), "{path}: {flat:?}");
        }
        assert_eq!(flat.0.get("policy.drain_grace"), None);
    }

    #[test]
    fn the_steps_of_a_canary_are_one_setting() {
        let step = |weight_permille, seconds, manual, replicas: Option<i32>| v1::CanaryStep {
            weight_permille,
            hold: Some(Wire { seconds, nanos: 0 }),
            manual,
            replicas: replicas.map(|count| v1::IntOrPercent {
                value: Some(v1::int_or_percent::Value::Count(count)),
            }),
        };
        let flat = |steps: Vec<v1::CanaryStep>| {
            let mut flat = FlatSettings::default();
            let policy = v1::DeploymentPolicy {
                strategy: Some(v1::deployment_policy::Strategy::Canary(v1::CanarySpec {
                    steps,
                    ..v1::CanarySpec::default()
                })),
                ..v1::DeploymentPolicy::default()
            };
            flat.add("DeploymentPolicy", &policy, "policy");
            flat
        };
        let before = flat(vec![
            step(0, 300, false, None),
            step(25, 600, false, Some(3)),
        ]);
        let after = flat(vec![step(50, 0, true, None)]);
        assert_eq!(
            lines(&before.changes_to(&after)),
            ["policy.canary.steps: 0%:300s, 2.5%:600s:replicas=3 -> 5%:manual"]
        );
    }

    #[test]
    fn a_long_value_is_cut() {
        let spec = |fill: &str| v1::RevisionSpec {
            command: vec![fill.repeat(5_000)],
            ..v1::RevisionSpec::default()
        };
        let changes = revision_changes(Some(&spec("a")), &spec("ä"));
        let [change] = &changes[..] else {
            panic!("{changes:?}")
        };
        assert!(change.new_value.ends_with('…') && change.new_value.len() < 1_100);
    }
}
