//! A consumer that does not take what comes.

use std::time::{Duration, Instant};

use rstest::rstest;
use rstest_reuse::apply;
use tonic::{Code, transport::Channel};
use viridian_proto::v1::deployment_service_client::DeploymentServiceClient;

use super::{deployment, follow, gap, idle, labelled};
use crate::{
    engines::both_engines,
    harness::{Engine, EventStream, REFERENCE, Server, behind, of_deployments, refused, within},
};

#[apply(both_engines)]
#[tokio::test]
async fn a_slow_consumer_is_ended_and_misses_nothing(#[case] engine: Engine) {
    let flags = ["--watch-buffer", "4", "--watch-patience", "50ms"];
    let server = Server::start_with(engine, &flags).await;
    let api = server.api().await;
    let it = idle(&api, "web").await;
    let mut fast = follow(&api, &[REFERENCE]).await;
    let mut slow = slowly(&server).await;
    let mut seen = vec![slow.event().await];

    // More than there is room for on the way, and for longer than is waited.
    let begun = Instant::now();
    let mut last = it.sequence;
    let mut n = 0;
    while n < 100 || begun.elapsed() < 10 * WAIT_TIMEOUT {
        let request = labelled(&it.id, n, &"x".repeat(60));
        let reply = api.deployments().update_deployment(request).await;
        let reply = reply.expect("it is updated").into_inner();
        last = reply.deployment.expect("a deployment").sequence;
        n += 1;
        // Whoever takes what comes is not ended.
        while deployment(&fast.event().await).sequence < last {}
    }

    let end = loop {
        match slow.next().await {
            Ok(event) => seen.push(event),
            Err(status) => break status,
        }
    };
    let details = refused(&end, Code::ResourceExhausted, "SLOW_CONSUMER");
    assert!(details.retry_info().is_some(), "when to come back");
    let taken = deployment(seen.last().expect("one")).sequence;
    assert!(
        taken < last,
        "it was ended before it had all: {taken} of {last}"
    );

    let token = seen.last().expect("one").resume_token.clone();
    let mut events = api.follow(behind(&token)).await.expect("a watch");
    while deployment(seen.last().expect("one")).sequence < last {
        seen.push(events.event().await);
    }
    assert_eq!(gap(&seen), None);
    assert_eq!(deployment(&seen[0]).sequence, it.sequence);
}

/// A watch over a connection on which next to nothing is under way.
async fn slowly(server: &Server) -> EventStream {
    let endpoint = Channel::from_shared(server.url())
        .expect("a URL")
        .initial_stream_window_size(4_096)
        .initial_connection_window_size(65_535);
    let channel = within("the server", endpoint.connect()).await;
    let channel = channel.expect("it is there");
    let mut client = DeploymentServiceClient::new(channel);
    let reply = client.watch_deployments(of_deployments(&[REFERENCE])).await;
    EventStream(reply.expect("a watch").into_inner())
}

const WAIT_TIMEOUT: Duration = Duration::from_millis(50);
