use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{SeedableRng as _, rngs::StdRng};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;
use viridian_proto::v1::{
    CreateDeploymentRequest, CreateRevisionRequest, Deployment, DeploymentLifecycle,
    DeploymentMetadata, DeploymentSubStep, ListDeploymentsRequest, PromoteDeploymentRequest,
    RevisionSpec,
};

use super::kind::{DeploymentCase, REPLICAS, SOUND};
use crate::harness::{Api, ServerUrls, creation};

/// Someone who sees to the deployments of a project: gives each one new revision
/// after the other, and promotes what is to be promoted by hand. A call that is
/// not answered is made again, at whichever server is there.
pub(super) struct RandomOperator {
    project: String,
    server_urls: ServerUrls,
    rng: StdRng,
    /// The server that answered last.
    api: Option<Api>,
    progress: Arc<RunProgress>,
    told: Vec<Acknowledged>,
}

/// What all operators have in common.
#[derive(Default)]
pub(super) struct RunProgress {
    /// Nothing new is to be begun.
    pub(super) over: AtomicBool,
    /// How many calls were answered.
    pub(super) answered: AtomicUsize,
    /// How many of them activated something.
    pub(super) activated: AtomicUsize,
}

/// A call that was answered.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    pub(super) request: Uuid,
    pub(super) deployment: Deployment,
    pub(super) activates: bool,
}

impl RandomOperator {
    pub(super) fn new(
        project: &str,
        server_urls: ServerUrls,
        seed: u64,
        progress: Arc<RunProgress>,
    ) -> Self {
        Self {
            project: project.to_owned(),
            server_urls,
            rng: StdRng::seed_from_u64(seed),
            api: None,
            progress,
            told: Vec::new(),
        }
    }

    /// Creates so many deployments, and sees to them until the progress is over and
    /// all of them rest. Gives what it was told.
    pub(super) async fn work(mut self, deployments: usize) -> Vec<Acknowledged> {
        for number in 0..deployments {
            self.create(number).await;
        }
        loop {
            let over = self.progress.over.load(Ordering::Relaxed);
            let mut rests = true;
            for deployment in self.list().await {
                rests &= deployment.lifecycle() == DeploymentLifecycle::Ready;
                self.tend(&deployment, over).await;
            }
            if over && rests {
                return self.told;
            }
            sleep(PAUSE).await;
        }
    }

    async fn tend(&mut self, deployment: &Deployment, over: bool) {
        let kind = DeploymentCase::of_name(&deployment.name);
        match (deployment.lifecycle(), deployment.sub_step()) {
            (DeploymentLifecycle::Ready, _) if !over => self.deploy(deployment, kind).await,
            (_, DeploymentSubStep::AwaitingPromotion) if kind == DeploymentCase::Manual => {
                self.promote(deployment).await;
            }
            _ => {}
        }
    }

    async fn create(&mut self, number: usize) {
        let kind = DeploymentCase::of(number);
        let request_id = Uuid::now_v7();
        let request = CreateDeploymentRequest {
            project: self.project.clone(),
            name: format!("{}-{number}", kind.word()),
            metadata: Some(DeploymentMetadata {
                resource_group: self.project.clone(),
                ..DeploymentMetadata::default()
            }),
            revision_history_limit: 1_000,
            initial_revision: Some(spec(SOUND)),
            request_id: request_id.to_string(),
            ..creation(REPLICAS, kind.policy())
        };
        let created = self.call(|api| {
            let request = request.clone();
            async move { api.create(request).await }
        });
        let deployment = created.await;
        self.note(request_id, deployment, false);
    }

    async fn deploy(&mut self, deployment: &Deployment, kind: DeploymentCase) {
        let request_id = Uuid::now_v7();
        let request = CreateRevisionRequest {
            deployment: deployment.id.clone(),
            spec: Some(spec(kind.image())),
            activate: true,
            request_id: request_id.to_string(),
            ..CreateRevisionRequest::default()
        };
        let created = self.call(|api| {
            let request = request.clone();
            async move { api.deployments().create_revision(request).await }
        });
        let deployment = created.await.into_inner().deployment;
        self.note(request_id, deployment.expect("a deployment"), true);
        self.progress.activated.fetch_add(1, Ordering::Relaxed);
    }

    async fn promote(&mut self, deployment: &Deployment) {
        let request_id = Uuid::now_v7();
        let request = PromoteDeploymentRequest {
            deployment: deployment.id.clone(),
            expected_revision: deployment.deploying_revision_id.clone(),
            request_id: request_id.to_string(),
            ..PromoteDeploymentRequest::default()
        };
        let promoted = self.call(|api| {
            let request = request.clone();
            async move { api.promote(request).await }
        });
        let deployment = promoted.await.deployment;
        self.note(request_id, deployment.expect("a deployment"), false);
    }

    async fn list(&mut self) -> Vec<Deployment> {
        let mut all = Vec::new();
        let mut request = ListDeploymentsRequest {
            project: self.project.clone(),
            page_size: 500,
            ..ListDeploymentsRequest::default()
        };
        loop {
            let page = self.call(|api| {
                let request = request.clone();
                async move { api.deployments().list_deployments(request).await }
            });
            let page = page.await.into_inner();
            all.extend(page.deployments);
            if page.next_page_token.is_empty() {
                return all;
            }
            request.page_token = page.next_page_token;
        }
    }

    fn note(&mut self, request: Uuid, deployment: Deployment, activates: bool) {
        self.told.push(Acknowledged {
            request,
            deployment,
            activates,
        });
        self.progress.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks one server after the other until one answers.
    async fn call<T, F>(&mut self, ask: impl Fn(Api) -> F) -> T
    where
        F: Future<Output = Result<T, Status>>,
    {
        let begun = Instant::now();
        loop {
            let reply = match self.reach().await {
                Ok(api) => ask(api).await,
                Err(away) => Err(away),
            };
            let error = match reply {
                Ok(reply) => return reply,
                Err(error) => error,
            };
            assert!(may_be_repeated(&error), "{error:?}");
            assert!(begun.elapsed() < LONGEST, "nobody answers: {error:?}");
            self.api = None;
            sleep(PAUSE).await;
        }
    }

    async fn reach(&mut self) -> Result<Api, Status> {
        if self.api.is_none() {
            self.api = Some(self.server_urls.any(&mut self.rng).await?);
        }
        self.api.clone().ok_or_else(|| Status::unavailable("away"))
    }
}

/// Whether a call was not answered, or was refused for what is over soon.
pub(super) fn may_be_repeated(error: &Status) -> bool {
    let details = error.get_error_details();
    let Some(info) = details.error_info() else {
        // It is not of the server: the connection broke, or nothing was heard.
        return error.source().is_some() || error.code() == Code::Unavailable;
    };
    match error.code() {
        Code::Unavailable | Code::ResourceExhausted => true,
        Code::Aborted => info.reason == "DEPLOYMENT_HELD",
        _ => false,
    }
}

fn spec(image: &str) -> RevisionSpec {
    RevisionSpec {
        image: image.to_owned(),
        ..RevisionSpec::default()
    }
}

const PAUSE: Duration = Duration::from_millis(50);

/// For how long no server may answer at all, on a machine that is busy.
const LONGEST: Duration = Duration::from_secs(300);
