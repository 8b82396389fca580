//! What the world is like when a call comes. Each case has a deployment of its
//! own, and what its scheduler would report is reported here, so that it stays
//! as it is.

use serde_json::Value;
use uuid::Uuid;
use viridian_proto::v1::{
    ActivateRevisionRequest, BlueGreenSpec, CreateDeploymentRequest, Deployment,
    DeploymentLifecycle, DeploymentMetadata, DeploymentPolicy, DeploymentSubStep, IntOrPercent,
    RollingUpdateSpec, RouteHealthStatus, RouteStatus, RouteStatusReport,
    deployment_policy::Strategy, int_or_percent::Value as Count,
};

use crate::harness::{
    World, abort, blue_green, by_revision, creation, delete, manual, pause, promotion, seconds,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// There is no deployment of that name.
    Nothing,
    /// A deployment without a revision.
    Idle,
    /// Revision 1 has yet to start.
    Pending,
    /// Revision 1 serves.
    Ready,
    /// Revision 1 serves, and 2 is recorded.
    Recorded,
    /// Revision 1 serves, and 2 has yet to start.
    Provisioning,
    /// Revision 1 serves, and 2 waits for its promotion.
    Gate,
    /// The same, paused.
    Paused,
    /// Revision 2 was promoted over 1.
    Promoted,
    /// The same, and 1 is retained.
    Retained,
    /// Rolling from revision 1 to 2, which has yet to start.
    Rolling,
    /// The same, and aborted in a pause: it has yet to go back.
    RollingBack,
    /// Revision 1 served, and the deployment is deleted.
    Gone,
}

/// A scene that is set, and the names of what is in it.
pub(super) struct Stage {
    name: String,
    request_id: String,
    unknown: String,
    deployment: Option<Deployment>,
    route: String,
    remembered: String,
}

impl Stage {
    pub(super) async fn set(world: &World, scene: Scene, number: usize) -> Self {
        let mut stage = Self {
            name: format!("case-{number}"),
            request_id: Uuid::now_v7().to_string(),
            unknown: Uuid::now_v7().to_string(),
            deployment: None,
            route: String::new(),
            remembered: String::new(),
        };
        if scene == Scene::Nothing {
            return stage;
        }
        stage.build(world, scene).await;
        let now = world.api.get(&stage.id()).await;
        let routes = world.api.list_routes(&now.id).await;
        stage.route = routes.first().map(|it| it.id.clone()).unwrap_or_default();
        stage.deployment = Some(now);
        stage
    }

    /// Replaces `$` and a word by what it stands for in this scene.
    pub(super) fn fill(&self, text: &str) -> String {
        let deployment = self.deployment.clone().unwrap_or_default();
        let mut text = text.to_owned();
        for (variable, value) in [
            ("$ref", self.reference()),
            ("$name", self.name.clone()),
            ("$id", deployment.id),
            ("$current", deployment.current_revision_id),
            ("$deploying", deployment.deploying_revision_id),
            ("$generation", deployment.generation.to_string()),
            ("$route", self.route.clone()),
            ("$request", self.request_id.clone()),
            ("$unknown", self.unknown.clone()),
            ("$token", self.remembered.clone()),
            ("$long", "x".repeat(5_000)),
        ] {
            text = text.replace(variable, &value);
        }
        text
    }

    /// Keeps the token of a reply, as `$token`.
    pub(super) fn remember(&mut self, reply: &Value) {
        let tokens = [&reply["nextPageToken"], &reply["event"]["resumeToken"]];
        let token = tokens.into_iter().find_map(Value::as_str);
        token.unwrap_or_default().clone_into(&mut self.remembered);
    }

    /// Whether a text names the deployment, in one of the ways in which it can.
    pub(super) fn is_named(&self, text: &str) -> bool {
        text == self.reference() || text == self.id()
    }

    /// What every call that is done moves; none when there is no deployment.
    pub(super) async fn generation(&self, world: &World) -> Option<i64> {
        let id = &self.deployment.as_ref()?.id;
        Some(world.api.get(id).await.generation)
    }

    fn reference(&self) -> String {
        format!("{PROJECT}/{}", self.name)
    }

    fn id(&self) -> String {
        let deployment = self.deployment.as_ref();
        deployment.map(|it| it.id.clone()).unwrap_or_default()
    }

