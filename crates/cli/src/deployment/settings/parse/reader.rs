//! Walks a tree of settings along the messages of the API.

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::{
    super::{
        REVISION, in_files, is_within,
        mistake::{SettingMistake, SettingProblem, unknown},
        scalar::{boolean, expected_scalar, has_default, whole_number},
        yaml::{NodeKey, NodeValue, SettingNode},
    },
    names,
    step::{is_weight, more_names, two_weights, weight},
};
use crate::duration;

/// Reads settings, and collects their paths and all that is wrong with them.
#[derive(Default)]
pub(super) struct SettingsReader {
    pub(super) named: Vec<String>,
    pub(super) reset: Vec<String>,
    pub(super) mistakes: Vec<SettingMistake>,
}

impl SettingsReader {
    pub(super) fn wrong(&mut self, line: Option<usize>, path: &str, problem: SettingProblem) {
        let path = in_files(path);
        self.mistakes.push(SettingMistake {
            line,
            path,
            problem,
        });
    }

    pub(super) fn expected(&mut self, node: &SettingNode, path: &str, what: &str) {
        self.wrong(node.line, path, SettingProblem::Expected(what.to_owned()));
    }

    /// The entries of a mapping, without keys that were there before.
    pub(super) fn distinct<'a>(
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
    pub(super) fn add(
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
        if let Some(problem) = two_weights(descriptor, &entries) {
            self.wrong(node.line, path, problem);
        }
        let mut fields = Map::new();
        for (key, value) in entries {
            let path = below(path, &key.name);
            match descriptor.get_field_by_name(&key.name) {
                Some(field) => self.add(&field, value, &path, &mut fields),
                None if is_weight(descriptor, &key.name) => match weight(value) {
                    Ok((name, permille)) => drop(fields.insert(name, permille)),
                    Err(problem) => self.wrong(value.line, &path, problem),
                },
                None => {
                    let names: Vec<_> = names(descriptor.fields())
                        .chain(more_names(descriptor))
                        .collect();
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
