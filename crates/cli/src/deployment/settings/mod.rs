//! What a deployment ought to be: the settings that someone named, by flags or in
//! a file. They have the names that the contract has.

use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::Value;
use viridian_proto::v1::{CreateDeploymentRequest, RevisionSpec};

use super::show;
use crate::output::{self, OutputError};

mod flat;
mod named;
mod plan;
mod present;
mod request;

pub(super) use self::{
    named::SettingError,
    plan::{ChangePlan, PlanAction},
    present::PresentSettings,
};

/// The settings that someone named.
#[derive(Debug, Clone)]
pub(super) struct DeploymentSettings {
    /// All of them, and defaults for the rest.
    request: CreateDeploymentRequest,
    /// The paths of those that were named, as deep as they go.
    named: Vec<String>,
}

impl DeploymentSettings {
    /// Reads what a file has: a mapping with the fields of CreateDeploymentRequest,
    /// and `revision` for what to run. Durations are `30s` or `5m`, amounts `2` or
    /// `25%`.
    pub(super) fn parse(file: &Value) -> Result<Self, SettingError> {
        let (request, named) = named::parse(file)?;
        Ok(Self { request, named })
    }

    /// Adds what a revision runs.
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

    /// Whether it says which deployment.
    pub(super) fn has_name(&self) -> bool {
        !self.request.project.is_empty() && !self.request.name.is_empty()
    }

    /// Whether anything below this was named.
    fn names(&self, path: &str) -> bool {
        self.named.iter().any(|named| is_within(named, path))
    }
}

/// Whether one path is another, or goes on from it.
fn is_within(path: &str, outer: &str) -> bool {
    let rest = path.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What to run, by its name in the contract and in files.
const REVISION: &str = "initial_revision";
const REVISION_IN_FILES: &str = "revision";

/// A message by the contract's names, without what is not set.
fn canonical<M: prost::Message>(name: &str, message: &M) -> Result<Value, OutputError> {
    let dynamic: DynamicMessage = output::dynamic(name, message)?;
    let options = SerializeOptions::new().use_proto_field_name(true);
    Ok(dynamic.serialize_with_options(serde_json::value::Serializer, &options)?)
}

/// The example of the documents, which tests read too.
#[cfg(test)]
pub(super) const EXAMPLE: &str = include_str!("../../../../../docs/deployment.yaml");
