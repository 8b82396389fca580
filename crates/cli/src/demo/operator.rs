//! The calls that an operator would make to the server of the demonstration.

use std::{env, path::PathBuf, time::Duration};

use viridian_client::{AuthChannel, unary};
use viridian_proto::v1::{
    BlueGreenSpec, CanarySpec, CanaryStep, CreateDeploymentRequest, CreateRevisionRequest,
    Deployment, DeploymentMetadata, DeploymentPolicy, GetDeploymentRequest, HealthCheck,
    ListRoutesRequest, PromoteDeploymentRequest, PromoteDeploymentResponse, RevisionSpec,
    RollbackDeploymentRequest, RollbackDeploymentResponse, RollingUpdateSpec, Route,
    deployment_policy, deployment_service_client::DeploymentServiceClient,
};

use super::{
    DemoError,
    environment::RESOURCE_GROUP,
    scenario::{DemoScenario, DemoStrategy},
};

use crate::duration;

/// Calls the server of the demonstration.
#[derive(Clone)]
pub(super) struct OperatorClient {
    client: DeploymentServiceClient<AuthChannel>,
    /// The path of this program. Read once: the file may be replaced while it runs.
    program: PathBuf,
}

impl OperatorClient {
    pub(super) fn new(channel: AuthChannel) -> Result<Self, DemoError> {
        Ok(Self {
            client: DeploymentServiceClient::new(channel),
            program: env::current_exe().map_err(DemoError::Executable)?,
        })
    }

    /// The program as an operator would type it: its relative path if it was built in
    /// this folder, else its name.
    pub(super) fn program_as_typed(&self) -> String {
        let here = env::current_dir().ok();
        let built_here = here.and_then(|here| self.program.strip_prefix(here).ok());
        built_here.map_or_else(|| "viridian".to_owned(), |path| path.display().to_string())
    }

    /// Creates the deployment with version 1. Returns the id of its revision.
    pub(super) async fn create(&mut self, scenario: DemoScenario) -> Result<String, DemoError> {
        let request = CreateDeploymentRequest {
            project: PROJECT.to_owned(),
            name: NAME.to_owned(),
            target_replicas: REPLICAS,
            policy: Some(policy(scenario)),
            metadata: Some(DeploymentMetadata {
                resource_group: RESOURCE_GROUP.to_owned(),
                ..DeploymentMetadata::default()
            }),
            initial_revision: Some(self.version("v1", &[])),
            reason: "the first version".to_owned(),
            ..CreateDeploymentRequest::default()
        };
        let reply = unary(self.client.create_deployment(request)).await?;
        let deployment = reply.deployment.ok_or(empty("CreateDeployment"))?;
        Ok(deployment.current_revision_id)
    }

    /// Creates and activates version 2. Returns the id of its revision.
    pub(super) async fn activate(&mut self, scenario: DemoScenario) -> Result<String, DemoError> {
        let flags: &[&str] = match scenario {
            DemoScenario::Failure(_) => &["--sick"],
            DemoScenario::Promotion
            | DemoScenario::RollBack
            | DemoScenario::Canary
            | DemoScenario::Rolling => &[],
        };
        let request = CreateRevisionRequest {
            deployment: DEPLOYMENT.to_owned(),
            spec: Some(self.version("v2", flags)),
            activate: true,
            reason: "the next version".to_owned(),
            ..CreateRevisionRequest::default()
        };
        let reply = unary(self.client.create_revision(request)).await?;
        Ok(reply.revision.ok_or(empty("CreateRevision"))?.id)
    }

    /// Switches the traffic to the deploying revision.
    pub(super) async fn promote(
        &mut self,
        revision_id: &str,
    ) -> Result<PromoteDeploymentResponse, DemoError> {
        let request = PromoteDeploymentRequest {
            deployment: DEPLOYMENT.to_owned(),
            // Someone at another terminal may have activated another revision by now.
            expected_revision: revision_id.to_owned(),
            reason: "version 2 looks good".to_owned(),
            ..PromoteDeploymentRequest::default()
        };
        Ok(unary(self.client.promote_deployment(request)).await?)
    }

