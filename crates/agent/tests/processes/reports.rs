//! Health checks, and the delivery of reports.

use std::time::Duration;

use viridian_agent::AgentConfig;
use viridian_proto::v1::{
    RouteHealthStatus::{Healthy, Unhealthy},
    RouteStatus::{Running, Terminated},
};

use crate::{
    scripted_server::{MALFORMED, ScriptedServer},
    support::{HELPER, wait_for_none},
    test_agent::{TestAgent, config, get, mark, new_route_id},
};

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_answers() {
    let server = ScriptedServer::start().await;
    let agent = TestAgent::start(&server);
    let route = new_route_id();

    server.assign_start(&route, &[HELPER, "serve"]);
    let address = server.expect_status(&route, Running).await.address;
    server.expect_health(&route, Healthy).await;
    get(&address, "/become/503").await;
    server.expect_health(&route, Unhealthy).await;
    get(&address, "/become/204").await;
    server.expect_health(&route, Healthy).await;
    agent.stop().await;
    server.assert_none_refused();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_health_is_repeated() {
    let server = ScriptedServer::start().await;
    let agent = TestAgent::start_with(AgentConfig {
        health_repeat: Duration::from_millis(100),
        ..config(server.url())
    });
    let route = new_route_id();

    server.assign_start(&route, &[HELPER, "serve"]);
    for _ in 0..3 {
        server.expect_health(&route, Healthy).await;
    }
    agent.stop().await;
    server.assert_none_refused();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_report_does_not_delay_others() {
    let server = ScriptedServer::start().await;
    let agent = TestAgent::start(&server);
    let route = new_route_id();
    server.assign_stop(MALFORMED);
    server.assign_start(&route, &[HELPER, "serve"]);
    server.expect_health(&route, Healthy).await;
    agent.stop().await;
    server.assert_none_refused();
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_wait_for_the_server_and_keep_their_order() {
    let mut server = ScriptedServer::start().await;
    let agent = TestAgent::start(&server);
    let route = new_route_id();

    server.assign_start(&route, &[HELPER, "serve"]);
    let address = server.expect_status(&route, Running).await.address;
    server.expect_health(&route, Healthy).await;
    server.kill();
    get(&address, "/exit/5").await;
    wait_for_none(&mark(&route));
    server.resume().await;
    let terminated = server.expect_status(&route, Terminated).await;
    assert_eq!(terminated.failure, "exited with status 5");
    agent.stop().await;
    server.assert_none_refused();
}
