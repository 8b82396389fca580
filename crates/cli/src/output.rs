//! What commands write to stdout.

use std::io::{self, Write as _};

use comfy_table::{Table, presets};
use prost_reflect::{DescriptorPool, DynamicMessage};

/// How results are shown: to be read, or as the canonical JSON of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

/// Why a result could not be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("cannot write to stdout: {0}")]
    Write(#[from] io::Error),
    #[error("the reply has no JSON form: {0}")]
    Json(#[from] serde_json::Error),
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

/// The canonical proto3 JSON form of a message of this name in the contract's
/// package.
pub(crate) fn json<M: prost::Message>(name: &str, message: &M) -> Result<String, OutputError> {
    Ok(serde_json::to_string_pretty(&dynamic(name, message)?)?)
}

/// The same on one line, for one of many.
pub(crate) fn json_line<M: prost::Message>(name: &str, message: &M) -> Result<String, OutputError> {
    Ok(serde_json::to_string(&dynamic(name, message)?)?)
}

fn dynamic<M: prost::Message>(name: &str, message: &M) -> Result<DynamicMessage, OutputError> {
    let pool = DescriptorPool::decode(viridian_proto::FILE_DESCRIPTOR_SET)?;
    let full_name = format!("{PACKAGE}.{name}");
    let Some(descriptor) = pool.get_message_by_name(&full_name) else {
        unreachable!("{full_name} is in the contract: a test asks for each that is used")
    };
    let bytes = message.encode_to_vec();
    Ok(DynamicMessage::decode(descriptor, bytes.as_slice())?)
}

/// Rows under a header, in columns, without lines around them.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(header.to_vec());
    table.add_rows(rows);
    aligned(table)
}

/// Names and values, one a line.
pub(crate) fn key_values(rows: Vec<(&str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.add_rows(
        rows.into_iter()
            .map(|(key, value)| vec![key.to_owned(), value]),
    );
    aligned(table)
}

fn aligned(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

const PACKAGE: &str = "viridian.deployment.v1";

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{
        Deployment, DeploymentEvent, DeploymentLifecycle, ListDeploymentsResponse,
        PromoteDeploymentResponse,
    };

    use super::{json, json_line, key_values, table};

    #[test]
    fn json_is_the_canonical_form() {
        let mut deployment = Deployment {
            name: "hello".to_owned(),
            generation: 7,
            ..Deployment::default()
        };
        deployment.set_lifecycle(DeploymentLifecycle::Ready);
        let text = json("Deployment", &deployment).expect("a message of the contract");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let expected = serde_json::json!({
            "name": "hello", "lifecycle": "DEPLOYMENT_LIFECYCLE_READY", "generation": "7",
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn every_message_that_is_shown_is_in_the_contract() {
        json(
            "ListDeploymentsResponse",
            &ListDeploymentsResponse::default(),
        )
        .expect("a list");
        json_line("DeploymentEvent", &DeploymentEvent::default()).expect("an event");
        json(
            "PromoteDeploymentResponse",
            &PromoteDeploymentResponse::default(),
        )
        .expect("a reply");
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let rows = vec![
            vec!["demo/hello".to_owned(), "READY".to_owned()],
            vec!["x/y".to_owned(), "PENDING".to_owned()],
        ];
        assert_eq!(
            table(&["DEPLOYMENT", "STATE"], rows),
            "DEPLOYMENT  STATE\ndemo/hello  READY\nx/y         PENDING"
        );
        assert_eq!(
            key_values(vec![("State", "READY".to_owned()), ("Id", "1".to_owned())]),
            "State  READY\nId     1"
        );
    }
}