    /// Switches the traffic back to the previous revision.
    pub(super) async fn roll_back(&mut self) -> Result<RollbackDeploymentResponse, DemoError> {
        let request = RollbackDeploymentRequest {
            deployment: DEPLOYMENT.to_owned(),
            reason: "version 2 does not look good after all".to_owned(),
            ..RollbackDeploymentRequest::default()
        };
        Ok(unary(self.client.rollback_deployment(request)).await?)
    }

    /// The deployment and all its routes, also ended ones.
    pub(super) async fn read(&mut self) -> Result<(Deployment, Vec<Route>), DemoError> {
        // The two calls may see different moments. The next frame corrects that.
        let get = GetDeploymentRequest {
            deployment: DEPLOYMENT.to_owned(),
        };
        let list = ListRoutesRequest {
            deployment: DEPLOYMENT.to_owned(),
            ..ListRoutesRequest::default()
        };
        let deployment = unary(self.client.get_deployment(get)).await?.deployment;
        let routes = unary(self.client.list_routes(list)).await?.routes;
        Ok((deployment.ok_or(empty("GetDeployment"))?, routes))
    }

    /// A revision that runs this program as a web server, which answers its label.
    fn version(&self, label: &str, flags: &[&str]) -> RevisionSpec {
        let program = self.program.display().to_string();
        let arguments = ["demo-replica", "--label", label]
            .into_iter()
            .chain(flags.iter().copied());
        RevisionSpec {
            command: [program]
                .into_iter()
                .chain(arguments.map(str::to_owned))
                .collect(),
            health_check: Some(HealthCheck {
                path: "/healthz".to_owned(),
                interval: Some(duration::to_wire(HEALTH_INTERVAL)),
                ..HealthCheck::default()
            }),
            ..RevisionSpec::default()
        }
    }
}

fn policy(scenario: DemoScenario) -> DeploymentPolicy {
    let strategy = match scenario.strategy() {
        DemoStrategy::BlueGreen => deployment_policy::Strategy::BlueGreen(BlueGreenSpec {
            // By default version 1 would outlast the demonstration.
            scale_down_delay: Some(duration::to_wire(match scenario {
                DemoScenario::RollBack => SCALE_DOWN_DELAY,
                _ => Duration::ZERO,
            })),
            ..BlueGreenSpec::default()
        }),
        DemoStrategy::Canary => deployment_policy::Strategy::Canary(CanarySpec {
            steps: CANARY_WEIGHTS.map(canary_step).to_vec(),
            scale_down_delay: Some(duration::to_wire(Duration::ZERO)),
            ..CanarySpec::default()
        }),
        DemoStrategy::Rolling => {
            deployment_policy::Strategy::RollingUpdate(RollingUpdateSpec::default())
        }
    };
    // Only where a roll-back is the goal: on a slow machine the short deadline would also
    // roll the other scenarios back.
    let deadline = matches!(scenario, DemoScenario::Failure(_)).then_some(PROGRESS_DEADLINE);
    DeploymentPolicy {
        strategy: Some(strategy),
        progress_deadline: deadline.map(duration::to_wire),
        drain_grace: Some(duration::to_wire(DRAIN_GRACE)),
        ..DeploymentPolicy::default()
    }
}

fn canary_step(weight_permille: i32) -> CanaryStep {
    CanaryStep {
        weight_permille,
        hold: Some(duration::to_wire(STEP_HOLD)),
        ..CanaryStep::default()
    }
}

fn empty(call: &'static str) -> DemoError {
    DemoError::EmptyReply { call }
}

/// The deployment's reference in calls.
pub(super) const DEPLOYMENT: &str = "demo/hello";

/// Replicas of each version.
pub(super) const REPLICAS: i32 = 3;

/// How long a replica runs on after it has lost its traffic.
pub(super) const DRAIN_GRACE: Duration = Duration::from_millis(1_500);

/// How long version 1 is retained for an instant roll-back.
pub(super) const SCALE_DOWN_DELAY: Duration = Duration::from_secs(60);

/// The shares of version 2 as a canary, in per mille.
pub(super) const CANARY_WEIGHTS: [i32; 2] = [100, 500];

/// How long each share is held.
const STEP_HOLD: Duration = Duration::from_millis(2_500);

/// When a version that never becomes healthy is rolled back.
pub(super) const PROGRESS_DEADLINE: Duration = Duration::from_secs(4);

const PROJECT: &str = "demo";
const NAME: &str = "hello";
const HEALTH_INTERVAL: Duration = Duration::from_millis(200);
