//! The file of a deployment that there is.

use prost_reflect::SerializeOptions;
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Map, Value};
use viridian_proto::v1::{Deployment, DeploymentProtocol, RevisionSpec};

use super::{
    REVISION_IN_FILES, canonical,
    flat::{amount, enum_value},
};
use crate::{
    enum_names,
    output::{self, OutputError},
    permille,
};

/// Settings in the order in which people read them.
#[derive(Debug)]
pub(in crate::deployment) struct Manifest(Vec<(&'static str, Value)>);

/// The file whose `apply` finds nothing to do.
pub(in crate::deployment) fn manifest(
    deployment: &Deployment,
    spec: Option<&RevisionSpec>,
) -> Result<Manifest, OutputError> {
    // With its zeros: what a file leaves out would stay as it is when someone applies it.
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false);
    let whole = output::dynamic("Deployment", deployment)?;
    let whole = whole.serialize_with_options(serde_json::value::Serializer, &options)?;
    let mut fields = Vec::new();
    for name in [
        "project",
        "name",
        "target_replicas",
        "labels",
        "revision_history_limit",
    ] {
        fields.push((name, whole[name].clone()));
    }
    // A server of before has none, and the file must not ask for one.
    if deployment.protocol() != DeploymentProtocol::Unspecified {
        let name = enum_names::protocol(deployment.protocol());
        fields.push(("protocol", name.to_ascii_lowercase().into()));
    }
    if let Some(metadata) = &deployment.metadata {
        fields.push(("metadata", canonical("DeploymentMetadata", metadata)?));
    }
    fields.push(("policy", readable(whole["policy"].clone())));
    if let Some(spec) = spec {
        // What is not set in a revision has its default.
        fields.push((REVISION_IN_FILES, canonical("RevisionSpec", spec)?));
    }
    Ok(Manifest(fields))
}

/// The same with amounts of routes and shares of traffic as people write them.
fn readable(value: Value) -> Value {
    if let Some(text) = amount(&value) {
        return text.parse::<i32>().map_or(Value::String(text), Value::from);
    }
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, it)| {
                match (share(&name, &it), action(&name, &it)) {
                    (Some(share), _) => ("weight".to_owned(), share.into()),
                    (None, Some(action)) => (name, action.into()),
                    (None, None) => (name, readable(it)),
                }
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(readable).collect(),
        other => other,
    }
}

/// A share of traffic as a percentage, if the setting is one.
fn share(name: &str, value: &Value) -> Option<String> {
    let permille = value.as_i64().filter(|_| name == "weight_permille")?;
    Some(permille::to_text(permille.try_into().ok()?))
}

/// What happens at the end of a gate's timeout, if the setting says that.
fn action(name: &str, value: &Value) -> Option<String> {
    enum_value(&format!("policy.{name}"), value.as_str()?)
}

impl Serialize for Manifest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
