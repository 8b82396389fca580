//! What commands write to stdout.

use std::io::{self, Write as _};

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde::Serialize;

/// How results are shown: to be read, or as the message that the contract has, in
/// its canonical JSON form or the same in YAML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Yaml,
}

/// Why a result could not be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("cannot write to stdout: {0}")]
    Write(#[from] io::Error),
    #[error("the reply has no JSON form: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the reply has no YAML form: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
    #[error("the contract does not describe the reply: {0}")]
    Describe(#[from] prost_reflect::DescriptorError),
    #[error("the reply does not follow the contract: {0}")]
    Decode(#[from] prost::DecodeError),
}

impl OutputError {
    /// The error of the write, if it was one.
    pub(crate) fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Write(error) => Some(error),
            _ => None,
        }
    }
}

/// Writes text and ends the line.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// A message of this name in the contract's package, as a program reads it. None
/// for tables.
pub(crate) fn message<M: prost::Message>(
    format: Format,
    name: &str,
    message: &M,
) -> Result<Option<String>, OutputError> {
    match format {
        Format::Table => Ok(None),
        Format::Json | Format::Yaml => value(format, &dynamic(name, message)?),
    }
}

/// The same for what is no message.
pub(crate) fn value(format: Format, value: &impl Serialize) -> Result<Option<String>, OutputError> {
    Ok(match format {
        Format::Table => None,
        Format::Json => Some(serde_json::to_string_pretty(value)?),
        Format::Yaml => Some(serde_saphyr::to_string(value)?.trim_end().to_owned()),
    })
}

/// A message of many: a line of JSON, or a document of YAML.
pub(crate) fn one_of_many<M: prost::Message>(
    format: Format,
    name: &str,
    message: &M,
) -> Result<Option<String>, OutputError> {
    match format {
        Format::Json => Ok(Some(serde_json::to_string(&dynamic(name, message)?)?)),
        _ => Ok(self::message(format, name, message)?.map(|yaml| format!("---\n{yaml}"))),
    }
}

/// A message of this name in the contract's package, with what describes it.
pub(crate) fn dynamic<M: prost::Message>(
    name: &str,
    message: &M,
) -> Result<DynamicMessage, OutputError> {
    let bytes = message.encode_to_vec();
    Ok(DynamicMessage::decode(descriptor(name)?, bytes.as_slice())?)
}

/// What the contract says of a message.
pub(crate) fn descriptor(name: &str) -> Result<MessageDescriptor, OutputError> {
    let pool = DescriptorPool::decode(viridian_proto::FILE_DESCRIPTOR_SET)?;
    let full_name = format!("{PACKAGE}.{name}");
    let Some(descriptor) = pool.get_message_by_name(&full_name) else {
        unreachable!("{full_name} is in the contract: a test asks for each that is used")
    };
    Ok(descriptor)
}

const PACKAGE: &str = "viridian.deployment.v1";

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{Deployment, DeploymentEvent, DeploymentLifecycle};

    use super::{Format, descriptor, message, one_of_many};

    fn deployment() -> Deployment {
        let mut deployment = Deployment {
            name: "hello".to_owned(),
            generation: 7,
            ..Deployment::default()
        };
        deployment.set_lifecycle(DeploymentLifecycle::Ready);
        deployment
    }

    #[test]
    fn json_is_the_canonical_form() {
        let text = message(Format::Json, "Deployment", &deployment());
        let text = text.expect("a message of the contract").expect("JSON");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let expected = serde_json::json!({
            "name": "hello", "lifecycle": "DEPLOYMENT_LIFECYCLE_READY", "generation": "7",
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn yaml_says_the_same() {
        let text = message(Format::Yaml, "Deployment", &deployment());
        let text = text.expect("a message of the contract").expect("YAML");
        let value: serde_json::Value = serde_saphyr::from_str(&text).expect("YAML");
        let json = message(Format::Json, "Deployment", &deployment());
        let json = json.expect("a message of the contract").expect("JSON");
        assert_eq!(
            value,
            serde_json::from_str::<serde_json::Value>(&json).expect("JSON")
        );
        let table = message(Format::Table, "Deployment", &deployment());
        assert_eq!(table.expect("no error"), None);
    }

    #[test]
    fn one_of_many_is_a_line_or_a_document() {
        let event = DeploymentEvent {
            resume_token: "t".to_owned(),
            ..DeploymentEvent::default()
        };
        let text = |format| one_of_many(format, "DeploymentEvent", &event);
        let json = text(Format::Json).expect("a message").expect("JSON");
        assert_eq!(json, r#"{"resumeToken":"t"}"#);
        let yaml = text(Format::Yaml).expect("a message").expect("YAML");
        assert_eq!(yaml, "---\nresumeToken: t");
    }

    #[test]
    fn every_message_that_is_shown_is_in_the_contract() {
        for name in [
            "CreateDeploymentRequest",
            "Deployment",
            "DeploymentEvent",
            "ListDeploymentsResponse",
            "ListHistoryResponse",
            "ListRevisionsResponse",
            "ListRoutesResponse",
            "PromoteDeploymentResponse",
            "RollbackDeploymentResponse",
            "UpdateDeploymentRequest",
        ] {
            descriptor(name).expect(name);
        }
    }
}
