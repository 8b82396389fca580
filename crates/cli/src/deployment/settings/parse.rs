//! Parses settings as people write them into a message of the API.

use std::fmt;

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage as _};
use serde_json::{Map, Value};
use viridian_proto::v1::CreateDeploymentRequest;

use super::{
    REVISION, REVISION_IN_FILES, is_within,
    mistake::{SettingMistake, unknown},
    yaml::{NodeValue, SettingNode},
};
use crate::output::{self, OutputError};

mod reader;
mod step;

use self::reader::SettingsReader;

/// Why settings are not valid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingError {
    /// All that is wrong, in the order of the file.
    #[error("{}", Lines(.0))]
    Mistakes(Vec<SettingMistake>),
    #[error("the settings do not match the API: {0}")]
    Mismatch(#[from] serde_json::Error),
    #[error("the settings do not match the API: {0}")]
    Decode(#[from] prost::DecodeError),
    #[error(transparent)]
    Output(#[from] OutputError),
}

struct Lines<'a>(&'a [SettingMistake]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            let break_ = if index == 0 { "" } else { "\n" };
            write!(f, "{break_}{mistake}")?;
        }
        Ok(())
    }
}

/// Settings that were parsed.
#[derive(Debug)]
pub(super) struct ParsedSettings {
    /// The request for a deployment with them.
    pub(super) request: CreateDeploymentRequest,
    /// Their paths, down to the leaves.
    pub(super) named: Vec<String>,
    /// The paths of those that are to have their default.
    pub(super) reset: Vec<String>,
}

/// Parses a tree of settings. All mistakes are reported at once.
pub(super) fn parse(tree: &SettingNode) -> Result<ParsedSettings, SettingError> {
    let descriptor = output::descriptor("CreateDeploymentRequest")?;
    let mut reader = SettingsReader::default();
    let mut fields = Map::new();
    match &tree.value {
        NodeValue::Mapping(entries) => {
            for (key, value) in reader.distinct(entries, "") {
                let known = match key.name.as_str() {
                    REVISION_IN_FILES => descriptor.get_field_by_name(REVISION),
                    name if CALL_FIELDS.contains(&name) => None,
                    name => descriptor.get_field_by_name(name),
                };
                match known {
                    // By the name in the API: field masks are made of these paths.
                    Some(field) => reader.add(&field, value, field.name(), &mut fields),
                    None => {
                        let problem = unknown(&key.name, &top_names(&descriptor), &descriptor);
                        // As it is written: the API's name of the revision is none in files.
                        reader.mistakes.push(SettingMistake {
                            line: key.line,
                            path: key.name.clone(),
                            problem,
                        });
                    }
                }
            }
        }
        _ => reader.expected(tree, "the file", "a mapping"),
    }
    if !reader.mistakes.is_empty() {
        reader.mistakes.sort_by_key(|it| it.line);
        return Err(SettingError::Mistakes(reader.mistakes));
    }
    let message = DynamicMessage::deserialize(descriptor, Value::Object(fields))?;
    let zeros = reader.named.iter().filter(|path| is_zero(&message, path));
    let reset = reader.reset.iter().chain(zeros).cloned().collect();
    Ok(ParsedSettings {
        request: message.transcode_to()?,
        named: reader.named,
        reset,
    })
}

/// Whether a setting that can change has a value that a message cannot show as set:
/// `auto_promote: false`, or no labels.
fn is_zero(message: &DynamicMessage, path: &str) -> bool {
    if !is_within(path, "policy") && path != "labels" {
        return false;
    }
    let mut message = message.clone();
    let mut names = path.split('.').peekable();
    while let Some(name) = names.next() {
        let Some(field) = message.descriptor().get_field_by_name(name) else {
            return false;
        };
        if !message.has_field(&field) {
            return true;
        }
        let value = message.get_field(&field).into_owned();
        match value.as_message().filter(|_| names.peek().is_some()) {
            Some(inner) => message = inner.clone(),
            None => return false,
        }
    }
    false
}

fn top_names(descriptor: &MessageDescriptor) -> Vec<String> {
    let settings = descriptor
        .fields()
        .filter(|it| !CALL_FIELDS.contains(&it.name()));
    names(settings)
        .chain([REVISION_IN_FILES.to_owned()])
        .collect()
}

fn names(fields: impl Iterator<Item = FieldDescriptor>) -> impl Iterator<Item = String> {
    fields.map(|it| it.name().to_owned())
}

/// Fields that are no settings: those of the call itself, and the API's name of the
/// revision, which files call `revision`.
const CALL_FIELDS: [&str; 4] = ["request_id", "expected_generation", "reason", REVISION];

