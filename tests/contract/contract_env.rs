//! The state before a call. Each case has a deployment of its
//! own, and what its scheduler would report is reported here, so that it stays
//! as it is.

use serde_json::Value;
use uuid::Uuid;
use viridian_proto::v1::{
    ActivateRevisionRequest, BlueGreenSpec, CanarySpec, CanaryStep, CreateDeploymentRequest,
    Deployment, DeploymentLifecycle, DeploymentMetadata, DeploymentPolicy, DeploymentSubStep,
    IntOrPercent, RollingUpdateSpec, RouteHealthStatus, RouteStatus, RouteStatusReport,
    deployment_policy::Strategy, int_or_percent::Value as Count,
};

use crate::harness::{
    TestEnv, abort, blue_green, by_revision, creation, delete, manual, pause, promotion, seconds,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InitialState {
    /// There is no deployment of that name.
    Nothing,
    /// A deployment without a revision.
    Idle,
    /// Revision 1 has yet to start.
    Pending,
    /// Revision 1 serves.
    Ready,
    /// The same, paused.
    ReadyPaused,
    /// Revision 1 serves, and 2 is recorded.
    Recorded,
    /// Revision 1 serves, and 2 has yet to start.
    Provisioning,
    /// Revision 1 serves, and 2 waits for its promotion.
    Gate,
    /// Two deployments of which that is so.
    GatePair,
    /// The same, paused.
    Paused,
    /// Revision 1 serves, and the rollout of 2 was aborted.
    Aborted,
    /// Revision 2 was promoted over 1.
    Promoted,
    /// The same, and 1 is retained.
    Retained,
    /// Rolling from revision 1 to 2, which has yet to start.
    Rolling,
    /// The same, and aborted in a pause: it has yet to go back.
    RollingBack,
    /// The first step of a canary has yet to come up.
    NoStepYet,
    /// The first of two steps of a canary is held.
    Step,
    /// The same, paused.
    StepPaused,
    /// Revision 1 served, and the deployment is deleted.
    Gone,
}

/// A initial that is set, and the names of what is in it.
pub(super) struct ContractEnv {
    name: String,
    request_id: String,
    unknown: String,
    deployment: Option<Deployment>,
    route: String,
    remembered: String,
    /// The other one of two deployments.
    other: String,
}

impl ContractEnv {
    pub(super) async fn set(env: &TestEnv, initial: InitialState, number: usize) -> Self {
        let mut contract = Self {
            name: format!("case-{number}"),
            request_id: Uuid::now_v7().to_string(),
            unknown: Uuid::now_v7().to_string(),
            deployment: None,
            route: String::new(),
            remembered: String::new(),
            other: String::new(),
        };
        if initial == InitialState::Nothing {
            return contract;
        }
        let initial = match initial {
            InitialState::GatePair => {
                let other = Box::pin(Self::set(env, InitialState::Gate, number + PAIRED)).await;
                contract.other = other.id();
                InitialState::Gate
            }
            initial => initial,
        };
        contract.build(env, initial).await;
        let now = env.api.get(&contract.id()).await;
        let routes = env.api.list_routes(&now.id).await;
        contract.route = routes.first().map(|it| it.id.clone()).unwrap_or_default();
        contract.deployment = Some(now);
        contract
    }

    /// Replaces `$` and a word by what it stands for in this initial.
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
            ("$other", self.other.clone()),
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

    /// Whether a text names the deployment, in one of the ways in which it can, or its
    /// route.
    pub(super) fn is_named(&self, text: &str) -> bool {
        let named = [
            &self.id(),
            &self.reference(),
            &self.route,
            &self.other,
            &self.unknown,
        ];
        named.into_iter().any(|name| name == text)
    }

    /// What every call that is done moves; none when there is no deployment.
    pub(super) async fn generation(&self, env: &TestEnv) -> Option<i64> {
        let id = &self.deployment.as_ref()?.id;
        Some(env.api.get(id).await.generation)
    }

    fn reference(&self) -> String {
        format!("{PROJECT}/{}", self.name)
    }

    fn id(&self) -> String {
        let deployment = self.deployment.as_ref();
        deployment.map(|it| it.id.clone()).unwrap_or_default()
    }

    async fn build(&mut self, env: &TestEnv, initial: InitialState) {
        let policy = match initial {
            InitialState::Retained => retaining(),
            InitialState::Rolling | InitialState::RollingBack => rolling(),
            InitialState::NoStepYet | InitialState::Step | InitialState::StepPaused => canary(),
            _ => manual(),
        };
        self.create(env, initial, policy).await;
        if matches!(initial, InitialState::Idle | InitialState::Pending) {
            return;
        }
        self.start(env).await;
        self.until(env, |it| it.lifecycle() == DeploymentLifecycle::Ready)
            .await;
        let id = self.id();
        match initial {
            InitialState::Nothing
            | InitialState::Idle
            | InitialState::Pending
            | InitialState::Ready => {}
            InitialState::ReadyPaused => drop(env.api.pause(pause(&id)).await.expect("paused")),
            InitialState::Gone => drop(env.api.delete(delete(&id)).await.expect("deleted")),
            InitialState::Recorded => {
                drop(env.api.create_revision(&id, false).await.expect("recorded"))
            }
            InitialState::Provisioning | InitialState::Rolling | InitialState::NoStepYet => {
                self.deploy(env).await;
            }
            InitialState::Step | InitialState::StepPaused => {
                self.deploy(env).await;
                self.start(env).await;
                let held = DeploymentSubStep::Shifting;
                self.until(env, |it| it.sub_step() == held).await;
                if initial == InitialState::StepPaused {
                    env.api.pause(pause(&id)).await.expect("paused");
                }
            }
            InitialState::RollingBack => {
                self.deploy(env).await;
                env.api.pause(pause(&id)).await.expect("paused");
                env.api.abort(abort(&id)).await.expect("aborted");
            }
            InitialState::Gate
            | InitialState::GatePair
            | InitialState::Paused
            | InitialState::Aborted
            | InitialState::Promoted
            | InitialState::Retained => {
                self.bring_up(env).await;
                if initial == InitialState::Paused {
                    env.api.pause(pause(&id)).await.expect("paused");
                } else if initial == InitialState::Aborted {
                    env.api.abort(abort(&id)).await.expect("aborted");
                } else if initial != InitialState::Gate {
                    env.api.promote(promotion(&id)).await.expect("promoted");
                }
            }
        }
    }

    async fn create(&mut self, env: &TestEnv, initial: InitialState, policy: DeploymentPolicy) {
        let mut request = CreateDeploymentRequest {
            project: PROJECT.to_owned(),
            name: self.name.clone(),
            metadata: Some(DeploymentMetadata {
                resource_group: self.name.clone(),
                ..DeploymentMetadata::default()
            }),
            ..creation(1, policy)
        };
        if initial == InitialState::Idle {
            request.initial_revision = None;
        }
        self.deployment = Some(env.api.create(request).await.expect("created"));
    }

    /// Activates revision 2, and waits for its route.
    async fn deploy(&self, env: &TestEnv) {
        let recorded = env.api.create_revision(&self.id(), false).await;
        let request = ActivateRevisionRequest {
            deployment: self.id(),
            revision: recorded.expect("recorded").revision.expect("a revision").id,
            ..ActivateRevisionRequest::default()
        };
        env.api.activate(request).await.expect("activated");
        self.until(env, |it| it.green.unwrap_or_default().provisioning == 1)
            .await;
    }

    async fn bring_up(&self, env: &TestEnv) {
        self.deploy(env).await;
        self.start(env).await;
        let gate = DeploymentSubStep::AwaitingPromotion;
        self.until(env, |it| it.sub_step() == gate).await;
    }

    /// Reports that what is to be started runs and is healthy.
    async fn start(&self, env: &TestEnv) {
        let now = env.api.get(&self.id()).await;
        let revision = match now.deploying_revision_id.as_str() {
            "" => &now.current_revision_id,
            deploying => deploying,
        };
        let routes = by_revision(&env.api.list_routes(&now.id).await, revision);
        let run = |route: &viridian_proto::v1::Route| RouteStatusReport {
            route_id: route.id.clone(),
            status: RouteStatus::Running.into(),
            address: format!("{}.test:80", route.id),
            ..RouteStatusReport::default()
        };
        let results = env.api.report(routes.iter().map(run).collect()).await;
        assert!(results.expect("reported").iter().all(|it| it.applied));
        env.api.see(&routes, RouteHealthStatus::Healthy).await;
    }

    async fn until(&self, env: &TestEnv, is_so: impl Fn(&Deployment) -> bool) {
        env.api.until(&self.id(), "the initial", is_so).await;
    }
}

fn retaining() -> DeploymentPolicy {
    blue_green(BlueGreenSpec {
        scale_down_delay: seconds(600.0),
        ..BlueGreenSpec::default()
    })
}

fn canary() -> DeploymentPolicy {
    let step = |weight_permille| CanaryStep {
        weight_permille,
        manual: true,
        ..CanaryStep::default()
    };
    DeploymentPolicy {
        strategy: Some(Strategy::Canary(CanarySpec {
            steps: vec![step(100), step(500)],
            ..CanarySpec::default()
        })),
        ..manual()
    }
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

/// The number of the other deployment of a case.
const PAIRED: usize = 100_000;
