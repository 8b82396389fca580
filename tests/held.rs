//! A session locks a deployment's row and keeps it. Calls about that deployment are
//! refused after the lock timeout, and calls about another one are served.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tokio_postgres::NoTls;
use tonic::Code;
use viridian_proto::v1::{CreateDeploymentRequest, DeploymentLifecycle, DeploymentSubStep};

use crate::harness::{Engine, REFERENCE, TestEnv, creation, manual, promotion, refused, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_its_own_callers_wait_for_a_deployment_that_is_held() {
    let env = TestEnv::start(Engine::Postgres).await;
    env.at_gate(1, manual()).await;
    let url = env.server.database().url();
    let (client, session) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("it answers");
    let session = tokio::spawn(session);
    let hold = "BEGIN; SELECT id FROM deployments WHERE name = 'web' FOR UPDATE";
    client.batch_execute(hold).await.expect("it is held");

    // They call again when they are refused, so that all of them wait all the time:
    // what is served meanwhile is served beside them, however slow this machine is.
    let is_over = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (api, is_over) = (env.api.clone(), Arc::clone(&is_over));
        callers.spawn(async move {
            let mut refusals = Vec::new();
            while refusals.is_empty() || !is_over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let refusal = api.promote(promotion(REFERENCE)).await;
                refusals.push((refusal.expect_err("it is locked"), asked.elapsed()));
            }
            refusals
        });
    }
    let other = CreateDeploymentRequest {
        name: "api".to_owned(),
        ..creation(1, manual())
    };
    env.api.create(other).await.expect("it can be created");
    let ready = |it: &viridian_proto::v1::Deployment| it.lifecycle() == DeploymentLifecycle::Ready;
    env.api.until(OTHER, "READY", ready).await;
    let deployed = env.api.create_revision(OTHER, true).await;
    deployed.expect("it can be activated");
    let at_gate =
        |it: &viridian_proto::v1::Deployment| it.sub_step() == DeploymentSubStep::AwaitingPromotion;
    env.api.until(OTHER, "the gate", at_gate).await;
    let promoted = env.api.promote(promotion(OTHER)).await;
    promoted.expect("it is not locked");

    is_over.store(true, Ordering::Relaxed);
    let refusals = within("the callers", callers.join_all()).await;
    for (refusal, waited) in refusals.into_iter().flatten() {
        refused(&refusal, Code::Aborted, "DEPLOYMENT_HELD");
        assert!(waited > LOCK_TIMEOUT * 9 / 10, "{waited:?}");
    }

    client.batch_execute("COMMIT").await.expect("it is let go");
    drop(client);
    within("the end of the session", session)
        .await
        .expect("it ends")
        .expect("well");
    env.promote().await;
}

const OTHER: &str = "shop/api";

const CALLERS: usize = 64;

/// The server's default.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
