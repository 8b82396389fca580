//! The end of an agent or of a supervisor, and a start that cannot work.

use nix::sys::signal::{Signal, kill};
use tokio_util::sync::CancellationToken;
use viridian_agent::{AgentConfig, AgentError, run};
use viridian_proto::v1::RouteStatus::{Running, Terminated};

use crate::{
    scripted_server::{ReceivedReport, ScriptedServer},
    support::{wait_for_marked, wait_for_none},
    test_agent::{AgentProcess, TestAgent, config, mark, new_route_id},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_all_routes_and_reports_it() {
    let server = ScriptedServer::start().await;
    let agent = TestAgent::start(&server);
    let routes: Vec<_> = (0..5).map(|_| new_route_id()).collect();
    for route in &routes {
        let script = r#"trap "" TERM; sleep 1000 & wait"#;
        server.assign_start(route, &["sh", "-c", script]);
    }
    for route in &routes {
        server.expect_status(route, Running).await;
        wait_for_marked(&mark(route), "sleep", 1);
    }
    agent.stop().await;
    let seen = server.reports();
    for route in &routes {
        wait_for_none(&mark(route));
        let is_end = |seen: &ReceivedReport| matches!(seen, ReceivedReport::Status(report) if report.route_id == *route && report.status() == Terminated);
        assert!(seen.iter().any(is_end), "{seen:?}");
    }
    server.assert_none_refused();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_a_server_that_is_away() {
    let mut server = ScriptedServer::start().await;
    let agent = TestAgent::start(&server);
    let route = new_route_id();
    server.assign_start(&route, &["sleep", "1000"]);
    server.expect_status(&route, Running).await;
    server.kill();
    agent.stop().await;
    wait_for_none(&mark(&route));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_remains_of_a_route_whose_supervisor_is_killed() {
    let server = ScriptedServer::start().await;
    let agent = TestAgent::start(&server);
    let route = new_route_id();

    let script = "sleep 1000 & setsid sleep 1000 & wait";
    server.assign_start(&route, &["sh", "-c", script]);
    server.expect_status(&route, Running).await;
    wait_for_marked(&mark(&route), "sleep", 2);
    let supervisor = wait_for_marked(&mark(&route), "viridian-route", 1);
    kill(supervisor[0], Signal::SIGKILL).expect("the supervisor runs");
    let terminated = server.expect_status(&route, Terminated).await;
    assert_eq!(terminated.failure, "killed because its supervisor died");
    wait_for_none(&mark(&route));
    agent.stop().await;
    server.assert_none_refused();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_remains_of_an_agent_that_is_killed() {
    let server = ScriptedServer::start().await;
    let mut agent = AgentProcess::start(&server);
    let routes = [new_route_id(), new_route_id()];
    for route in &routes {
        let script = r#"trap "" TERM; sleep 1000 & setsid sleep 1000 & wait"#;
        server.assign_start(route, &["sh", "-c", script]);
    }
    for route in &routes {
        wait_for_marked(&mark(route), "sleep", 2);
    }
    agent.kill();
    for route in &routes {
        wait_for_none(&mark(route));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_cannot_work_is_an_error() {
    let config = |supervisor: &[&str]| AgentConfig {
        supervisor: supervisor.iter().map(Into::into).collect(),
        ..config("http://127.0.0.1:1".into())
    };
    let failure = async |config| {
        run(config, CancellationToken::new())
            .await
            .expect_err("it can never work")
    };

    let error = failure(config(&[])).await;
    assert!(matches!(error, AgentError::NoSupervisor), "{error}");
    let error = failure(config(&["true"])).await;
    assert!(matches!(error, AgentError::Supervisor { .. }), "{error}");
    let error = failure(config(&["no-such-program"])).await;
    assert_eq!(
        error.to_string(),
        "the supervisor no-such-program does not work: No such file or directory (os error 2)"
    );
}
