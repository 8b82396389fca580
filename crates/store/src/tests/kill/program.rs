//! The process that is killed. It says each unit of work that it was told of, a
//! line each.

use std::{
    env,
    io::{Write as _, stdout},
    sync::Arc,
};

use futures::future::select_all;
use uuid::Uuid;
use viridian_strategy::{DeploymentId, Lifecycle, RouteHealth, RouteId, RouteStatus, SubStep};

use crate::{
    Deployment, HealthReport, NewDeployment, Request, RequestContext, RequestId,
    tests::{
        fixture::{Fixture, amend, call, new_deployment, report, spec},
        keeper::Keeper,
    },
};

/// What libtest calls it.
pub(super) const NAME: &str = "tests::kill::program::works_until_it_is_killed";

/// The variable with the database's URL.
pub(super) const DATABASE: &str = "VIRIDIAN_KILLED_DATABASE";

/// A unit of work that has returned Ok.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Call {
        method: &'static str,
        request: Uuid,
        deployment: DeploymentId,
        generation: i64,
        sequence: i64,
    },
    Cycle {
        deployment: DeploymentId,
        sequence: i64,
    },
    Report {
        route: RouteId,
        status: RouteStatus,
    },
}

impl Told {
    fn say(&self) {
        let line = match self {
            Self::Call {
                method,
                request,
                deployment,
                generation,
                sequence,
            } => format!("told call {method} {request} {deployment} {generation} {sequence} .\n"),
            Self::Cycle {
                deployment,
                sequence,
            } => format!("told cycle {deployment} {sequence} .\n"),
            Self::Report { route, status } => format!("told report {route} {status:?} .\n"),
        };
        // One write, so that half a line is never taken for a whole one.
        stdout()
            .lock()
            .write_all(line.as_bytes())
            .expect("someone listens");
    }

    /// None for what is not a whole line of the program's own.
    pub(super) fn parse(line: &str) -> Option<Self> {
        // libtest writes in between.
        let line = &line[line.find("told ")?..];
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [
                _,
                "call",
                method,
                request,
                deployment,
                generation,
                sequence,
                ".",
            ] => Some(Self::Call {
                method: METHODS.into_iter().find(|known| *known == method)?,
                request: request.parse().ok()?,
                deployment: DeploymentId(deployment.parse().ok()?),
                generation: generation.parse().ok()?,
                sequence: sequence.parse().ok()?,
            }),
            [_, "cycle", deployment, sequence, "."] => Some(Self::Cycle {
                deployment: DeploymentId(deployment.parse().ok()?),
                sequence: sequence.parse().ok()?,
            }),
            [_, "report", route, status, "."] => Some(Self::Report {
                route: RouteId(route.parse().ok()?),
                status: STATUSES
                    .into_iter()
                    .find(|known| format!("{known:?}") == status)?,
            }),
            _ => None,
        }
    }
}