#[cfg(test)]
mod tests {
    use prost_reflect::Kind;
    use serde_json::json;
    use viridian_proto::v1::deployment_policy::Strategy;

    use super::{
        super::{EXAMPLE, yaml},
        *,
    };

    fn parsed(file: &Value) -> Result<ParsedSettings, SettingError> {
        parse(&SettingNode::from(file))
    }

    fn from_yaml(yaml: &str) -> Result<ParsedSettings, SettingError> {
        let documents = yaml::documents(yaml).expect(yaml);
        parse(documents.first().expect("a document"))
    }

    #[test]
    fn g15_secrets_are_a_list_of_mappings() {
        let yaml = "name: a\nrevision:\n  image: i\n  environ_from:\n  \
                    - {name: PASSWORD, secret: db, key: password}\n  \
                    - {name: TOKEN, secret: api, key: 0755}\n";
        let spec = from_yaml(yaml).expect("settings").request.initial_revision;
        let sources = spec.expect("a revision").environ_from;
        let parts = |it: &viridian_proto::v1::EnvironSource| {
            format!("{} {} {}", it.name, it.secret, it.key)
        };
        let parts: Vec<_> = sources.iter().map(parts).collect();
        assert_eq!(parts, ["PASSWORD db password", "TOKEN api 0755"]);
        for wrong in [
            "{PASSWORD: db/password}",
            "[db/password]",
            "[{names: A}]",
            "db/password",
        ] {
            let yaml = format!("name: a\nrevision:\n  image: i\n  environ_from: {wrong}\n");
            let error = from_yaml(&yaml).expect_err(wrong).to_string();
            assert!(error.contains("revision.environ_from"), "{error}");
        }
    }

    fn error(file: &Value) -> String {
        parsed(file).expect_err("it is not valid").to_string()
    }

