use viridian_proto::v1::{
    Deployment, DeploymentLifecycle, DeploymentPolicy, DeploymentSubStep,
    PromoteDeploymentResponse, Route,
};

use super::{
    Api, Engine, GROUP, REFERENCE, ScriptedScheduler, Server, by_revision, creation, promotion,
};

/// A server, a client of it, and a scripted scheduler.
pub(crate) struct TestEnv {
    pub(crate) scheduler: ScriptedScheduler,
    pub(crate) api: Api,
    pub(crate) server: Server,
}

impl TestEnv {
    pub(crate) async fn start(engine: Engine) -> Self {
        Self::on(Server::start(engine).await).await
    }

    pub(crate) async fn on(server: Server) -> Self {
        let api = server.api().await;
        Self {
            scheduler: ScriptedScheduler::start(&api, GROUP),
            api,
            server,
        }
    }

    /// Creates [`REFERENCE`], and waits until its first revision serves.
    pub(crate) async fn serving(&self, replicas: i32, policy: DeploymentPolicy) -> Deployment {
        let created = self.api.create(creation(replicas, policy)).await;
        assert_eq!(
            created.expect("it can be created").lifecycle(),
            DeploymentLifecycle::Pending
        );
        self.ready().await
    }

    /// Does the same, and brings a second revision to the gate.
    pub(crate) async fn at_gate(&self, replicas: i32, policy: DeploymentPolicy) -> Deployment {
        self.serving(replicas, policy).await;
        self.bring_up().await
    }

    /// Activates a new revision, and waits until it is at the gate.
    pub(crate) async fn bring_up(&self) -> Deployment {
        self.deploy().await;
        self.until("the gate", |it| {
            it.sub_step() == DeploymentSubStep::AwaitingPromotion
        })
        .await
    }

    /// Creates a revision and activates it.
    pub(crate) async fn deploy(&self) -> Deployment {
        let reply = self.api.create_revision(REFERENCE, true).await;
        let reply = reply.expect("it can be activated");
        reply.deployment.expect("a deployment")
    }

    pub(crate) async fn promote(&self) -> PromoteDeploymentResponse {
        let reply = self.api.promote(promotion(REFERENCE)).await;
        reply.expect("it can be promoted")
    }

    /// Waits until it is READY.
    pub(crate) async fn ready(&self) -> Deployment {
        self.until("READY", |it| it.lifecycle() == DeploymentLifecycle::Ready)
            .await
    }

    pub(crate) async fn until(
        &self,
        what: &str,
        is_so: impl Fn(&Deployment) -> bool,
    ) -> Deployment {
        self.api.until(REFERENCE, what, is_so).await
    }

    pub(crate) async fn get(&self) -> Deployment {
        self.api.get(REFERENCE).await
    }

    pub(crate) async fn routes(&self) -> Vec<Route> {
        self.api.list_routes(REFERENCE).await
    }

    /// The routes of one revision.
    pub(crate) async fn routes_of(&self, revision_id: &str) -> Vec<Route> {
        by_revision(&self.routes().await, revision_id)
    }
}
