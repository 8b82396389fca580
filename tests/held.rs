//! Someone holds a deployment's row and does nothing with it: who wants that
//! deployment is told so in time, and another one is served as ever.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_postgres::NoTls;
use tonic::Code;
use viridian_proto::v1::{CreateDeploymentRequest, DeploymentLifecycle, DeploymentSubStep};

use crate::harness::{Engine, REFERENCE, World, creation, manual, promotion, refused, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_its_own_callers_wait_for_a_deployment_that_is_held() {
    let world = World::start(Engine::Postgres).await;
    world.at_gate(1, manual()).await;
    let url = world.server.database().url();
    let (client, session) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("it answers");
    let session = tokio::spawn(session);
    let hold = "BEGIN; SELECT id FROM deployments WHERE name = 'web' FOR UPDATE";
    client.batch_execute(hold).await.expect("it is held");

    let mut callers = JoinSet::new();
    for _ in 0..64 {
        let api = world.api.clone();
        callers.spawn(async move {
            let asked = Instant::now();
            let refusal = api.promote(promotion(REFERENCE)).await;
            (refusal.expect_err("it is held"), asked.elapsed())
        });
    }
    let begin = Instant::now();
    let other = CreateDeploymentRequest {
        name: "api".to_owned(),
        ..creation(1, manual())
    };
    world.api.create(other).await.expect("it can be created");
    let ready = |it: &viridian_proto::v1::Deployment| it.lifecycle() == DeploymentLifecycle::Ready;
    world.api.until(OTHER, "READY", ready).await;
    let deployed = world.api.create_revision(OTHER, true).await;
    deployed.expect("it can be activated");
    let at_gate =
        |it: &viridian_proto::v1::Deployment| it.sub_step() == DeploymentSubStep::AwaitingPromotion;
    world.api.until(OTHER, "the gate", at_gate).await;
    let promoted = world.api.promote(promotion(OTHER)).await;
    promoted.expect("nobody holds it");
    let served = begin.elapsed();
    let waiting = callers.len();

    for (refusal, waited) in within("the callers", callers.join_all()).await {
        refused(&refusal, Code::Aborted, "DEPLOYMENT_HELD");
        assert!(waited > LOCK_TIMEOUT * 9 / 10, "{waited:?}");
        assert!(waited < LOCK_TIMEOUT * 2, "{waited:?}");
    }
    assert!(
        served < LOCK_TIMEOUT,
        "the other one took {served:?} in all"
    );
    assert_eq!(waiting, 64, "it was served beside them");

    client.batch_execute("COMMIT").await.expect("it is let go");
    drop(client);
    within("the end of the session", session)
        .await
        .expect("it ends")
        .expect("well");
    world.promote().await;
}

const OTHER: &str = "shop/api";

/// The server's default.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