    fn mistakes(yaml: &str) -> Vec<String> {
        match from_yaml(yaml) {
            Err(SettingError::Mistakes(mistakes)) => {
                let line = |it: &SettingMistake| format!("{}: {it}", it.line.expect("a line"));
                mistakes.iter().map(line).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// The paths of all settings of the API.
    fn every_path(descriptor: &MessageDescriptor, prefix: &str, all: &mut Vec<String>) {
        for field in descriptor.fields() {
            let path = format!("{prefix}{}", field.name());
            match field.kind() {
                // What a reply says of itself is no setting.
                _ if field.name() == "environ_redacted" => {}
                Kind::Message(inner)
                    if !field.is_map()
                        && !field.is_list()
                        && !["Duration", "IntOrPercent"].contains(&inner.name()) =>
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
        let mut named = from_yaml(EXAMPLE).expect("settings").named;
        // The other strategies cannot be there too.
        let rolling = json!({"policy": {"rolling_update":
            {"max_surge": "25%", "max_unavailable": 1}}});
        named.extend(parsed(&rolling).expect("settings").named);
        named.extend(from_yaml(CANARY_EXAMPLE).expect("settings").named);
        named.sort();
        let mut all = Vec::new();
        let descriptor = output::descriptor("CreateDeploymentRequest").expect("a message");
        every_path(&descriptor, "", &mut all);
        all.sort();
        // What both strategies of the examples have.
        named.dedup();
        assert_eq!(named, all);
    }

    const CANARY_EXAMPLE: &str = "policy:
  canary:
    steps:
      - {weight: 0%, hold: 5m}
      - {weight: 2.5%, hold: 10m, replicas: 2}
      - weight_permille: 250
        manual: true
        replicas: 50%
      - weight: 50%
    auto_promote: false
    min_ready: 10s
    max_replacements: 1
    ready_threshold: 100%
    scale_down_delay: 10m
    gate_timeout: {duration: 12h, action: rollback}
";

    #[test]
    fn a_weight_is_a_percentage_or_in_per_mille() {
        let settings = from_yaml(CANARY_EXAMPLE).expect("settings");
        let policy = settings.request.policy.expect("a policy");
        let Some(Strategy::Canary(canary)) = policy.strategy else {
            panic!("{policy:?}")
        };
        let weights: Vec<_> = canary.steps.iter().map(|it| it.weight_permille).collect();
        assert_eq!(weights, [0, 25, 250, 500]);
        let manual: Vec<_> = canary.steps.iter().map(|it| it.manual).collect();
        assert_eq!(manual, [false, false, true, false]);
        assert_eq!(settings.reset, ["policy.canary.auto_promote"]);
        let yaml = "policy:\n  canary:\n    steps:\n      - weight: 5\n        hold: 10\n      \
                    - {weight: [5%], hold: 10m}\n      - {weight: 5%, weight_permille: 50}\n      \
                    - {weights: 5%, replicas: some}\n      - 5%:10m\n      - {weight_permille: 5%}\n";
        insta::assert_snapshot!("canary_mistakes", mistakes(yaml).join("\n"));
    }

    #[test]
    fn values_are_as_people_write_them() {
        let file = json!({
            "target_replicas": 3,
            "protocol": "HTTP2",
            "policy": {"blue_green": {
                "promote_delay": "1m30s",
                "gate_timeout": {"duration": "1h", "action": "rollback"},
            }},
            "revision": {"command": ["serve", 80], "environ": {"PORT": 8080, "DEBUG": true}},
        });
        let ParsedSettings { request, named, .. } = parsed(&file).expect("settings");
        insta::assert_snapshot!("request", format!("{request:#?}\n{named:#?}"));
        // Its Debug form has no values.
        let environ = request.initial_revision.expect("a revision").environ;
        let value = |name| environ.get(name).map(String::as_str);
        assert_eq!(
            [value("PORT"), value("DEBUG")],
            [Some("8080"), Some("true")]
        );
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

    #[test]
    fn b8_a_text_takes_the_scalar_as_it_is_written() {
        let yaml = "labels: {tier: on, build: 007}\n\
                    revision:\n  image: 1.10\n  command: [serve, 1.10, 0755, yes, ~]\n  \
                    environ:\n    MODE: 0755\n    V: 1.10\n    YES: yes\n    E: 1e3\n    \
                    N: null\n    EMPTY:\n    HEX: 0x1F\n    DAY: 2026-11-30\n    BIG: \
                    12345678901234567890123\n    QUOTED: \"yes\"\n    TRUE: True\n  \
                    resource_slots: {cpu: 0.50}\n";
        let request = from_yaml(yaml).expect("settings").request;
        let spec = request.initial_revision.expect("a revision");
        assert_eq!(spec.image, "1.10");
        assert_eq!(spec.command, ["serve", "1.10", "0755", "yes", "~"]);
        assert_eq!(request.labels["tier"], "on");
        assert_eq!(request.labels["build"], "007");
        assert_eq!(spec.resource_slots["cpu"], "0.50");
        for (name, value) in [
            ("MODE", "0755"),
            ("V", "1.10"),
            ("YES", "yes"),
            ("E", "1e3"),
            ("N", "null"),
            ("EMPTY", ""),
            ("HEX", "0x1F"),
            ("DAY", "2026-11-30"),
            ("BIG", "12345678901234567890123"),
            ("QUOTED", "yes"),
            ("TRUE", "True"),
        ] {
            assert_eq!(spec.environ[name], value, "{name}");
        }
    }

    #[test]
    fn b8_a_number_or_a_switch_is_not_guessed() {
        for (yaml, expected) in [
            ("target_replicas: 1e1", "a whole number"),
            ("target_replicas: 010", "a whole number"),
            ("target_replicas: 2.0", "a whole number"),
            ("target_replicas: '2'", "a whole number"),
            ("target_replicas: 99999999999", "a whole number"),
            ("target_replicas: ", "a whole number"),
            ("policy: {blue_green: {auto_promote: yes}}", "true or false"),
            ("policy: {blue_green: {auto_promote: 1}}", "true or false"),
            (
                "policy: {rolling_update: {max_surge: 25 %}}",
                "a number of routes, or a percentage like 25%",
            ),
        ] {
            let found = mistakes(yaml);
            assert!(
                found.len() == 1 && found[0].ends_with(&format!("expected {expected}")),
                "{yaml}: {found:?}"
            );
        }
    }

    #[test]
    fn b8_all_mistakes_come_at_once_with_lines_and_advice() {
        let yaml = "project: shop\nname: cart\nreplicas: 3\npolicy:\n  blue_green:\n    \
                    autopromote: true\n    min_ready: soon\n  drain_grace: 5\nrevison: {}\n\
                    minReady: 5s\nlabels:\n  a: [1]\n  b: c\n  b: d\nwhatever: 1\n";
        insta::assert_snapshot!("mistakes", mistakes(yaml).join("\n"));
    }

    #[test]
    fn zeros_and_nothings_are_resets() {
        let yaml = "target_replicas: 0\nlabels: {}\npolicy:\n  drain_grace: ~\n  blue_green:\n    \
                    auto_promote: false\n    min_ready: 0s\n    gate_timeout:\n";
        let ParsedSettings { mut reset, .. } = from_yaml(yaml).expect("settings");
        reset.sort();
        assert_eq!(
            reset,
            [
                "labels",
                "policy.blue_green.auto_promote",
                "policy.blue_green.gate_timeout",
                "policy.drain_grace",
            ]
        );
    }
}
