//! Notifications are lost: a server to which none gets through finds by itself
//! what another has done, within the time of a poll.

mod relay;

use std::time::{Duration, Instant};

use url::Url;
use viridian_proto::v1::{
    Deployment, DeploymentSubStep, WatchAssignmentsRequest, watch_assignments_response::Payload,
};

use self::relay::Relay;
use crate::harness::{
    Engine, GROUP, REFERENCE, Server, World, creation, manual, of_deployments, promotion, within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_notification_costs_the_time_of_a_poll() {
    let world = World::start(Engine::Postgres).await;
    let url: Url = world.server.database().url().parse().expect("a URL");
    let relay = Relay::before(&url).await;
    let deaf = Server::at(relay.url(), |_| {}).await;
    let there = deaf.api().await;
    let created = world.api.create(creation(2, manual())).await;
    let id = created.expect("it is created").id;
    world.ready().await;
    let mut tables = there.watch(REFERENCE).await;
    let mut table = tables.next().await.expect("the present table");
    let events = there.follow(of_deployments(&[&id])).await;
    let mut events = events.expect("a watch");
    let mut event = events.event().await;

    let mut slowest = Duration::ZERO;
    for _ in 0..ROUNDS {
        world.deploy().await;
        let at_gate = |it: &Deployment| it.sub_step() == DeploymentSubStep::AwaitingPromotion;
        world.until("the gate", at_gate).await;
        let promoted = world.api.promote(promotion(REFERENCE)).await;
        let promoted = promoted.expect("it is promoted").deployment;
        let promoted = promoted.expect("a deployment");
        let done = Instant::now();
        while table.epoch < promoted.epoch {
            table = tables.next().await.expect("the next table");
        }
        let table_after = done.elapsed();
        while sequence(&event) < promoted.sequence {
            event = events.event().await;
        }
        for after in [table_after, done.elapsed()] {
            assert!(after < POLL + SLACK, "it came after {after:?}");
            slowest = slowest.max(after);
        }
    }
    assert!(relay.lost() > 0, "notifications were lost");
    assert!(slowest > POLL / 10, "nothing of it was heard: {slowest:?}");
}

/// An assignment, and a deployment that is due: whoever made it so was heard by
/// nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_was_told_of_is_found_in_the_time_of_a_poll() {
    let world = World::start(Engine::Postgres).await;
    world.at_gate(2, manual()).await;
    let group = WatchAssignmentsRequest {
        resource_group: GROUP.to_owned(),
    };
    let stream = world.api.routes().watch_assignments(group).await;
    let mut stream = stream.expect("a watch").into_inner();
    let begun = Instant::now();
    // As a server does it that is killed before it says so.
    let change = "UPDATE deployments SET due_at = clock_timestamp(), \
                  policy = jsonb_set(policy::jsonb, '{strategy,BlueGreen,auto_promote}', 'true')::text";
    world.server.database().execute(change).await;
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
    let took = begun.elapsed();
    assert_eq!(
        stop.route.expect("a route").deployment_id,
        world.get().await.id
    );
    assert!(took < POLL + SLACK, "it was found after {took:?}");
}

fn sequence(event: &viridian_proto::v1::DeploymentEvent) -> i64 {
    event.deployment.as_ref().map_or(0, |it| it.sequence)
}

const ROUNDS: usize = 5;

/// How often a server looks by itself.
const POLL: Duration = Duration::from_secs(1);

/// For a machine that is busy.
const SLACK: Duration = Duration::from_secs(3);
