//! Another program has locked the file of a SQLite database, for longer than a call may wait.

use std::time::Duration;

use tokio::task::JoinSet;
use tonic::Code;
use uuid::Uuid;
use viridian_proto::v1::{CreateDeploymentRequest, UpdateDeploymentRequest};

use crate::harness::{
    Engine, REFERENCE, RowLock, Server, TestEnv, creation, delete, manual, pause, refused, update,
    within,
};

/// Eight callers, of different methods: each waits as long as one would, and not until those
/// before it have given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e8_eight_callers_behind_another_program_wait_side_by_side() {
    let flags = ["--database-busy-timeout", "3s"];
    let env = TestEnv::on(Server::start_with(Engine::Sqlite, &flags).await).await;
    env.serving(1, manual()).await;
    for _ in 0..2 {
        let lock = RowLock::all_deployments(env.server.database()).await;
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let api = env.api.clone();
            callers.spawn(async move {
                let mut deployments = api.deployments();
                match caller % 4 {
                    0 => api.create(named()).await.err(),
                    1 => deployments.pause_deployment(pause(REFERENCE)).await.err(),
                    2 => deployments.delete_deployment(delete(REFERENCE)).await.err(),
                    _ => deployments.update_deployment(scaled()).await.err(),
                }
            });
        }
        // One wait after another would be eight times as long.
        let answers = tokio::time::timeout(BUSY_TIMEOUT * 4, callers.join_all());
        let answers = answers.await.expect("they wait side by side");
        for refusal in answers {
            let refusal = refusal.expect("the file is locked");
            refused(&refusal, Code::Aborted, "DEPLOYMENT_HELD");
        }
        env.api.get(REFERENCE).await;
        drop(lock);
    }
    within("a call", env.api.create(named()))
        .await
        .expect("the file is free");
}

fn named() -> CreateDeploymentRequest {
    CreateDeploymentRequest {
        name: format!("web-{}", Uuid::now_v7().simple()),
        ..creation(1, manual())
    }
}

fn scaled() -> UpdateDeploymentRequest {
    UpdateDeploymentRequest {
        target_replicas: 2,
        ..update(REFERENCE)
    }
}

const BUSY_TIMEOUT: Duration = Duration::from_secs(3);
