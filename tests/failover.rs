//! A primary of PostgreSQL is killed under load, and its synchronous standby is promoted. The
//! servers have both in their URL.

use std::time::{Duration, Instant};

use tokio::{task::JoinSet, time::sleep};
use tonic::Code;
use uuid::Uuid;
use viridian_proto::v1::{DeploymentLifecycle, DeploymentSubStep, PromoteDeploymentRequest};

use crate::harness::{
    Api, CallerLoad, Cluster, GROUP, REFERENCE, ScriptedScheduler, Server, count, creation,
    eventually, finish, is_passing, manual, named, promotion, viridian, within,
};

/// `VIRIDIAN_FAILOVERS` says how often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2_a_failover_loses_nothing_that_was_acknowledged() {
    for round in 0..count("VIRIDIAN_FAILOVERS", 2) {
        fail_over(round).await;
    }
}

async fn fail_over(round: u32) {
    let mut primary = Cluster::start().await;
    let standby = primary.synchronous_standby().await;
    let url = format!(
        "postgres://postgres:{}@{},{}/postgres",
        primary.password(),
        primary.host(),
        standby.host()
    );
    let servers = [
        Server::at(&url, |_| {}).await,
        Server::at(&url, |_| {}).await,
    ];
    let api = servers[0].api().await;
    let other = servers[1].api().await;
    let scheduler = ScriptedScheduler::start(&api, GROUP);
    at_gate(&api).await;
    let load = [&api, &other].map(|it| CallerLoad::start(it, 2));
    eventually("calls on both", async || {
        load.iter().all(|it| it.answered() >= 20).then_some(())
    })
    .await;

    primary.kill().await;
    let promotions = promote_from_everywhere([&api, &other]);
    standby.promote().await;
    let promoted = Instant::now();
    for load in &load {
        load.until_one_more().await;
    }
    report(round, promoted.elapsed());
    expect_one_promotion(promotions).await;

    // As the old primary comes back: with what it had, and read-only. It is the first in the URL.
    primary.demote();
    primary.start_again().await;
    for load in &load {
        load.until_one_more().await;
    }
    let late = Server::at(&url, |_| {}).await;
    let created = late.api().await.create(named()).await;
    let mut acknowledged = vec![created.expect("it is led to the new primary").id];
    for load in load {
        acknowledged.extend(load.stop().await);
    }
    for id in &acknowledged {
        api.get(id).await;
        other.get(id).await;
    }
    let stored = "SELECT COUNT(*) FROM deployments";
    let stored = standby.number(stored).await;
    assert!(stored > i64::try_from(acknowledged.len()).expect("a few"));
    let checked = finish(viridian(&["check", "--database", &standby.url()])).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    for server in &servers {
        assert!(
            !server.log().contains("a unit of work failed"),
            "no INTERNAL"
        );
    }
    drop(scheduler);
}

/// Brings a second revision of [`REFERENCE`] to its gate.
pub(crate) async fn at_gate(api: &Api) {
    let created = api.create(creation(2, manual())).await;
    created.expect("it is created");
    let is_ready =
        |it: &viridian_proto::v1::Deployment| it.lifecycle() == DeploymentLifecycle::Ready;
    api.until(REFERENCE, "READY", is_ready).await;
    eventually("an activation", async || {
        api.create_revision(REFERENCE, true).await.ok()
    })
    .await;
    let at_gate =
        |it: &viridian_proto::v1::Deployment| it.sub_step() == DeploymentSubStep::AwaitingPromotion;
    api.until(REFERENCE, "the gate", at_gate).await;
}

/// Four callers promote the same rollout through the failover, each until it has an answer.
pub(crate) fn promote_from_everywhere(apis: [&Api; 2]) -> JoinSet<bool> {
    let mut callers = JoinSet::new();
    for caller in 0..4 {
        let api = apis[caller % 2].clone();
        callers.spawn(async move {
            let request = PromoteDeploymentRequest {
                request_id: Uuid::now_v7().to_string(),
                ..promotion(REFERENCE)
            };
            let answer = async {
                loop {
                    match api.promote(request.clone()).await {
                        Ok(_) => return true,
                        Err(refusal) if is_passing(&refusal) => sleep(PAUSE).await,
                        Err(refusal) => {
                            assert_eq!(refusal.code(), Code::FailedPrecondition, "{refusal:?}");
                            return false;
                        }
                    }
                }
            };
            within("an answer", answer).await
        });
    }
    callers
}

pub(crate) async fn expect_one_promotion(callers: JoinSet<bool>) {
    let won = callers.join_all().await;
    let winners = won.iter().filter(|&&won| won).count();
    assert_eq!(winners, 1, "{won:?}");
}

/// Between two attempts of a call.
const PAUSE: Duration = Duration::from_millis(20);

#[expect(clippy::print_stdout, reason = "a figure, not a condition")]
fn report(round: u32, back: Duration) {
    println!("failover {round}: back {back:?} after the promotion of the standby");
}
