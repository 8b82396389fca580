//! The wanted settings of a deployment, by flags or from a file. They have the names of
//! the API's fields.
//!
//! - `file`: reads the file of `apply`; `yaml`: its scalars as they are written.
//! - `parse`: from what people write to a message of the API; `mistake`: what is wrong with
//!   it.
//! - `manifest`: the file of a deployment that there is, for `export`.
//! - `present`: the settings that a deployment has now.
//! - `plan`: the difference, for `--dry-run`.
//! - `request`: the calls that make the change.

use prost_reflect::{DynamicMessage, OneofDescriptor, ReflectMessage as _, SerializeOptions};
use serde_json::Value;
use viridian_proto::v1::{CreateDeploymentRequest, DeploymentPolicy, RevisionSpec};

use super::show;
use crate::output::{self, OutputError};

mod file;
mod flat;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod manifest;
mod mistake;
mod parse;
mod plan;
mod present;
mod request;
mod scalar;
mod yaml;

#[cfg(any(test, fuzzing))]
pub use self::fuzz::fuzz_manifest;
use self::parse::ParsedSettings;
pub(super) use self::{
    file::SettingsFileError, manifest::manifest, parse::SettingError, plan::ChangePlan,
    present::PresentSettings,
};

/// The wanted settings of a deployment.
#[derive(Debug, Clone)]
pub(super) struct DeploymentSettings {
    /// The wanted settings, and defaults for the rest.
    request: CreateDeploymentRequest,
    /// The paths of the wanted settings, down to the leaves.
    named: Vec<String>,
    /// The paths of the settings that are to have their default.
    reset: Vec<String>,
}

impl DeploymentSettings {
    /// Parses a mapping with the fields of CreateDeploymentRequest, and `revision` for
    /// what to run. Durations are `30s` or `5m`, amounts of routes `2` or `25%`.
    pub(super) fn parse(file: &Value) -> Result<Self, SettingError> {
        Ok(Self::of_parsed(parse::parse(&file.into())?))
    }

    fn of_parsed(parsed: ParsedSettings) -> Self {
        let ParsedSettings {
            request,
            named,
            reset,
        } = parsed;
        Self {
            request,
            named,
            reset,
        }
    }

    /// Adds a revision to deploy.
    pub(super) fn with_revision(mut self, spec: Option<RevisionSpec>) -> Self {
        if spec.is_some() {
            self.named.push(REVISION.to_owned());
            self.request.initial_revision = spec;
        }
        self
    }

    /// `PROJECT/NAME`.
    pub(super) fn deployment(&self) -> String {
        format!("{}/{}", self.request.project, self.request.name)
    }

    /// What is missing of the name of the deployment.
    fn missing_names(&self) -> Vec<&'static str> {
        let names = [
            ("project", &self.request.project),
            ("name", &self.request.name),
        ];
        let missing = names.into_iter().filter(|(_, text)| text.is_empty());
        missing.map(|(name, _)| name).collect()
    }

    /// Whether a setting at this path or below it is wanted.
    fn names(&self, path: &str) -> bool {
        self.named.iter().any(|named| is_within(named, path))
    }
}

/// Whether a path is `outer`, or below it.
fn is_within(path: &str, outer: &str) -> bool {
    // `policy.drain_grace` is within `policy`, but `policy_name` would not be.
    let rest = path.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A path with the names that files use.
fn in_files(path: &str) -> String {
    path.replacen(REVISION, REVISION_IN_FILES, 1)
}

/// The revision, by its name in the API and in files.
const REVISION: &str = "initial_revision";
const REVISION_IN_FILES: &str = "revision";

/// A message as JSON with the field names of the API, without unset fields.
fn canonical<M: prost::Message>(name: &str, message: &M) -> Result<Value, OutputError> {
    let dynamic: DynamicMessage = output::dynamic(name, message)?;
    // Files and field masks have these names, and not those in camel case.
    let options = SerializeOptions::new().use_proto_field_name(true);
    Ok(dynamic.serialize_with_options(serde_json::value::Serializer, &options)?)
}

/// The name of the policy's strategy in the API: the field of the oneof that is set.
fn strategy_name(policy: &DeploymentPolicy) -> Result<Option<String>, OutputError> {
    let message = output::dynamic("DeploymentPolicy", policy)?;
    let descriptor = message.descriptor();
    // By its name: each optional field has a oneof of its own.
    let oneof = descriptor.oneofs().find(|it| it.name() == "strategy");
    let mut strategies = oneof.iter().flat_map(OneofDescriptor::fields);
    let chosen = strategies.find(|it| message.has_field(it));
    Ok(chosen.map(|it| it.name().to_owned()))
}

/// The example of the documentation.
#[cfg(test)]
pub(super) const EXAMPLE: &str = include_str!("../../../../../docs/deployment.yaml");
