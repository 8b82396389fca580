//! The agent, against a server that the test scripts, with real processes.

use std::{
    fs,
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use viridian_agent::{AgentConfig, AgentError, run};
use viridian_client::ServerTarget;
use viridian_proto::v1::{
    RouteHealthStatus::{Healthy, Unhealthy},
    RouteStatus::{FailedToStart, Running, Terminated},
};

use crate::{
    server::{MALFORMED, ScriptedServer, Seen},
    support::{HELPER, PATIENCE, wait_for_marked, wait_for_none},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_route_lives_from_start_to_stop_across_a_restart_of_the_server() {
    let mut server = ScriptedServer::start().await;
    let agent = Agent::start(&server);
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
    let agent = Agent::start(&server);
    let route = new_route_id();

    let script = r#"test "$GREETING" = hello && test "$VIRIDIAN_REVISION" = 7 && test -n "$PORT" && exit 42"#;
    server.assign_start(&route, &["sh", "-c", script]);
    let terminated = server.expect_status(&route, Terminated).await;
    assert_eq!(terminated.failure, "exited with status 42");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_answers() {
    let server = ScriptedServer::start().await;
    let agent = Agent::start(&server);
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
async fn health_that_does_not_change_is_told_again() {
    let server = ScriptedServer::start().await;
    let agent = Agent::start_with(AgentConfig {
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
async fn a_crash_is_reported_with_its_exit_status() {
    let server = ScriptedServer::start().await;
    let agent = Agent::start(&server);
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
async fn what_cannot_be_started_is_reported_with_the_reason() {
    let server = ScriptedServer::start().await;
    let agent = Agent::start(&server);

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
    let agent = Agent::start(&server);
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
async fn a_route_that_is_not_known_is_terminated() {
    let server = ScriptedServer::start().await;
    let agent = Agent::start(&server);
    let route = new_route_id();
    server.assign_stop(&route);
    let terminated = server.expect_status(&route, Terminated).await;
    assert_eq!(terminated.failure, "");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_wins_over_a_start_that_is_under_way() {
    let server = ScriptedServer::start().await;
    // Does not start anything before it is told to stop.
    let script = r#"test "$VIRIDIAN_AGENT_CHECK" || read line; exec "$0" supervisor "$@""#;
    let agent = Agent::start_with(AgentConfig {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_report_holds_up_no_other() {
    let server = ScriptedServer::start().await;
    let agent = Agent::start(&server);
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
    let agent = Agent::start(&server);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_all_routes_and_says_so() {
    let server = ScriptedServer::start().await;
    let agent = Agent::start(&server);
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
    let seen = server.seen();
    for route in &routes {
        wait_for_none(&mark(route));
        let is_end = |seen: &Seen| matches!(seen, Seen::Status(report) if report.route_id == *route && report.status() == Terminated);
        assert!(seen.iter().any(is_end), "{seen:?}");
    }
    server.assert_none_refused();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_a_server_that_is_away() {
    let mut server = ScriptedServer::start().await;
    let agent = Agent::start(&server);
    let route = new_route_id();
    server.assign_start(&route, &["sleep", "1000"]);
    server.expect_status(&route, Running).await;
    server.kill();
    agent.stop().await;
    wait_for_none(&mark(&route));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_route_whose_supervisor_is_killed() {
    let server = ScriptedServer::start().await;
    let agent = Agent::start(&server);
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
async fn nothing_is_left_of_an_agent_that_is_killed() {
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
async fn what_ended_with_an_agent_that_was_killed_is_reported_by_the_next() {
    let server = ScriptedServer::start().await;
    let state = tempfile::tempdir().expect("a temporary folder");
    let route = new_route_id();
    let mut agent = AgentProcess::start_in(&server, state.path());
    server.assign_start(&route, &[HELPER, "serve"]);
    server.expect_status(&route, Running).await;
    agent.kill();
    drop(agent);

    let agent = Agent::start_with(AgentConfig {
        state: Some(state.path().into()),
        ..config(server.url())
    });
    let terminated = server.expect_status(&route, Terminated).await;
    assert_eq!(terminated.failure, LOST);
    wait_for_none(&mark(&route));
    agent.stop().await;
    assert_eq!(noted(state.path()), 0, "its end was answered");
    server.assert_none_refused();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_has_not_heard_to_run_has_failed_to_start() {
    let server = ScriptedServer::start().await;
    let state = tempfile::tempdir().expect("a temporary folder");
    let route = new_route_id();
    fs::create_dir(state.path().join("routes")).expect("a folder");
    fs::write(state.path().join("routes").join(&route), "").expect("a file");
    server.assign_start(&route, &[HELPER, "serve"]);

    let agent = Agent::start_with(AgentConfig {
        state: Some(state.path().into()),
        ..config(server.url())
    });
    let failed = server.expect_status(&route, FailedToStart).await;
    assert_eq!(failed.failure, LOST);
    agent.stop().await;
    assert_eq!(noted(state.path()), 0);
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
    let agent = Agent::start_with(config.clone());
    server.assign_start(&route, &[HELPER, "serve"]);
    server.expect_status(&route, Running).await;
    server.kill();
    agent.stop().await;
    assert_eq!(noted(state.path()), 1, "nobody has heard of its end");

    server.resume().await;
    let agent = Agent::start_with(config);
    server.expect_status(&route, Terminated).await;
    agent.stop().await;
    server.assert_none_refused();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_when_supervisor_and_agent_are_killed_ends_with_the_next_agent() {
    let server = ScriptedServer::start().await;
    let state = tempfile::tempdir().expect("a temporary folder");
    let route = new_route_id();
    let mut agent = AgentProcess::start_in(&server, state.path());
    server.assign_start(&route, &["sh", "-c", "setsid sleep 1000 & wait"]);
    server.expect_status(&route, Running).await;
    wait_for_marked(&mark(&route), "sleep", 1);
    let supervisor = wait_for_marked(&mark(&route), "viridian-route", 1);
    // So that it cannot see the end of the supervisor.
    agent.signal(Signal::SIGSTOP);
    kill(supervisor[0], Signal::SIGKILL).expect("the supervisor runs");
    agent.kill();
    drop(agent);
    wait_for_marked(&mark(&route), "sleep", 1);

    let agent = Agent::start_with(AgentConfig {
        state: Some(state.path().into()),
        ..config(server.url())
    });
    server.expect_status(&route, Terminated).await;
    wait_for_none(&mark(&route));
    agent.stop().await;
    server.assert_none_refused();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_work_is_an_error() {
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

/// An agent in this process.
struct Agent {
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), AgentError>>,
}

impl Agent {
    fn start(server: &ScriptedServer) -> Self {
        Self::start_with(config(server.url()))
    }

    fn start_with(config: AgentConfig) -> Self {
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(run(config, shutdown.clone()));
        Self { shutdown, running }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.running)
            .await
            .expect("it stops in time")
            .expect("it does not panic")
            .expect("it stops without an error");
    }
}

/// An agent in a process of its own.
struct AgentProcess(Child);

impl AgentProcess {
    fn start(server: &ScriptedServer) -> Self {
        Self::spawn(Command::new(HELPER).args(["agent", &server.url()]))
    }

    fn start_in(server: &ScriptedServer, state: &Path) -> Self {
        let mut command = Command::new(HELPER);
        Self::spawn(command.args(["agent", &server.url()]).arg(state))
    }

    fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().expect("the helper program"))
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.0.id().cast_signed());
        kill(pid, signal).expect("it runs");
    }

    fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.0.wait().expect("it ended");
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn config(server: String) -> AgentConfig {
    AgentConfig {
        server: ServerTarget::new(&server).expect("a URL"),
        resource_group: "default".into(),
        supervisor: vec![HELPER.into(), "supervisor".into()],
        stop_grace: Duration::from_millis(200),
        health_repeat: Duration::from_secs(10),
        state: None,
        quiet_routes: true,
    }
}

async fn get(address: &str, path: &str) {
    let url = format!("http://{address}{path}");
    let client = reqwest::Client::builder().no_proxy().build();
    // One that is told to exit does not answer.
    let _ = client.expect("a client").get(url).send().await;
}

/// How many routes are noted in an agent's folder.
fn noted(state: &Path) -> usize {
    let routes = fs::read_dir(state.join("routes"));
    routes.expect("a folder").count()
}

fn new_route_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn mark(route_id: &str) -> String {
    format!("VIRIDIAN_ROUTE_ID={route_id}")
}

const LOST: &str = "it ended with the agent that ran it";
