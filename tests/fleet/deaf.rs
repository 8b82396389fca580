//! Notifications are lost. A server that receives none finds by polling what another
//! server has committed.

mod relay;

use std::time::{Duration, Instant};

use url::Url;
use viridian_proto::v1::{
    Deployment, DeploymentSubStep, WatchAssignmentsRequest, watch_assignments_response::Payload,
};

use self::relay::LossyRelay;
use crate::harness::{
    Engine, GROUP, REFERENCE, Server, TestEnv, creation, manual, of_deployments, promotion, within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_notification_is_made_up_by_polling() {
    let env = TestEnv::start(Engine::Postgres).await;
    let url: Url = env.server.database().url().parse().expect("a URL");
    let relay = LossyRelay::before(&url).await;
    let deaf = Server::at(relay.url(), |_| {}).await;
    let there = deaf.api().await;
    let created = env.api.create(creation(2, manual())).await;
    let id = created.expect("it is created").id;
    env.ready().await;
    let mut tables = there.watch(REFERENCE).await;
    let mut table = tables.next().await.expect("the present table");
    let events = there.follow(of_deployments(&[&id])).await;
    let mut events = events.expect("a watch");
    let mut event = events.event().await;

    let mut slowest = Duration::ZERO;
    for _ in 0..ROUNDS {
        env.deploy().await;
        let at_gate = |it: &Deployment| it.sub_step() == DeploymentSubStep::AwaitingPromotion;
        env.until("the gate", at_gate).await;
        let promoted = env.api.promote(promotion(REFERENCE)).await;
        let promoted = promoted.expect("it is promoted").deployment;
        let promoted = promoted.expect("a deployment");
        let done = Instant::now();
        while table.epoch < promoted.epoch {
            table = tables.next().await.expect("the next table");
        }
        slowest = slowest.max(done.elapsed());
        while sequence(&event) < promoted.sequence {
            event = events.event().await;
        }
        slowest = slowest.max(done.elapsed());
    }
    assert!(relay.lost() > 0, "notifications were lost");
    assert!(
        slowest > POLL / 10,
        "it was notified after all: {slowest:?}"
    );
}

/// An assignment of a deployment that became due without a notification.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_is_due_without_a_notification_is_found_by_polling() {
    let env = TestEnv::start(Engine::Postgres).await;
    env.at_gate(2, manual()).await;
    let group = WatchAssignmentsRequest {
        resource_group: GROUP.to_owned(),
    };
    let stream = env.api.routes().watch_assignments(group).await;
    let mut stream = stream.expect("a watch").into_inner();
    // Like a server that is killed between the commit and the notification.
    let change = "UPDATE deployments SET due_at = clock_timestamp(), \
                  policy = jsonb_set(policy::jsonb, '{strategy,BlueGreen,auto_promote}', 'true')::text";
    env.server.database().execute(change).await;
    let stop = within("an assignment", async {
        loop {
            let message = stream.message().await.expect("it goes on");
            let payload = message.and_then(|message| message.payload);
            if let Some(Payload::Assignment(assignment)) = payload {
                return assignment;
            }
        }
    })
    .await;
    assert_eq!(
        stop.route.expect("a route").deployment_id,
        env.get().await.id
    );
}

fn sequence(event: &viridian_proto::v1::DeploymentEvent) -> i64 {
    event.deployment.as_ref().map_or(0, |it| it.sequence)
}

const ROUNDS: usize = 5;

/// How often a server polls.
const POLL: Duration = Duration::from_secs(1);
