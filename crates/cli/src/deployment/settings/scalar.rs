//! What a scalar of a settings file means where something else than a text is expected.

use prost_reflect::{FieldDescriptor, Kind};

use super::{REVISION, is_within};

pub(super) fn expected_scalar(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "true or false",
        Kind::Int32 => "a whole number",
        _ => "a text",
    }
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A number as everybody reads it: `010` is eight for some.
pub(super) fn whole_number(text: &str) -> Option<i32> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let has_leading_zero = digits.len() > 1 && digits.starts_with('0');
    let is_plain = !has_leading_zero && digits.bytes().all(|it| it.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

/// Whether a setting may be written as nothing, for its default: a text is then the empty
/// text, and a mapping of texts or a strategy has to be one.
pub(super) fn has_default(field: &FieldDescriptor, path: &str) -> bool {
    let is_strategy = field
        .containing_oneof()
        .is_some_and(|it| !it.is_synthetic());
    let is_setting = is_within(path, "policy") || is_within(path, REVISION);
    path.contains('.')
        && is_setting
        && !is_strategy
        && !field.is_map()
        && !field.is_list()
        && field.kind() != Kind::String
}
