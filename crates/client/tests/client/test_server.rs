//! A real server in this process.

use std::net::{Ipv4Addr, SocketAddr};

use tempfile::TempDir;
use viridian_client::{AuthChannel, ServerTarget, unary};
use viridian_proto::v1::{
    CreateDeploymentRequest, CreateRevisionRequest, Deployment, DeploymentPolicy, RevisionSpec,
    UpdateDeploymentRequest, deployment_service_client::DeploymentServiceClient,
};
use viridian_server::{Config, Server};

/// A database, and at most one server on it, always at the same address.
pub(crate) struct TestServer {
    folder: TempDir,
    listen: SocketAddr,
    server: Option<Server>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = serve(&folder, listen).await;
        Self {
            folder,
            listen: server.local_addr(),
            server: Some(server),
        }
    }

    pub(crate) fn target(&self) -> ServerTarget {
        ServerTarget::new(&self.listen.to_string()).expect("a URL")
    }

    /// Ends the server. The database stays.
    pub(crate) async fn stop(&mut self) {
        self.server.take().expect("it runs").shutdown().await;
    }

    /// Starts another server on the database, at the same address.
    pub(crate) async fn start_again(&mut self) {
        self.server = Some(serve(&self.folder, self.listen).await);
    }

    /// Starts another server on the database, at another address.
    pub(crate) async fn start_elsewhere(&self) -> (Server, Operator) {
        let server = serve(&self.folder, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        let target = ServerTarget::new(&server.local_addr().to_string()).expect("a URL");
        (server, Operator::connect(&target).await)
    }
}

async fn serve(folder: &TempDir, listen: SocketAddr) -> Server {
    let database = format!("sqlite:{}", folder.path().join("viridian.db").display());
    let mut config = Config::new(database);
    config.listen = listen;
    Server::start(config).await.expect("a server")
}

/// Makes the calls of an operator.
#[derive(Clone)]
pub(crate) struct Operator {
    pub(crate) client: DeploymentServiceClient<AuthChannel>,
}

impl Operator {
    pub(crate) async fn connect(target: &ServerTarget) -> Self {
        let channel = target.connect().await.expect("a server");
        Self {
            client: DeploymentServiceClient::new(channel),
        }
    }

    /// Creates `shop/NAME` with these replicas, and a first revision if there are any.
    pub(crate) async fn create(
        &mut self,
        name: &str,
        replicas: i32,
        policy: Option<DeploymentPolicy>,
    ) -> Deployment {
        let request = CreateDeploymentRequest {
            project: "shop".to_owned(),
            name: name.to_owned(),
            target_replicas: replicas,
            policy,
            initial_revision: (replicas > 0).then(|| revision("v1")),
            ..CreateDeploymentRequest::default()
        };
        let reply = unary(self.client.create_deployment(request)).await;
        reply.expect("it is created").deployment.expect("one")
    }

    /// Changes nothing but a label, and returns the sequence after it.
    pub(crate) async fn relabel(&mut self, deployment: &str, value: &str) -> i64 {
        let request = UpdateDeploymentRequest {
            deployment: deployment.to_owned(),
            labels: [("test".to_owned(), value.to_owned())].into(),
            ..UpdateDeploymentRequest::default()
        };
        let reply = unary(self.client.update_deployment(request)).await;
        let deployment = reply.expect("it is updated").deployment;
        deployment.expect("one").sequence
    }

    /// Begins to deploy a new revision.
    pub(crate) async fn activate(&mut self, deployment: &str, image: &str) -> Deployment {
        let request = CreateRevisionRequest {
            deployment: deployment.to_owned(),
            spec: Some(revision(image)),
            activate: true,
            ..CreateRevisionRequest::default()
        };
        let reply = unary(self.client.create_revision(request)).await;
        reply.expect("it is activated").deployment.expect("one")
    }
}

fn revision(image: &str) -> RevisionSpec {
    RevisionSpec {
        image: image.to_owned(),
        ..RevisionSpec::default()
    }
}
