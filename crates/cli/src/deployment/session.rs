//! What all commands share: the server, and the output of results.

use serde::Serialize;
use viridian_client::{AuthChannel, CallError, DeploymentWatcher, ReconnectPolicy};
use viridian_proto::v1::{
    Deployment, system_service_client::SystemServiceClient,
    traffic_service_client::TrafficServiceClient,
};

use super::{
    DeploymentError,
    read::{self, DeploymentClient},
    show::{self, OutputStyle, RevisionNames},
};
use crate::{
    output::{self, OutputError, OutputFormat},
    server_args::ServerArgs,
};

/// The server of a command, and the format of its output.
#[derive(Debug)]
pub(crate) struct CliSession {
    server: ServerArgs,
    pub(super) format: OutputFormat,
    pub(super) style: OutputStyle,
}

/// The client of the service for proxies.
type TrafficClient = TrafficServiceClient<AuthChannel>;

/// The client of the service that says what the server is.
pub(crate) type SystemClient = SystemServiceClient<AuthChannel>;

/// A reply that contains a deployment.
pub(super) struct DeploymentReply<'a, M> {
    /// The name of the reply's message in the API.
    pub(super) message: &'static str,
    pub(super) reply: &'a M,
    pub(super) deployment: &'a Deployment,
    /// A sentence above the table; empty for none.
    pub(super) headline: &'a str,
}

impl CliSession {
    pub(crate) fn new(server: ServerArgs, format: OutputFormat) -> Self {
        Self {
            server,
            format,
            style: OutputStyle::of_stdout(),
        }
    }

    pub(crate) async fn connect(&self) -> Result<DeploymentClient, DeploymentError> {
        Ok(DeploymentClient::new(self.channel().await?))
    }

    /// A client of the service for proxies.
    pub(super) async fn connect_traffic(&self) -> Result<TrafficClient, DeploymentError> {
        Ok(TrafficClient::new(self.channel().await?))
    }

    /// A client of the service that says what the server is.
    pub(crate) async fn connect_system(&self) -> Result<SystemClient, DeploymentError> {
        Ok(SystemClient::new(self.channel().await?))
    }

    async fn channel(&self) -> Result<AuthChannel, DeploymentError> {
        let channel = self.server.target()?.connect().await;
        Ok(channel.map_err(CallError::from)?)
    }

    /// Finds the cause of a failure, by one more connection.
    pub(crate) async fn diagnosed(&self, error: DeploymentError) -> DeploymentError {
        error.diagnosed(&self.server).await
    }

    /// Follows a deployment: its UUID, or `PROJECT/NAME`.
    pub(super) fn watch(
        &self,
        deployment: &str,
        policy: ReconnectPolicy,
    ) -> Result<DeploymentWatcher, DeploymentError> {
        let target = self.server.target()?;
        Ok(DeploymentWatcher::of(target, deployment, policy))
    }

    /// Prints the deployment of a reply.
    pub(super) async fn show_deployment(
        &self,
        client: &mut DeploymentClient,
        deployment: Option<Deployment>,
    ) -> Result<(), DeploymentError> {
        let deployment = deployment.ok_or(DeploymentError::EmptyReply)?;
        let reply = DeploymentReply {
            message: "Deployment",
            reply: &deployment,
            deployment: &deployment,
            headline: "",
        };
        self.show_reply(client, &reply).await
    }

    /// Prints a reply that contains a deployment: as JSON or YAML, or else its headline
    /// and the deployment as a table.
    pub(super) async fn show_reply<M: prost::Message>(
        &self,
        client: &mut DeploymentClient,
        reply: &DeploymentReply<'_, M>,
    ) -> Result<(), DeploymentError> {
        if let Some(text) = output::message(self.format, reply.message, reply.reply)? {
            return write(&text);
        }
        // The change was made: a failure here must not look like a failure of the change.
        // Without names the table shows ids.
        let revisions = read::revision_names(client, &reply.deployment.id).await;
        let table = show::one(reply.deployment, &revisions.unwrap_or_default(), self.style);
        write(&match reply.headline {
            "" => table,
            headline => format!("{headline}\n\n{table}"),
        })
    }

    /// Prints a message of the API as JSON or YAML, or else a table.
    pub(crate) fn show<M: prost::Message>(
        &self,
        name: &str,
        message: &M,
        table: impl FnOnce(OutputStyle) -> String,
    ) -> Result<(), DeploymentError> {
        let text = output::message(self.format, name, message)?;
        write(&text.unwrap_or_else(|| table(self.style)))
    }

    /// Prints a message that names revisions: by id and number as JSON or YAML, or else a
    /// table.
    pub(super) fn show_numbered<M: prost::Message>(
        &self,
        name: &str,
        message: &M,
        revisions: &RevisionNames,
        table: impl FnOnce(OutputStyle) -> String,
    ) -> Result<(), DeploymentError> {
        let number = |id: &str| revisions.number_of(id);
        let text = output::message_with_numbers(self.format, name, message, number)?;
        write(&text.unwrap_or_else(|| table(self.style)))
    }

    /// Prints any other value as JSON or YAML, or else a text.
    pub(super) fn show_value(
        &self,
        value: &impl Serialize,
        text: impl FnOnce(OutputStyle) -> String,
    ) -> Result<(), DeploymentError> {
        let value = output::value(self.format, value)?;
        write(&value.unwrap_or_else(|| text(self.style)))
    }
}

/// Prints a text and a line break.
pub(super) fn write(text: &str) -> Result<(), DeploymentError> {
    Ok(output::line(text).map_err(OutputError::Write)?)
}
