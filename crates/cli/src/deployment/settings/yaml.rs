//! Settings files as trees whose scalars are as they are written, with their lines.
//!
//! What a scalar means is up to the setting: `0755` and `yes` are texts where a text is
//! expected. A reader that gives numbers and booleans has lost how they were written.

use std::collections::HashMap;

use serde_json::Value;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

/// A value, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SettingNode {
    /// The line in the file, from 1. None for flags.
    pub(super) line: Option<usize>,
    pub(super) value: NodeValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NodeValue {
    Scalar {
        /// As it is written, without the quotes.
        text: String,
        /// Whether it stands without quotes, so that it may be more than a text.
        is_plain: bool,
    },
    List(Vec<SettingNode>),
    /// In the order of the file, and with repetitions.
    Mapping(Vec<(NodeKey, SettingNode)>),
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodeKey {
    pub(super) line: Option<usize>,
    pub(super) name: String,
}

/// Why a text is not YAML, or not YAML for settings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct YamlProblem {
    pub(super) line: usize,
    pub(super) reason: String,
}

impl SettingNode {
    /// Whether it stands for nothing.
    pub(super) fn is_null(&self) -> bool {
        match &self.value {
            NodeValue::Scalar { text, is_plain } => {
                *is_plain && ["", "~", "null", "Null", "NULL"].contains(&text.as_str())
            }
            _ => false,
        }
    }
}

/// The settings of flags.
impl From<&Value> for SettingNode {
    fn from(value: &Value) -> Self {
        let scalar = |text: String, is_plain| NodeValue::Scalar { text, is_plain };
        let value = match value {
            Value::Null => scalar(String::new(), true),
            Value::Bool(_) | Value::Number(_) => scalar(value.to_string(), true),
            Value::String(text) => scalar(text.clone(), false),
            Value::Array(items) => NodeValue::List(items.iter().map(Self::from).collect()),
            Value::Object(fields) => {
                let entry = |(name, value): (&String, &Value)| {
                    let (line, name) = (None, name.clone());
                    (NodeKey { line, name }, Self::from(value))
                };
                NodeValue::Mapping(fields.iter().map(entry).collect())
            }
        };
        Self { line: None, value }
    }
}

/// Reads the documents of a file, without the empty ones.
pub(super) fn documents(text: &str) -> Result<Vec<SettingNode>, YamlProblem> {
    let mut reader = NodeReader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
    };
    let mut documents = Vec::new();
    while let Some((event, span)) = reader.next()? {
        if let Event::DocumentStart(..) = event {
            let (event, span) = reader.expect(&span)?;
            documents.push(reader.node(event, &span, 0)?);
        }
    }
    documents.retain(|document| !document.is_null());
    Ok(documents)
}

struct NodeReader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, SettingNode>,
    /// How many there are, with those that aliases repeat.
    nodes: usize,
}

