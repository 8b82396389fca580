//! Output of commands on stdout: tables, JSON or YAML.

use std::io::{self, Write as _};

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// The format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OutputFormat {
    /// A table for people.
    Table,
    /// The message of the API in its JSON form, with every field: zeros and empty lists
    /// too.
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
        OutputFormat::Json | OutputFormat::Yaml => {
            value(format, &WithDefaults(dynamic(name, message)?))
        }
    }
}

/// The same with the number of each revision beside its id, so that neither has to be
/// looked up.
pub(crate) fn message_with_numbers<M: prost::Message>(
    format: OutputFormat,
    name: &str,
    message: &M,
    number: impl Fn(&str) -> Option<i64>,
) -> Result<Option<String>, OutputError> {
    if format == OutputFormat::Table {
        return Ok(None);
    }
    let mut json = serde_json::to_value(WithDefaults(dynamic(name, message)?))?;
    add_numbers(&mut json, &number);
    value(format, &json)
}

fn add_numbers(value: &mut Value, number: &impl Fn(&str) -> Option<i64>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|it| add_numbers(it, number)),
        Value::Object(fields) => {
            fields.values_mut().for_each(|it| add_numbers(it, number));
            let id = fields.get("revisionId").and_then(Value::as_str);
            if let Some(number) = id.and_then(number) {
                // A text, as every 64-bit number of the API is in JSON.
                let number = Value::String(number.to_string());
                fields.entry("revisionNumber").or_insert(number);
            }
        }
        _ => {}
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
        OutputFormat::Json => Ok(Some(serde_json::to_string(&WithDefaults(dynamic(
            name, message,
        )?))?)),
        _ => Ok(self::message(format, name, message)?.map(|yaml| format!("---\n{yaml}"))),
    }
}

/// A message that is written with its default values: for scripts, an empty list is a
/// list, and a count of zero a number.
struct WithDefaults(DynamicMessage);

impl Serialize for WithDefaults {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let options = SerializeOptions::new().skip_default_fields(false);
        self.0.serialize_with_options(serializer, &options)
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
    use serde_json::json;
    use viridian_proto::v1::{
        Deployment, DeploymentEvent, DeploymentLifecycle, ListDeploymentsResponse,
        ListHistoryResponse, ListRoutesResponse, ReplicaCounts, Route,
    };

    use super::{OutputFormat, Value, descriptor, message, message_with_numbers, stream_item};

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
        let value: Value = serde_json::from_str(&text).expect("JSON");
        for (field, expected) in [
            ("name", json!("hello")),
            ("lifecycle", json!("DEPLOYMENT_LIFECYCLE_READY")),
            ("generation", json!("7")),
        ] {
            assert_eq!(value[field], expected, "{field}");
        }
    }

    #[test]
    fn c9_an_empty_list_is_a_list_and_a_zero_a_number() {
        let json = |name, text: Result<Option<String>, _>| -> Value {
            let text = text.expect(name).expect("JSON");
            serde_json::from_str(&text).expect("JSON")
        };
        let name = "ListDeploymentsResponse";
        let list = message(
            OutputFormat::Json,
            name,
            &ListDeploymentsResponse::default(),
        );
        assert_eq!(json(name, list)["deployments"], json!([]));
        let name = "ListRoutesResponse";
        let list = message(OutputFormat::Json, name, &ListRoutesResponse::default());
        assert_eq!(json(name, list)["routes"], json!([]));
        let name = "ListHistoryResponse";
        let list = message(OutputFormat::Json, name, &ListHistoryResponse::default());
        assert_eq!(json(name, list)["entries"], json!([]));

        let mut deployment = deployment();
        deployment.blue = Some(ReplicaCounts::default());
        let shown = message(OutputFormat::Json, "Deployment", &deployment);
        let shown = json("Deployment", shown);
        assert_eq!(shown["targetReplicas"], json!(0));
        assert_eq!(shown["blue"]["ready"], json!(0));
        assert_eq!(shown["paused"], json!(false));
        assert_eq!(shown["blockers"], json!([]));
    }

    #[test]
    fn c9_a_revision_has_its_number_beside_its_id() {
        let route = |id: &str| Route {
            revision_id: id.to_owned(),
            ..Route::default()
        };
        let routes = ListRoutesResponse {
            routes: vec![route("rev-2"), route("pruned")],
            ..ListRoutesResponse::default()
        };
        let number = |id: &str| (id == "rev-2").then_some(2);
        let name = "ListRoutesResponse";
        let text = message_with_numbers(OutputFormat::Json, name, &routes, number);
        let text = text.expect("a message of the API").expect("JSON");
        let json: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["routes"][0]["revisionId"], json!("rev-2"));
        assert_eq!(json["routes"][0]["revisionNumber"], json!("2"));
        assert_eq!(json["routes"][1]["revisionNumber"], json!(null));
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
        let value: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(value["resumeToken"], json!("t"));
        assert_eq!(json.lines().count(), 1);
        let yaml = text(OutputFormat::Yaml).expect("a message").expect("YAML");
        assert!(yaml.starts_with("---\n"), "{yaml}");
        assert!(yaml.contains("resumeToken: t"), "{yaml}");
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
