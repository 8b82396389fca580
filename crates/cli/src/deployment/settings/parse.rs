//! Parses settings as people write them into a message of the API.

use std::fmt;

use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _,
};
use serde_json::{Map, Value};
use viridian_proto::v1::CreateDeploymentRequest;

use super::{
    REVISION, REVISION_IN_FILES, in_files, is_within,
    mistake::{SettingMistake, SettingProblem, unknown},
    scalar::{boolean, expected_scalar, has_default, whole_number},
    yaml::{NodeKey, NodeValue, SettingNode},
};
use crate::{
    duration,
    output::{self, OutputError},
};

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

/// Reads settings, and collects their paths and all that is wrong with them.
#[derive(Default)]
struct SettingsReader {
    named: Vec<String>,
    reset: Vec<String>,
    mistakes: Vec<SettingMistake>,
}

impl SettingsReader {
    fn wrong(&mut self, line: Option<usize>, path: &str, problem: SettingProblem) {
        let path = in_files(path);
        self.mistakes.push(SettingMistake {
            line,
            path,
            problem,
        });
    }

    fn expected(&mut self, node: &SettingNode, path: &str, what: &str) {
        self.wrong(node.line, path, SettingProblem::Expected(what.to_owned()));
    }

    /// The entries of a mapping, without keys that were there before.
    fn distinct<'a>(
        &mut self,
        entries: &'a [(NodeKey, SettingNode)],
        path: &str,
    ) -> Vec<(&'a NodeKey, &'a SettingNode)> {
        let mut distinct: Vec<(&NodeKey, &SettingNode)> = Vec::new();
        for (key, value) in entries {
            if distinct.iter().any(|(it, _)| it.name == key.name) {
                self.wrong(key.line, &below(path, &key.name), SettingProblem::Repeated);
            } else {
                distinct.push((key, value));
            }
        }
        distinct
    }

    /// Adds a setting to the fields of its message, if it is right.
    fn add(
        &mut self,
        field: &FieldDescriptor,
        node: &SettingNode,
        path: &str,
        fields: &mut Map<String, Value>,
    ) {
        if node.is_null() && has_default(field, path) {
            // A new revision is a whole: what is not set in it has its default anyway.
            if !is_within(path, REVISION) {
                self.reset.push(path.to_owned());
            }
            return;
        }
        if let Some(value) = self.field(field, node, path) {
            fields.insert(field.name().to_owned(), value);
        }
    }

    fn message(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &SettingNode,
        path: &str,
    ) -> Option<Value> {
        let entries = match (descriptor.full_name(), &node.value) {
            ("google.protobuf.Duration", _) => return self.duration(node, path),
            ("viridian.deployment.v1.IntOrPercent", _) => return self.amount(node, path),
            (_, NodeValue::Mapping(entries)) => entries,
            _ => {
                self.expected(node, path, "a mapping");
                return None;
            }
        };
        // `rolling_update: {}` chooses a strategy, although it names no setting.
        if entries.is_empty() {
            self.named.push(path.to_owned());
        }
        let entries = self.distinct(entries, path);
        self.check_oneofs(descriptor, &entries, node, path);
        let mut fields = Map::new();
        for (key, value) in entries {
            let path = below(path, &key.name);
            match descriptor.get_field_by_name(&key.name) {
                Some(field) => self.add(&field, value, &path, &mut fields),
                None => {
                    let names: Vec<_> = names(descriptor.fields()).collect();
                    self.wrong(key.line, &path, unknown(&key.name, &names, descriptor));
                }
            }
        }
        Some(Value::Object(fields))
    }

    fn field(&mut self, field: &FieldDescriptor, node: &SettingNode, path: &str) -> Option<Value> {
        // The kind of a map is a message too: that of its entries.
        if let (Kind::Message(message), false) = (field.kind(), field.is_map()) {
            return match field.is_list() {
                true => self.messages(&message, node, path),
                false => self.message(&message, node, path),
            };
        }
        self.named.push(path.to_owned());
        if field.is_map() {
            return self.texts_by_key(node, path);
        }
        if field.is_list() {
            return self.texts(node, path);
        }
        let NodeValue::Scalar { text, is_plain } = &node.value else {
            self.expected(node, path, expected_scalar(&field.kind()));
            return None;
        };
        let value = match field.kind() {
            Kind::String => Some(text.as_str().into()),
            Kind::Enum(all) => return self.enum_value(&all, text, node, path),
            Kind::Bool if *is_plain => boolean(text).map(Value::from),
            Kind::Int32 if *is_plain => whole_number(text).map(Value::from),
            _ => None,
        };
        if value.is_none() {
            self.expected(node, path, expected_scalar(&field.kind()));
        }
        value
    }

    fn texts_by_key(&mut self, node: &SettingNode, path: &str) -> Option<Value> {
        let NodeValue::Mapping(entries) = &node.value else {
            self.expected(node, path, "a mapping");
            return None;
        };
        let mut texts = Map::new();
        for (key, value) in self.distinct(entries, path) {
            if let Some(text) = self.text(value, &below(path, &key.name)) {
                texts.insert(key.name.clone(), text);
            }
        }
        Some(Value::Object(texts))
    }

    fn messages(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &SettingNode,
        path: &str,
    ) -> Option<Value> {
        self.named.push(path.to_owned());
        let items = self.items(node, path)?.iter().enumerate();
        let named = self.named.len();
        // With its place, as the server names it.
        let message = |(index, item)| self.message(descriptor, item, &format!("{path}[{index}]"));
        let messages = items.filter_map(message).collect();
        // A list is one setting: a mask cannot name a part of it.
        self.named.truncate(named);
        Some(messages)
    }

    fn texts(&mut self, node: &SettingNode, path: &str) -> Option<Value> {
        let items = self.items(node, path)?.iter();
        Some(items.filter_map(|item| self.text(item, path)).collect())
    }

    fn items<'a>(&mut self, node: &'a SettingNode, path: &str) -> Option<&'a [SettingNode]> {
        if let NodeValue::List(items) = &node.value {
            return Some(items);
        }
        self.expected(node, path, "a list");
        None
    }

    /// A text: any scalar, as it is written.
    fn text(&mut self, node: &SettingNode, path: &str) -> Option<Value> {
        match &node.value {
            NodeValue::Scalar { text, .. } => Some(text.as_str().into()),
            _ => {
                self.expected(node, path, "a text");
                None
            }
        }
    }

    fn duration(&mut self, node: &SettingNode, path: &str) -> Option<Value> {
        self.named.push(path.to_owned());
        // A mapping or a list becomes an empty text, which is no duration either.
        let text = match &node.value {
            NodeValue::Scalar { text, .. } => text.as_str(),
            _ => "",
        };
        match duration::parse(text) {
            Ok(duration) => Some(duration::to_text(duration).into()),
            Err(error) => {
                self.wrong(node.line, path, error.into());
                None
            }
        }
    }

    fn amount(&mut self, node: &SettingNode, path: &str) -> Option<Value> {
        self.named.push(path.to_owned());
        let amount = match &node.value {
            NodeValue::Scalar { text, .. } => match text.strip_suffix('%') {
                Some(percent) => whole_number(percent).map(|it| ("percent", it)),
                // A number in quotes is a count as well.
                None => whole_number(text).map(|it| ("count", it)),
            },
            _ => None,
        };
        if amount.is_none() {
            self.expected(node, path, "a number of routes, or a percentage like 25%");
        }
        amount.map(|(name, number)| serde_json::json!({ name: number }))
    }

    /// The value of an enum by its short name: `rollback`.
    fn enum_value(
        &mut self,
        all: &EnumDescriptor,
        name: &str,
        node: &SettingNode,
        path: &str,
    ) -> Option<Value> {
        let short = |value: &str| {
            // Each name starts with the name of the enum, and zero is `…_UNSPECIFIED`.
            let zero = all.default_value();
            let prefix = zero.name().trim_end_matches("UNSPECIFIED").to_owned();
            let short = value.strip_prefix(&prefix).unwrap_or(value);
            short.to_ascii_lowercase().replace('_', "-")
        };
        let values = || all.values().filter(|it| it.number() != 0);
        let asked = name.to_ascii_lowercase().replace('_', "-");
        // By the full name too, which is how JSON output shows it.
        let found = values().find(|it| short(it.name()) == asked || it.name() == name);
        if found.is_none() {
            let names: Vec<_> = values().map(|it| short(it.name())).collect();
            self.expected(node, path, &names.join(" or "));
        }
        found.map(|it| it.name().into())
    }

    /// Refuses two fields of one oneof: the message could hold only one of them.
    fn check_oneofs(
        &mut self,
        descriptor: &MessageDescriptor,
        entries: &[(&NodeKey, &SettingNode)],
        node: &SettingNode,
        path: &str,
    ) {
        for oneof in descriptor.oneofs() {
            let is_given =
                |field: &FieldDescriptor| entries.iter().any(|(key, _)| key.name == field.name());
            let given = oneof.fields().filter(is_given);
            if given.count() > 1 {
                let names: Vec<_> = names(oneof.fields()).collect();
                let problem = SettingProblem::OneOf(names.join(", "));
                self.wrong(node.line, path, problem);
            }
        }
    }
}

fn below(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    }
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
    use serde_json::json;

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
        // The other strategy cannot be there too.
        let rolling = json!({"policy": {"rolling_update":
            {"max_surge": "25%", "max_unavailable": 1}}});
        named.extend(parsed(&rolling).expect("settings").named);
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