    async fn build(&mut self, world: &World, scene: Scene) {
        let policy = match scene {
            Scene::Retained => retaining(),
            Scene::Rolling | Scene::RollingBack => rolling(),
            _ => manual(),
        };
        self.create(world, scene, policy).await;
        if matches!(scene, Scene::Idle | Scene::Pending) {
            return;
        }
        self.start(world).await;
        self.until(world, |it| it.lifecycle() == DeploymentLifecycle::Ready)
            .await;
        let id = self.id();
        match scene {
            Scene::Nothing | Scene::Idle | Scene::Pending | Scene::Ready => {}
            Scene::Gone => drop(world.api.delete(delete(&id)).await.expect("deleted")),
            Scene::Recorded => drop(
                world
                    .api
                    .create_revision(&id, false)
                    .await
                    .expect("recorded"),
            ),
            Scene::Provisioning | Scene::Rolling => self.deploy(world).await,
            Scene::RollingBack => {
                self.deploy(world).await;
                world.api.pause(pause(&id)).await.expect("paused");
                world.api.abort(abort(&id)).await.expect("aborted");
            }
            Scene::Gate | Scene::Paused | Scene::Promoted | Scene::Retained => {
                self.bring_up(world).await;
                if scene == Scene::Paused {
                    world.api.pause(pause(&id)).await.expect("paused");
                } else if scene != Scene::Gate {
                    world.api.promote(promotion(&id)).await.expect("promoted");
                }
            }
        }
    }

    async fn create(&mut self, world: &World, scene: Scene, policy: DeploymentPolicy) {
        let mut request = CreateDeploymentRequest {
            project: PROJECT.to_owned(),
            name: self.name.clone(),
            metadata: Some(DeploymentMetadata {
                resource_group: self.name.clone(),
                ..DeploymentMetadata::default()
            }),
            ..creation(1, policy)
        };
        if scene == Scene::Idle {
            request.initial_revision = None;
        }
        self.deployment = Some(world.api.create(request).await.expect("created"));
    }

    /// Activates revision 2, and waits for its route.
    async fn deploy(&self, world: &World) {
        let recorded = world.api.create_revision(&self.id(), false).await;
        let request = ActivateRevisionRequest {
            deployment: self.id(),
            revision: recorded.expect("recorded").revision.expect("a revision").id,
            ..ActivateRevisionRequest::default()
        };
        world.api.activate(request).await.expect("activated");
        self.until(world, |it| it.green.unwrap_or_default().provisioning == 1)
            .await;
    }

    async fn bring_up(&self, world: &World) {
        self.deploy(world).await;
        self.start(world).await;
        let gate = DeploymentSubStep::AwaitingPromotion;
        self.until(world, |it| it.sub_step() == gate).await;
    }

    /// Reports that what is to be started runs and is healthy.
    async fn start(&self, world: &World) {
        let now = world.api.get(&self.id()).await;
        let revision = match now.deploying_revision_id.as_str() {
            "" => &now.current_revision_id,
            deploying => deploying,
        };
        let routes = by_revision(&world.api.list_routes(&now.id).await, revision);
        let run = |route: &viridian_proto::v1::Route| RouteStatusReport {
            route_id: route.id.clone(),
            status: RouteStatus::Running.into(),
            address: "127.0.0.1:10001".to_owned(),
            ..RouteStatusReport::default()
        };
        let results = world.api.report(routes.iter().map(run).collect()).await;
        assert!(results.expect("reported").iter().all(|it| it.applied));
        world.api.see(&routes, RouteHealthStatus::Healthy).await;
    }

    async fn until(&self, world: &World, is_so: impl Fn(&Deployment) -> bool) {
        world.api.until(&self.id(), "the scene", is_so).await;
    }
}

fn retaining() -> DeploymentPolicy {
    blue_green(BlueGreenSpec {
        scale_down_delay: seconds(600.0),
        ..BlueGreenSpec::default()
    })
}

fn rolling() -> DeploymentPolicy {
    let one = IntOrPercent {
        value: Some(Count::Count(1)),
    };
    DeploymentPolicy {
        strategy: Some(Strategy::RollingUpdate(RollingUpdateSpec {
            max_surge: Some(one),
            max_unavailable: None,
        })),
        ..manual()
    }
}

const PROJECT: &str = "contract";
