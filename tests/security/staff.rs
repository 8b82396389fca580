//! Who there is, and a server that knows them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::process::Command;
use tonic::{
    Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use viridian_client::CallCredentials;
use viridian_proto::v1::{
    CreateDeploymentRequest, Deployment, ListDeploymentsRequest,
    deployment_service_client::DeploymentServiceClient, route_service_client::RouteServiceClient,
    traffic_service_client::TrafficServiceClient,
};

use crate::harness::{Engine, Server, WAIT_TIMEOUT, creation, manual};

/// A server that lets in only those whom a file names.
pub(crate) struct GuardedServer {
    pub(crate) server: Server,
    pub(crate) file: CredentialsFile,
}

/// A file of credentials.
pub(crate) struct CredentialsFile {
    folder: TempDir,
}

/// A channel, and the token that is shown on it.
#[derive(Clone)]
pub(crate) struct Client {
    channel: Channel,
    bearer: CallCredentials,
}

pub(crate) type Shown = InterceptedService<Channel, CallCredentials>;

impl GuardedServer {
    pub(crate) async fn start(entries: &[String]) -> Self {
        Self::start_with(entries, |_| {}).await
    }

    pub(crate) async fn start_with(entries: &[String], change: impl FnOnce(&mut Command)) -> Self {
        let file = CredentialsFile::create(entries);
        let server = Server::start_by(Engine::Sqlite, |command| {
            command.arg("--tokens").arg(file.path());
            change(command);
        })
        .await;
        Self { server, file }
    }

    /// A client that shows a token, on a connection of its own.
    pub(crate) async fn client(&self, token: &str) -> Client {
        Client::connect(&self.server.url(), token).await
    }

    /// One that shows nothing.
    pub(crate) async fn stranger(&self) -> Client {
        Client::new(
            connect(&self.server.url()).await,
            CallCredentials::anonymous(),
        )
    }
}

impl CredentialsFile {
    pub(crate) fn create(entries: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = Self { folder };
        file.replace(entries);
        file
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("credentials.toml")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces it at once, as it ought to be done.
    pub(crate) fn replace(&self, entries: &[String]) {
        let next = self.folder.path().join("next.toml");
        fs::write(&next, entries.concat()).expect("a file");
        fs::rename(next, self.path()).expect("a file");
    }
}

impl Client {
    pub(crate) async fn connect(url: &str, token: &str) -> Self {
        Self::new(
            connect(url).await,
            CallCredentials::bearer(token).expect("a token"),
        )
    }

    pub(crate) fn new(channel: Channel, bearer: CallCredentials) -> Self {
        Self { channel, bearer }
    }

    pub(crate) fn service(&self) -> Shown {
        InterceptedService::new(self.channel.clone(), self.bearer.clone())
    }

    pub(crate) fn deployments(&self) -> DeploymentServiceClient<Shown> {
        DeploymentServiceClient::new(self.service())
    }

    pub(crate) fn routes(&self) -> RouteServiceClient<Shown> {
        RouteServiceClient::new(self.service())
    }

    pub(crate) fn traffic(&self) -> TrafficServiceClient<Shown> {
        TrafficServiceClient::new(self.service())
    }

    /// Creates a deployment that wants some routes.
    pub(crate) async fn create(
        &self,
        project: &str,
        name: &str,
        replicas: i32,
    ) -> Result<Deployment, Status> {
        let request = CreateDeploymentRequest {
            project: project.to_owned(),
            name: name.to_owned(),
            ..creation(replicas, manual())
        };
        let reply = self.deployments().create_deployment(request).await?;
        Ok(reply.into_inner().deployment.expect("a deployment"))
    }

    /// The references of what there is, as far as this one may see.
    pub(crate) async fn list(&self, project: &str) -> Result<Vec<String>, Status> {
        let request = ListDeploymentsRequest {
            project: project.to_owned(),
            ..ListDeploymentsRequest::default()
        };
        let reply = self.deployments().list_deployments(request).await?;
        let found = reply.into_inner().deployments.into_iter();
        Ok(found
            .map(|it| format!("{}/{}", it.project, it.name))
            .collect())
    }
}

async fn connect(url: &str) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("a URL");
    let endpoint = endpoint.connect_timeout(WAIT_TIMEOUT).timeout(WAIT_TIMEOUT);
    endpoint.connect().await.expect("the server can be reached")
}

/// The entry that lets in who shows this token.
pub(crate) fn of_token(name: &str, token: &str, roles: &[&str], projects: &[&str]) -> String {
    entry(
        name,
        &format!("token_sha256 = \"{}\"", digest(token)),
        roles,
        projects,
    )
}

/// The entry that lets in who shows a certificate with this name.
pub(crate) fn of_san(name: &str, san: &str, roles: &[&str], projects: &[&str]) -> String {
    entry(name, &format!("san = \"{san}\""), roles, projects)
}

fn entry(name: &str, shown: &str, roles: &[&str], projects: &[&str]) -> String {
    format!(
        "[[credential]]\nname = \"{name}\"\n{shown}\nroles = {roles:?}\nprojects = {projects:?}\n\n"
    )
}

/// As `sha256sum` writes it.
pub(crate) fn digest(token: &str) -> String {
    let digest = Sha256::digest(token);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