pub(super) fn request(id: Uuid, method: &'static str) -> Request {
    Request {
        id: RequestId(id),
        method,
        fingerprint: id.as_bytes().to_vec(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the program that the test of kills starts, and kills"]
async fn works_until_it_is_killed() {
    let url = env::var(DATABASE).expect("a database to work on: the test of kills starts this");
    let fixture = Arc::new(Fixture::reopen((url, Keeper::Elsewhere)).await);
    let workers = (0..WORKERS).map(|number| {
        let fixture = Arc::clone(&fixture);
        tokio::spawn(async move { Worker::new(fixture, number).await.work().await })
    });
    let (ended, _, _) = select_all(workers).await;
    panic!("a worker ended: {ended:?}");
}

/// Works on a deployment of its own.
struct Worker {
    fixture: Arc<Fixture>,
    id: DeploymentId,
}

impl Worker {
    /// Goes on with what an earlier process has left behind.
    async fn new(fixture: Arc<Fixture>, number: u32) -> Self {
        let name = format!("worker-{number}");
        let found = fixture
            .db
            .reader()
            .await
            .expect("a reader")
            .find_deployment_id("p", &name)
            .await;
        if let Some(id) = found.expect("it is read") {
            return Self { fixture, id };
        }
        let new = NewDeployment {
            target_replicas: 2,
            ..new_deployment("p", &name)
        };
        let terms = terms("Create");
        let created = fixture.db.create_deployment(new, &terms).await;
        let deployment = created.expect("it is created").deployment;
        let id = deployment.id;
        say(terms, &deployment);
        Self { fixture, id }
    }

    async fn work(&self) {
        for step in 0_u32.. {
            let now = self.fixture.get(self.id).await;
            let deployment = match (now.state.lifecycle(), now.state.sub_step()) {
                (_, Some(SubStep::AwaitingPromotion)) if step.is_multiple_of(4) => {
                    self.abort().await
                }
                (_, Some(SubStep::AwaitingPromotion)) => self.promote().await,
                (Lifecycle::Ready, _) if step.is_multiple_of(2) => self.update(step).await,
                (Lifecycle::Ready, _) => self.deploy().await,
                _ => {
                    self.bring_up().await;
                    continue;
                }
            };
            assert_eq!(deployment.generation, now.generation + 1);
        }
    }

    async fn abort(&self) -> Deployment {
        let terms = terms("Abort");
        let aborted = self
            .fixture
            .db
            .abort_deployment(self.id, None, &terms)
            .await;
        say(terms, &aborted.expect("it is aborted").deployment)
    }

    async fn promote(&self) -> Deployment {
        let terms = terms("Promote");
        let db = &self.fixture.db;
        let promoted = db.complete_manual_promote(self.id, None, &terms).await;
        say(terms, &promoted.expect("it is promoted").deployment)
    }

    async fn update(&self, step: u32) -> Deployment {
        let terms = terms("Update");
        let label = (step.to_string(), Uuid::now_v7().to_string());
        let update = amend(move |it| it.labels = [label.clone()].into());
        let db = &self.fixture.db;
        let updated = db.update_deployment(self.id, update, &terms).await;
        say(terms, &updated.expect("it is updated").deployment)
    }

    async fn deploy(&self) -> Deployment {
        let terms = terms("Deploy");
        let db = &self.fixture.db;
        let created = db.create_revision(self.id, spec(), true, &terms).await;
        say(terms, &created.expect("it is activated").deployment)
    }

    /// Has a cycle run, and the routes do as they should.
    async fn bring_up(&self) {
        let db = &self.fixture.db;
        if let Some(deployment) = db.reconcile(self.id).await.expect("it runs") {
            let (deployment, sequence) = (deployment.id, deployment.sequence);
            Told::Cycle {
                deployment,
                sequence,
            }
            .say();
        }
        for (from, to) in [
            (RouteStatus::Provisioning, RouteStatus::Running),
            (RouteStatus::Terminating, RouteStatus::Terminated),
        ] {
            let routes = self.fixture.routes_in(self.id, from).await;
            let reports = routes.iter().map(|&route| report(route, to)).collect();
            let results = db.report_statuses(reports).await.expect("they are taken");
            assert!(results.iter().all(Result::is_ok), "{results:?}");
            for route in routes {
                Told::Report { route, status: to }.say();
            }
        }
        // What an earlier process did not get to, too.
        let running = self.fixture.routes_in(self.id, RouteStatus::Running).await;
        let reports = running
            .iter()
            .map(|&route| HealthReport::new(route, RouteHealth::Healthy));
        let results = db.report_health(reports.collect()).await;
        assert!(results.expect("they are taken").iter().all(Result::is_ok));
    }
}

fn terms(method: &'static str) -> RequestContext {
    RequestContext {
        request: Some(request(Uuid::now_v7(), method)),
        ..call()
    }
}

fn say(terms: RequestContext, deployment: &Deployment) -> Deployment {
    let request = terms.request.expect("each has one");
    Told::Call {
        method: request.method,
        request: request.id.0,
        deployment: deployment.id,
        generation: deployment.generation,
        sequence: deployment.sequence,
    }
    .say();
    deployment.clone()
}

const METHODS: [&str; 5] = ["Create", "Deploy", "Promote", "Abort", "Update"];
const STATUSES: [RouteStatus; 2] = [RouteStatus::Running, RouteStatus::Terminated];
const WORKERS: u32 = 12;
