//! What an agent does with assignments.

use viridian_agent::AgentConfig;
use viridian_proto::v1::{
    RouteHealthStatus::Healthy,
    RouteStatus::{FailedToStart, Running, Terminated},
};

use crate::{
    scripted_server::ScriptedServer,
    support::{HELPER, wait_for_marked, wait_for_none},
    test_agent::{TestAgent, config, get, mark, new_route_id},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_route_lives_from_start_to_stop_across_a_restart_of_the_server() {
    let mut server = ScriptedServer::start().await;
    let agent = TestAgent::start(&server);
    let route = new_route_id();

    server.assign_start(&route, &[HELPER, "serve"]);
    let running = server.expect_status(&route, Running).await;
    assert!(running.address.starts_with("127.0.0.1:"), "{running:?}");
    assert!(!running.session_id.is_empty(), "{running:?}");
    server.expect_health(&route, Healthy).await;

    server.kill();
    server.resume().await;
    server.assign_stop(&route);
    let terminated = server.expect_status(&route, Terminated).await;
    assert_eq!(terminated.failure, "");
    wait_for_none(&mark(&route));
    agent.stop().await;
    server.assert_none_refused();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_names_the_route() {
    let server = ScriptedServer::start().await;
    let agent = TestAgent::start(&server);
    let route = new_route_id();

    let script = r#"test "$GREETING" = hello && test "$PASSWORD" = s3cret && test "$VIRIDIAN_REVISION" = 7 && test -n "$PORT" && exit 42"#;
    server.assign_start(&route, &["sh", "-c", script]);
    let terminated = server.expect_status(&route, Terminated).await;
    assert_eq!(terminated.failure, "exited with status 42");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_reported_with_its_exit_status() {
    let server = ScriptedServer::start().await;
    let agent = TestAgent::start(&server);
    let route = new_route_id();

    server.assign_start(&route, &[HELPER, "serve"]);
    let running = server.expect_status(&route, Running).await;
    server.expect_health(&route, Healthy).await;
    get(&running.address, "/exit/3").await;
    let terminated = server.expect_status(&route, Terminated).await;
    assert_eq!(terminated.failure, "exited with status 3");
    agent.stop().await;
    server.assert_none_refused();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_cannot_be_started_is_reported_with_the_reason() {
    let server = ScriptedServer::start().await;
    let agent = TestAgent::start(&server);

    let missing = new_route_id();
    server.assign_start(&missing, &["no-such-program"]);
    let failed = server.expect_status(&missing, FailedToStart).await;
    assert_eq!(
        failed.failure,
        "cannot run no-such-program: No such file or directory (os error 2)"
    );

    let empty = new_route_id();
    server.assign_start(&empty, &[]);
    let failed = server.expect_status(&empty, FailedToStart).await;
    assert_eq!(failed.failure, "the revision has no command");
    agent.stop().await;
    server.assert_none_refused();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_may_come_twice() {
    let server = ScriptedServer::start().await;
    let agent = TestAgent::start(&server);
    let route = new_route_id();

    server.assign_start(&route, &[HELPER, "serve"]);
    let first = server.expect_status(&route, Running).await;
    server.expect_health(&route, Healthy).await;
    server.assign_start(&route, &[HELPER, "serve"]);
    let second = server.expect_status(&route, Running).await;
    assert_eq!(first, second, "the same process is reported again");

    server.assign_stop(&route);
    server.expect_status(&route, Terminated).await;
    server.assign_stop(&route);
    server.expect_status(&route, Terminated).await;
    agent.stop().await;
    server.assert_none_refused();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_route_is_reported_terminated() {
    let server = ScriptedServer::start().await;
    let agent = TestAgent::start(&server);
    let route = new_route_id();
    server.assign_stop(&route);
    let terminated = server.expect_status(&route, Terminated).await;
    assert_eq!(terminated.failure, "");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_wins_over_a_start_that_is_under_way() {
    let server = ScriptedServer::start().await;
    // Starts nothing before it is told to stop.
    let script = r#"test "$VIRIDIAN_AGENT_CHECK" || read line; exec "$0" supervisor "$@""#;
    let agent = TestAgent::start_with(AgentConfig {
        supervisor: ["sh", "-c", script, HELPER].map(Into::into).to_vec(),
        ..config(server.url())
    });
    let route = new_route_id();

    server.assign_start(&route, &[HELPER, "serve"]);
    wait_for_marked(&mark(&route), "sh", 1);
    server.assign_stop(&route);
    let terminated = server.expect_status(&route, Terminated).await;
    assert_eq!(terminated.failure, "");
    wait_for_none(&mark(&route));
    agent.stop().await;
    server.assert_none_refused();
}
