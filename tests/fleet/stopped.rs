//! A server is stopped (SIGSTOP) in a promotion, while it has the deployment locked.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tonic::Code;
use viridian_proto::v1::{CreateDeploymentRequest, Deployment, DeploymentSubStep};

use super::{operator::may_be_repeated, record::DatabaseRecord};
use crate::harness::{
    Engine, GROUP, REFERENCE, RowLock, ScriptedScheduler, Server, TestEnv, creation, eventually,
    manual, promotion, refused, within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_in_a_promotion_harms_nothing_when_it_goes_on() {
    let idle_timeout = IDLE_TIMEOUT.as_secs().to_string() + "s";
    let flags = ["--database-idle-timeout", &idle_timeout];
    let stopped = Server::start_with(Engine::Postgres, &flags).await;
    let beside = stopped.beside().await;
    let api = beside.api().await;
    let env = TestEnv {
        scheduler: ScriptedScheduler::start(&api, GROUP),
        api,
        server: stopped,
    };
    env.at_gate(2, manual()).await;
    env.other_at_gate().await;

    // Its promotion waits for the lock, and is stopped there.
    let hold = RowLock::all_deployments(env.server.database()).await;
    let caller = env.server.api().await;
    let call = tokio::spawn(async move { caller.promote(promotion(REFERENCE)).await });
    eventually("the call that waits", async || {
        (hold.others_that_wait().await == Some(1)).then_some(())
    })
    .await;
    env.server.signal(Signal::SIGSTOP);
    let since = Instant::now();
    // Now it has the lock, and does nothing.
    hold.release().await;

    let promoted = env.api.promote(promotion(OTHER)).await;
    promoted.expect("this one is not locked");
    let promoted = eventually("the deployment", async || {
        match env.api.promote(promotion(REFERENCE)).await {
            Ok(promoted) => Some(promoted),
            Err(held) => {
                refused(&held, Code::Aborted, "DEPLOYMENT_HELD");
                assert!(may_be_repeated(&held));
                None
            }
        }
    })
    .await;
    let held = since.elapsed();
    assert!(held >= IDLE_TIMEOUT, "it was locked for {held:?}");

    env.server.signal(Signal::SIGCONT);
    let refusal = within("the call", call).await.expect("it does not panic");
    let refusal = refusal.expect_err("its promotion did not happen");
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
    let after = env.ready().await;
    assert_eq!(
        Some(after.current_revision_id),
        promoted.deployment.map(|it| it.current_revision_id)
    );
    let history = env.api.history(REFERENCE).await;
    let promotions = history.iter().filter(|it| it.phase == "PROMOTE").count();
    assert_eq!(promotions, 1);
    // It serves again, and agrees with the other server.
    let there = env.server.api().await;
    eventually("both to say the same", async || {
        let (one, other) = (env.get().await, there.get(REFERENCE).await);
        (one == other).then_some(())
    })
    .await;
    let record = DatabaseRecord::open(env.server.database().url()).await;
    record.check(None).await;
}

impl TestEnv {
    async fn other_at_gate(&self) {
        let other = CreateDeploymentRequest {
            name: "other".to_owned(),
            ..creation(1, manual())
        };
        self.api.create(other).await.expect("it is created");
        let is_served = |it: &Deployment| it.blue.unwrap_or_default().ready == 1;
        self.api.until(OTHER, "its first revision", is_served).await;
        let deployed = self.api.create_revision(OTHER, true).await;
        deployed.expect("it is activated");
        let at_gate = |it: &Deployment| it.sub_step() == DeploymentSubStep::AwaitingPromotion;
        self.api.until(OTHER, "the gate", at_gate).await;
    }
}

const OTHER: &str = "shop/other";

/// Longer than a call waits for a locked deployment.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
