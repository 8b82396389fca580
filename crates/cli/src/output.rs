//! Output of commands on stdout: tables, JSON or YAML.

use std::io::{self, Write as _};

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde::Serialize;

/// The format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OutputFormat {
    /// A table for people.
    Table,
    /// The message of the API, in its canonical JSON form.
    Json,
    /// The same as YAML.
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
    #[error("the API does not describe the reply: {0}")]
    Describe(#[from] prost_reflect::DescriptorError),
    #[error("the reply does not match the API: {0}")]
    Decode(#[from] prost::DecodeError),
}

impl OutputError {
    /// The I/O error of a failed write.
    pub(crate) fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Write(error) => Some(error),
            _ => None,
        }
    }
}

/// Writes a text and a line break to stdout.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    // Flushed here, so that a failed write is the error of this command.
    stdout.flush()
}

/// A message of the API by its name, as JSON or YAML. None for tables.
pub(crate) fn message<M: prost::Message>(
    format: OutputFormat,
    name: &str,
    message: &M,
) -> Result<Option<String>, OutputError> {
    match format {
        OutputFormat::Table => Ok(None),
        OutputFormat::Json | OutputFormat::Yaml => value(format, &dynamic(name, message)?),
    }
}

/// Any other value as JSON or YAML. None for tables.
pub(crate) fn value(
    format: OutputFormat,
    value: &impl Serialize,
) -> Result<Option<String>, OutputError> {
    Ok(match format {
        OutputFormat::Table => None,
        OutputFormat::Json => Some(serde_json::to_string_pretty(value)?),
        // `line` adds the line break.
        OutputFormat::Yaml => Some(serde_saphyr::to_string(value)?.trim_end().to_owned()),
    })
}

/// One message of a stream: a line of JSON, or a YAML document.
pub(crate) fn stream_item<M: prost::Message>(
    format: OutputFormat,
    name: &str,
    message: &M,
) -> Result<Option<String>, OutputError> {
    match format {
        // On one line, so that scripts can read the stream line by line.
        OutputFormat::Json => Ok(Some(serde_json::to_string(&dynamic(name, message)?)?)),
        _ => Ok(self::message(format, name, message)?.map(|yaml| format!("---\n{yaml}"))),
    }
}

/// A message of the API together with its descriptor.
pub(crate) fn dynamic<M: prost::Message>(
    name: &str,
    message: &M,
) -> Result<DynamicMessage, OutputError> {
    // Generated types have no reflection: only the bytes lead to a message with names.
    let bytes = message.encode_to_vec();
    Ok(DynamicMessage::decode(descriptor(name)?, bytes.as_slice())?)
}

/// The descriptor of a message of the API.
pub(crate) fn descriptor(name: &str) -> Result<MessageDescriptor, OutputError> {
    let pool = DescriptorPool::decode(viridian_proto::FILE_DESCRIPTOR_SET)?;
    let full_name = format!("{PROTO_PACKAGE}.{name}");
    let Some(descriptor) = pool.get_message_by_name(&full_name) else {
        unreachable!("{full_name} is in the API: a test looks up every name in use")
    };
    Ok(descriptor)
}

const PROTO_PACKAGE: &str = "viridian.deployment.v1";

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{Deployment, DeploymentEvent, DeploymentLifecycle};

    use super::{OutputFormat, descriptor, message, stream_item};

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
        let text = message(OutputFormat::Json, "Deployment", &deployment());
        let text = text.expect("a message of the API").expect("JSON");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let expected = serde_json::json!({
            "name": "hello", "lifecycle": "DEPLOYMENT_LIFECYCLE_READY", "generation": "7",
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn yaml_says_the_same() {
        let text = message(OutputFormat::Yaml, "Deployment", &deployment());
        let text = text.expect("a message of the API").expect("YAML");
        let value: serde_json::Value = serde_saphyr::from_str(&text).expect("YAML");
        let json = message(OutputFormat::Json, "Deployment", &deployment());
        let json = json.expect("a message of the API").expect("JSON");
        assert_eq!(
            value,
            serde_json::from_str::<serde_json::Value>(&json).expect("JSON")
        );
        let table = message(OutputFormat::Table, "Deployment", &deployment());
        assert_eq!(table.expect("no error"), None);
    }

    #[test]
    fn an_item_of_a_stream_is_a_line_or_a_document() {
        let event = DeploymentEvent {
            resume_token: "t".to_owned(),
            ..DeploymentEvent::default()
        };
        let text = |format| stream_item(format, "DeploymentEvent", &event);
        let json = text(OutputFormat::Json).expect("a message").expect("JSON");
        assert_eq!(json, r#"{"resumeToken":"t"}"#);
        let yaml = text(OutputFormat::Yaml).expect("a message").expect("YAML");
        assert_eq!(yaml, "---\nresumeToken: t");
    }

    #[test]
    fn every_message_that_is_shown_is_in_the_api() {
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