impl<'a> NodeReader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, YamlProblem> {
        Ok(self.parser.next_event().transpose()?)
    }

    /// The next event of a node that has begun.
    fn expect(&mut self, begun: &Span) -> Result<(Event<'a>, Span), YamlProblem> {
        let next = self.next()?;
        next.ok_or_else(|| problem(begun, "it ends too early"))
    }

    fn node(
        &mut self,
        event: Event<'a>,
        span: &Span,
        depth: usize,
    ) -> Result<SettingNode, YamlProblem> {
        self.count(1, span)?;
        if depth > MAX_DEPTH {
            return Err(problem(span, "it is nested too deeply"));
        }
        let (value, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain && tag.is_none_or(|it| !is_text(&it));
                // The parser writes `~` for a value that is not there.
                let is_there = span.start != span.end;
                let text = if is_there {
                    text.into_owned()
                } else {
                    String::new()
                };
                (NodeValue::Scalar { text, is_plain }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.list(span, depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.mapping(span, depth)?, anchor),
            _ => return Err(problem(span, "a value is missing")),
        };
        let line = Some(span.start.line());
        let node = SettingNode { line, value };
        // 0 stands for none.
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, begun: &Span, depth: usize) -> Result<NodeValue, YamlProblem> {
        let mut items = Vec::new();
        loop {
            match self.expect(begun)? {
                (Event::SequenceEnd, _) => return Ok(NodeValue::List(items)),
                (event, span) => items.push(self.node(event, &span, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, begun: &Span, depth: usize) -> Result<NodeValue, YamlProblem> {
        let (mut fields, mut merged) = (Vec::new(), Vec::new());
        loop {
            let (event, span) = self.expect(begun)?;
            let Event::Scalar(key, style, ..) = event else {
                if event == Event::MappingEnd {
                    break;
                }
                return Err(problem(&span, "a key must be a text"));
            };
            let name = key.into_owned();
            let (event, value) = self.expect(&span)?;
            let value = self.node(event, &value, depth + 1)?;
            if name == "<<" && style == ScalarStyle::Plain {
                merged.push((span, value));
                continue;
            }
            let line = Some(span.start.line());
            fields.push((NodeKey { line, name }, value));
        }
        for (span, value) in merged {
            merge(&mut fields, &span, value)?;
        }
        Ok(NodeValue::Mapping(fields))
    }

    fn alias(&mut self, anchor: usize, span: &Span) -> Result<SettingNode, YamlProblem> {
        // Within its own value an anchor is not known yet.
        let node = self.anchors.get(&anchor).cloned();
        let node = node.ok_or_else(|| problem(span, "an alias within its own value"))?;
        self.count(size(&node), span)?;
        Ok(node)
    }

    /// Aliases of aliases could make a small file any size.
    fn count(&mut self, nodes: usize, span: &Span) -> Result<(), YamlProblem> {
        self.nodes += nodes;
        match self.nodes {
            0..=MAX_NODES => Ok(()),
            _ => Err(problem(span, "it has too many values")),
        }
    }
}

/// Adds the fields of a `<<` key, or of a list of them, that are not there.
fn merge(
    fields: &mut Vec<(NodeKey, SettingNode)>,
    span: &Span,
    value: SettingNode,
) -> Result<(), YamlProblem> {
    match value.value {
        NodeValue::Mapping(others) => {
            for (key, value) in others {
                if fields.iter().all(|(it, _)| it.name != key.name) {
                    fields.push((key, value));
                }
            }
            Ok(())
        }
        NodeValue::List(items) => {
            let mut items = items.into_iter();
            items.try_for_each(|item| merge(fields, span, item))
        }
        NodeValue::Scalar { .. } => Err(problem(span, "<< needs a mapping")),
    }
}

fn size(node: &SettingNode) -> usize {
    1 + match &node.value {
        NodeValue::Scalar { .. } => 0,
        NodeValue::List(items) => items.iter().map(size).sum(),
        NodeValue::Mapping(fields) => fields.iter().map(|(_, it)| size(it)).sum(),
    }
}

/// Whether a tag says that a value is a text, whatever it looks like.
fn is_text(tag: &Tag) -> bool {
    tag.is_yaml_core_schema_tag("str")
}

fn problem(span: &Span, reason: &str) -> YamlProblem {
    YamlProblem {
        line: span.start.line(),
        reason: reason.to_owned(),
    }
}

impl From<ScanError> for YamlProblem {
    fn from(error: ScanError) -> Self {
        Self {
            line: error.marker().line(),
            reason: error.info(),
        }
    }
}

/// Settings have five levels.
const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(yaml: &str) -> Vec<String> {
        let documents = documents(yaml).expect(yaml);
        let mut texts = Vec::new();
        documents.iter().for_each(|it| collect(it, "", &mut texts));
        texts
    }

    fn collect(node: &SettingNode, path: &str, texts: &mut Vec<String>) {
        let line = node.line.expect("a line");
        match &node.value {
            NodeValue::Scalar { text, is_plain } => {
                let quotes = if *is_plain { "" } else { "'" };
                texts.push(format!("{line} {path}={quotes}{text}{quotes}"));
            }
            NodeValue::List(items) => items.iter().for_each(|it| collect(it, path, texts)),
            NodeValue::Mapping(fields) => {
                let each = |(key, value): &(NodeKey, SettingNode)| {
                    collect(value, &format!("{path}/{}", key.name), texts);
                };
                fields.iter().for_each(each);
            }
        }
    }

    #[test]
    fn b8_scalars_are_as_they_are_written() {
        let yaml = "a: 0755\nb: 1.10\nc: yes\nd: [1e3, 0x1F, ~, null]\ne:\nf: '0755'\n\
                    g: !!str 12\nh: 2026-11-30\ni: .inf\nj: |\n  line\n";
        assert_eq!(
            texts(yaml),
            [
                "1 /a=0755",
                "2 /b=1.10",
                "3 /c=yes",
                "4 /d=1e3",
                "4 /d=0x1F",
                "4 /d=~",
                "4 /d=null",
                "5 /e=",
                "6 /f='0755'",
                "7 /g='12'",
                "8 /h=2026-11-30",
                "9 /i=.inf",
                "11 /j='line\n'",
            ]
        );
    }

    #[test]
    fn anchors_and_merges_are_followed() {
        let yaml = "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: *x\n";
        assert_eq!(
            texts(yaml),
            [
                "1 /x/a=1", "1 /x/b=2", "2 /y/b=3", "1 /y/a=1", "1 /z/a=1", "1 /z/b=2"
            ]
        );
    }

    #[test]
    fn documents_are_separate_and_empty_ones_are_none() {
        assert_eq!(
            texts("# only a comment\n---\na: 1\n---\n---\nb: 2\n").len(),
            2
        );
        assert_eq!(texts(""), [""; 0]);
    }

    #[test]
    fn what_is_no_yaml_has_a_line() {
        for (yaml, line) in [
            ("a: 1\nb: [", 3),
            ("a: 1\n\tb: 2\n", 2),
            ("[a]: 1", 1),
            ("a: *nowhere", 1),
            ("a: &a {b: *a}", 1),
            ("a: 1\n<<: 2", 2),
        ] {
            let problem = documents(yaml).expect_err(yaml);
            assert!(problem.line.abs_diff(line) <= 1, "{yaml}: {problem:?}");
        }
    }

    #[test]
    fn a_small_file_cannot_become_a_large_one() {
        let mut yaml = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for n in 1..9 {
            let items = vec![format!("*a{}", n - 1); 9].join(", ");
            yaml += &format!("a{n}: &a{n} [{items}]\n");
        }
        let problem = documents(&yaml).expect_err("it is large");
        assert_eq!(problem.reason, "it has too many values");
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(documents(&deep).is_err());
    }
}
