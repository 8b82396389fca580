//! The calls that an operator would make, to the server of the demonstration.

use std::{env, path::PathBuf, time::Duration};

use tonic::transport::Channel;
use viridian_proto::v1::{
    BlueGreenSpec, CreateDeploymentRequest, CreateRevisionRequest, Deployment, DeploymentMetadata,
    DeploymentPolicy, GetDeploymentRequest, HealthCheck, ListRoutesRequest,
    PromoteDeploymentRequest, PromoteDeploymentResponse, RevisionSpec, RollbackDeploymentRequest,
    RollbackDeploymentResponse, RollingUpdateSpec, Route, deployment_policy,
    deployment_service_client::DeploymentServiceClient,
};

use super::{
    DemoError,
    plot::{Plot, Strategy},
    stage::RESOURCE_GROUP,
};
use crate::{client::answer, duration};

/// Makes the calls of the story.
#[derive(Clone)]
pub(super) struct Operator {
    client: DeploymentServiceClient<Channel>,
    /// This program. Asked for once: it may be replaced while it runs.
    program: PathBuf,
}

impl Operator {
    pub(super) fn new(channel: Channel) -> Result<Self, DemoError> {
        Ok(Self {
            client: DeploymentServiceClient::new(channel),
            program: env::current_exe().map_err(DemoError::Executable)?,
        })
    }

    /// The program as an operator would type it here: the path of one that was
    /// built in this folder, else its name.
    pub(super) fn program_as_typed(&self) -> String {
        let here = env::current_dir().ok();
        let built_here = here.and_then(|here| self.program.strip_prefix(here).ok());
        built_here.map_or_else(|| "viridian".to_owned(), |path| path.display().to_string())
    }

    /// Creates the deployment with version 1, and gives that revision's id.
    pub(super) async fn create(&mut self, plot: Plot) -> Result<String, DemoError> {
        let request = CreateDeploymentRequest {
            project: PROJECT.to_owned(),
            name: NAME.to_owned(),
            target_replicas: REPLICAS,
            policy: Some(policy(plot)),
            metadata: Some(DeploymentMetadata {
                resource_group: RESOURCE_GROUP.to_owned(),
                ..DeploymentMetadata::default()
            }),
            initial_revision: Some(self.version("v1", &[])),
            reason: "the first version".to_owned(),
            ..CreateDeploymentRequest::default()
        };
        let reply = answer(self.client.create_deployment(request)).await?;
        let deployment = reply.deployment.ok_or(empty("CreateDeployment"))?;
        Ok(deployment.current_revision_id)
    }

    /// Creates and activates version 2, and gives that revision's id.
    pub(super) async fn activate(&mut self, plot: Plot) -> Result<String, DemoError> {
        let flags: &[&str] = match plot {
            Plot::Failure(_) => &["--sick"],
            Plot::Promotion | Plot::RollBack | Plot::Rolling => &[],
        };
        let request = CreateRevisionRequest {
            deployment: DEPLOYMENT.to_owned(),
            spec: Some(self.version("v2", flags)),
            activate: true,
            reason: "the next version".to_owned(),
            ..CreateRevisionRequest::default()
        };
        let reply = answer(self.client.create_revision(request)).await?;
        Ok(reply.revision.ok_or(empty("CreateRevision"))?.id)
    }

    /// Switches the traffic to the revision that is being deployed.
    pub(super) async fn promote(
        &mut self,
        revision_id: &str,
    ) -> Result<PromoteDeploymentResponse, DemoError> {
        let request = PromoteDeploymentRequest {
            deployment: DEPLOYMENT.to_owned(),
            expected_revision: revision_id.to_owned(),
            reason: "version 2 looks good".to_owned(),
            ..PromoteDeploymentRequest::default()
        };
        Ok(answer(self.client.promote_deployment(request)).await?)
    }

    /// Switches the traffic back to the revision that served before.
    pub(super) async fn roll_back(&mut self) -> Result<RollbackDeploymentResponse, DemoError> {
        let request = RollbackDeploymentRequest {
            deployment: DEPLOYMENT.to_owned(),
            reason: "version 2 does not look good after all".to_owned(),
            ..RollbackDeploymentRequest::default()
        };
        Ok(answer(self.client.rollback_deployment(request)).await?)
    }

    /// The deployment and its routes, the ended ones too.
    pub(super) async fn look(&mut self) -> Result<(Deployment, Vec<Route>), DemoError> {
        let get = GetDeploymentRequest {
            deployment: DEPLOYMENT.to_owned(),
        };
        let list = ListRoutesRequest {
            deployment: DEPLOYMENT.to_owned(),
            ..ListRoutesRequest::default()
        };
        let deployment = answer(self.client.get_deployment(get)).await?.deployment;
        let routes = answer(self.client.list_routes(list)).await?.routes;
        Ok((deployment.ok_or(empty("GetDeployment"))?, routes))
    }

    /// This program again, as a web server that says which version it is.
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

fn policy(plot: Plot) -> DeploymentPolicy {
    let strategy = match plot.strategy() {
        Strategy::BlueGreen => deployment_policy::Strategy::BlueGreen(BlueGreenSpec {
            // A port can be taken by another program before a replica has it.
            max_replacements: REPLICAS,
            scale_down_delay: (plot == Plot::RollBack).then(|| duration::to_wire(KEPT)),
            ..BlueGreenSpec::default()
        }),
        Strategy::Rolling => {
            deployment_policy::Strategy::RollingUpdate(RollingUpdateSpec::default())
        }
    };
    let deadline = matches!(plot, Plot::Failure(_)).then_some(PROGRESS_DEADLINE);
    DeploymentPolicy {
        strategy: Some(strategy),
        progress_deadline: deadline.map(duration::to_wire),
        drain_grace: Some(duration::to_wire(DRAIN_GRACE)),
    }
}

fn empty(call: &'static str) -> DemoError {
    DemoError::EmptyReply { call }
}

/// The deployment, as calls name it.
pub(super) const DEPLOYMENT: &str = "demo/hello";

/// How many replicas each version has.
pub(super) const REPLICAS: i32 = 3;

/// How long a replica goes on running after it lost its traffic.
pub(super) const DRAIN_GRACE: Duration = Duration::from_millis(1_500);

/// How long version 1 is kept for an instant roll-back.
pub(super) const KEPT: Duration = Duration::from_secs(60);

/// How long a version that never becomes healthy may try.
pub(super) const PROGRESS_DEADLINE: Duration = Duration::from_secs(4);

const PROJECT: &str = "demo";
const NAME: &str = "hello";
const HEALTH_INTERVAL: Duration = Duration::from_millis(200);
