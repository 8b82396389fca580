//! What every verb has: a server to talk to, and a way to show things.

use serde::Serialize;
use viridian_client::{AuthChannel, CallError, DeploymentWatch, ReconnectPolicy};
use viridian_proto::v1::{Deployment, deployment_service_client::DeploymentServiceClient};

use super::{
    DeploymentError, read,
    show::{self, OutputStyle},
};
use crate::{
    output::{self, OutputError, OutputFormat},
    server::ServerArgs,
};

/// Makes the calls of the operator.
pub(crate) type Client = DeploymentServiceClient<AuthChannel>;

/// A server to talk to, and a way to show things.
#[derive(Debug)]
pub(crate) struct Session {
    server: ServerArgs,
    pub(super) format: OutputFormat,
    pub(super) style: OutputStyle,
}

impl Session {
    pub(crate) fn new(server: ServerArgs, format: OutputFormat) -> Self {
        Self {
            server,
            format,
            style: OutputStyle::of_stdout(),
        }
    }

    pub(crate) async fn connect(&self) -> Result<Client, DeploymentError> {
        let channel = self.server.target()?.connect().await;
        Ok(Client::new(channel.map_err(CallError::from)?))
    }

    /// Follows a deployment: its UUID, or `PROJECT/NAME`.
    pub(super) fn watch(
        &self,
        deployment: &str,
        policy: ReconnectPolicy,
    ) -> Result<DeploymentWatch, DeploymentError> {
        let target = self.server.target()?;
        Ok(DeploymentWatch::of(target, deployment, policy))
    }

    /// Shows the deployment that a reply carries.
    pub(super) async fn show_deployment(
        &self,
        client: &mut Client,
        deployment: Option<Deployment>,
    ) -> Result<(), DeploymentError> {
        let deployment = deployment.ok_or(DeploymentError::EmptyReply)?;
        self.show_about("Deployment", &deployment, client, &deployment, "")
            .await
    }

    /// Shows a reply that is about a deployment: a message of this name in the
    /// contract, or else a headline and the deployment as a table.
    pub(super) async fn show_about<M: prost::Message>(
        &self,
        name: &str,
        reply: &M,
        client: &mut Client,
        deployment: &Deployment,
        headline: &str,
    ) -> Result<(), DeploymentError> {
        if let Some(text) = output::message(self.format, name, reply)? {
            return write(&text);
        }
        // What was asked for is done, and must not seem not to be: ids will do.
        let revisions = read::revision_names(client, &deployment.id).await;
        let table = show::one(deployment, &revisions.unwrap_or_default(), self.style);
        write(&match headline {
            "" => table,
            _ => format!("{headline}\n\n{table}"),
        })
    }

    /// Shows a message of this name in the contract, or else a table.
    pub(crate) fn show<M: prost::Message>(
        &self,
        name: &str,
        message: &M,
        table: impl FnOnce(OutputStyle) -> String,
    ) -> Result<(), DeploymentError> {
        let text = output::message(self.format, name, message)?;
        write(&text.unwrap_or_else(|| table(self.style)))
    }

    /// Shows what is no message, or else a text.
    pub(super) fn show_value(
        &self,
        value: &impl Serialize,
        text: impl FnOnce(OutputStyle) -> String,
    ) -> Result<(), DeploymentError> {
        let value = output::value(self.format, value)?;
        write(&value.unwrap_or_else(|| text(self.style)))
    }
}

/// Writes text and ends the line.
pub(super) fn write(text: &str) -> Result<(), DeploymentError> {
    Ok(output::line(text).map_err(OutputError::Write)?)
}
