//! The steps of a canary: a weight may be written as a percentage, `weight: 5%`.

use prost_reflect::MessageDescriptor;
use serde_json::{Map, Value};

use super::{
    super::{
        mistake::SettingProblem,
        yaml::{NodeKey, NodeValue, SettingNode},
    },
    reader::SettingsReader,
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

impl SettingsReader {
    /// Adds the weight of a step, if it is right.
    pub(super) fn add_weight(
        &mut self,
        node: &SettingNode,
        path: &str,
        fields: &mut Map<String, Value>,
    ) {
        // A mapping or a list becomes an empty text, which is no share either.
        let text = match &node.value {
            NodeValue::Scalar { text, .. } => text.as_str(),
            _ => "",
        };
        match permille::parse(text) {
            Ok(permille) => {
                fields.insert(WEIGHT_PERMILLE.to_owned(), permille.into());
            }
            Err(error) => self.wrong(node.line, path, error.into()),
        }
    }

    /// Refuses a weight in both forms: one would be lost.
    pub(super) fn check_weights(
        &mut self,
        message: &MessageDescriptor,
        entries: &[(&NodeKey, &SettingNode)],
        node: &SettingNode,
        path: &str,
    ) {
        let is_given = |name: &str| entries.iter().any(|(key, _)| key.name == name);
        if is_weight(message, WEIGHT) && is_given(WEIGHT) && is_given(WEIGHT_PERMILLE) {
            let problem = SettingProblem::OneOf(format!("{WEIGHT}, {WEIGHT_PERMILLE}"));
            self.wrong(node.line, path, problem);
        }
    }
}

const STEP: &str = "viridian.deployment.v1.CanaryStep";
const WEIGHT: &str = "weight";
const WEIGHT_PERMILLE: &str = "weight_permille";
