//! The routes of a killed agent, which the next one finds in the journal.

use std::fs;

use nix::sys::signal::{Signal, kill};
use viridian_agent::AgentConfig;
use viridian_proto::v1::RouteStatus::{FailedToStart, Running, Terminated};

use crate::{
    scripted_server::ScriptedServer,
    support::{HELPER, wait_for_marked, wait_for_none},
    test_agent::{AgentProcess, LOST, TestAgent, config, journal_len, mark, new_route_id},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_routes_of_a_killed_agent_are_reported_by_the_next() {
    let server = ScriptedServer::start().await;
    let state = tempfile::tempdir().expect("a temporary folder");
    let route = new_route_id();
    let mut agent = AgentProcess::start_in(&server, state.path());
    server.assign_start(&route, &[HELPER, "serve"]);
    server.expect_status(&route, Running).await;
    agent.kill();
    drop(agent);

    let agent = TestAgent::start_with(AgentConfig {
        state: Some(state.path().into()),
        ..config(server.url())
    });
    let terminated = server.expect_status(&route, Terminated).await;
    assert_eq!(terminated.failure, LOST);
    wait_for_none(&mark(&route));
    agent.stop().await;
    assert_eq!(journal_len(state.path()), 0, "its end was acknowledged");
    server.assert_none_refused();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_was_never_reported_running_has_failed_to_start() {
    let server = ScriptedServer::start().await;
    let state = tempfile::tempdir().expect("a temporary folder");
    let route = new_route_id();
    fs::create_dir(state.path().join("routes")).expect("a folder");
    fs::write(state.path().join("routes").join(&route), "").expect("a file");
    server.assign_start(&route, &[HELPER, "serve"]);

    let agent = TestAgent::start_with(AgentConfig {
        state: Some(state.path().into()),
        ..config(server.url())
    });
    let failed = server.expect_status(&route, FailedToStart).await;
    assert_eq!(failed.failure, LOST);
    agent.stop().await;
    assert_eq!(journal_len(state.path()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_could_not_be_reported_is_reported_by_the_next() {
    let mut server = ScriptedServer::start().await;
    let state = tempfile::tempdir().expect("a temporary folder");
    let config = AgentConfig {
        state: Some(state.path().into()),
        ..config(server.url())
    };
    let route = new_route_id();
    let agent = TestAgent::start_with(config.clone());
    server.assign_start(&route, &[HELPER, "serve"]);
    server.expect_status(&route, Running).await;
    server.kill();
    agent.stop().await;
    assert_eq!(journal_len(state.path()), 1, "its end was not acknowledged");

    server.resume().await;
    let agent = TestAgent::start_with(config);
    server.expect_status(&route, Terminated).await;
    agent.stop().await;
    server.assert_none_refused();
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_outlived_supervisor_and_agent_end_with_the_next_agent() {
    let server = ScriptedServer::start().await;
    let state = tempfile::tempdir().expect("a temporary folder");
    let route = new_route_id();
    let mut agent = AgentProcess::start_in(&server, state.path());
    server.assign_start(&route, &["sh", "-c", "setsid sleep 1000 & wait"]);
    server.expect_status(&route, Running).await;
    wait_for_marked(&mark(&route), "sleep", 1);
    let supervisor = wait_for_marked(&mark(&route), "viridian-route", 1);
    // A stopped agent cannot notice the end of the supervisor.
    agent.signal(Signal::SIGSTOP);
    kill(supervisor[0], Signal::SIGKILL).expect("the supervisor runs");
    agent.kill();
    drop(agent);
    wait_for_marked(&mark(&route), "sleep", 1);

    let agent = TestAgent::start_with(AgentConfig {
        state: Some(state.path().into()),
        ..config(server.url())
    });
    server.expect_status(&route, Terminated).await;
    wait_for_none(&mark(&route));
    agent.stop().await;
    server.assert_none_refused();
}
