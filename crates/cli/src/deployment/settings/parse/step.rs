//! The steps of a canary: a weight may be written as a percentage, `weight: 5%`.

use prost_reflect::MessageDescriptor;
use serde_json::Value;

use super::super::{
    mistake::SettingProblem,
    yaml::{NodeKey, NodeValue, SettingNode},
};
use crate::permille;

/// Whether a setting of this message is the weight as a percentage, which the API has not.
pub(super) fn is_weight(message: &MessageDescriptor, name: &str) -> bool {
    message.full_name() == STEP && name == WEIGHT
}

/// The settings of a message that only files have.
pub(super) fn more_names(message: &MessageDescriptor) -> Option<String> {
    is_weight(message, WEIGHT).then(|| WEIGHT.to_owned())
}

/// The weight of a step as a percentage: the field that it stands for, with its value.
pub(super) fn weight(node: &SettingNode) -> Result<(String, Value), SettingProblem> {
    // A mapping or a list becomes an empty text, which is no share either.
    let text = match &node.value {
        NodeValue::Scalar { text, .. } => text.as_str(),
        _ => "",
    };
    let permille = permille::parse(text)?;
    Ok((WEIGHT_PERMILLE.to_owned(), permille.into()))
}

/// What is wrong with a step that has its weight in both forms: one would be lost.
pub(super) fn two_weights(
    message: &MessageDescriptor,
    entries: &[(&NodeKey, &SettingNode)],
) -> Option<SettingProblem> {
    let is_given = |name: &str| entries.iter().any(|(key, _)| key.name == name);
    let both = is_weight(message, WEIGHT) && is_given(WEIGHT) && is_given(WEIGHT_PERMILLE);
    both.then(|| SettingProblem::OneOf(format!("{WEIGHT}, {WEIGHT_PERMILLE}")))
}

const STEP: &str = "viridian.deployment.v1.CanaryStep";
const WEIGHT: &str = "weight";
const WEIGHT_PERMILLE: &str = "weight_permille";
