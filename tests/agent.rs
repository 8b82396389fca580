//! An agent that is killed, and started again: what it ran ended with it, and is
//! replaced.

use std::{collections::BTreeSet, fs};

use rstest::rstest;
use rstest_reuse::apply;
use viridian_proto::v1::{CreateDeploymentRequest, DeploymentLifecycle, RouteStatus};

use crate::{
    engines::both_engines,
    harness::{
        Engine, REFERENCE, Server, active, agent, agent_command, creation, end_agent, eventually,
        finish, ids, manual, replica, viridian, within,
    },
};

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_ran_that_was_killed_is_replaced(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let state = tempfile::tempdir().expect("a temporary folder");
    let mut killed = agent(&server, state.path());
    let request = CreateDeploymentRequest {
        initial_revision: Some(replica(LABEL)),
        ..creation(2, manual())
    };
    api.create(request).await.expect("it can be created");
    let serves = |it: &viridian_proto::v1::Deployment| {
        let ready = it.blue.as_ref().map(|blue| blue.ready);
        it.lifecycle() == DeploymentLifecycle::Ready && ready == Some(2)
    };
    api.until(REFERENCE, "READY", serves).await;
    let before = ids(&api.list_routes(REFERENCE).await);

    killed.start_kill().expect("it runs");
    within("its end", killed.wait()).await.expect("it ended");
    let agent = agent(&server, state.path());
    eventually("new routes that have traffic", async || {
        let table = api.table(REFERENCE).await;
        let known = |id: &String| before.contains(id);
        let replaced = !table.endpoints.iter().any(|it| known(&it.route_id));
        (table.endpoints.len() == 2 && replaced).then_some(())
    })
    .await;
    api.until(REFERENCE, "READY", serves).await;
    let after = api.table(REFERENCE).await;
    assert_eq!(after.endpoints.len(), 2, "{after:?}");
    for endpoint in &after.endpoints {
        let reply = reqwest::get(format!("http://{}/", endpoint.address)).await;
        let reply = reply.expect("it answers").text().await;
        assert_eq!(reply.expect("a text"), LABEL);
    }
    let routes = api.list_routes(REFERENCE).await;
    assert_eq!(active(&routes).len(), 2, "{routes:#?}");
    for route in routes.iter().filter(|it| before.contains(&it.id)) {
        assert_eq!(route.status(), RouteStatus::Terminated);
        assert_eq!(route.failure, "it ended with the agent that ran it");
    }
    none_is_left(&before).await;

    end_agent(agent).await;
    none_is_left(&ids(&api.list_routes(REFERENCE).await)).await;
    let left = fs::read_dir(state.path().join("routes")).expect("a folder");
    assert_eq!(left.count(), 0, "the server knows of every end");
}

/// A path that is not there: why can be read where the route is listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c3_a_failed_check_is_explained_where_routes_are_listed() {
    let server = Server::start(Engine::Sqlite).await;
    let api = server.api().await;
    let state = tempfile::tempdir().expect("a temporary folder");
    let agent = agent(&server, state.path());
    let mut spec = replica(LABEL);
    let check = spec.health_check.get_or_insert_default();
    check.path = "/nope".to_owned();
    let request = CreateDeploymentRequest {
        initial_revision: Some(spec),
        ..creation(1, manual())
    };
    api.create(request).await.expect("it can be created");
    let explained = |it: &viridian_proto::v1::Deployment| {
        let mut messages = it.blockers.iter().map(|blocker| &blocker.message);
        messages.any(|message| message.ends_with("(GET /nope: 404)"))
    };
    api.until(REFERENCE, "the reason", explained).await;
    let mut routes = viridian(&["deployment", "routes", REFERENCE]);
    routes.args(["--server", &server.url()]);
    let routes = finish(routes).await;
    assert_eq!(routes.code, Some(0), "{routes:?}");
    assert!(routes.stdout.contains("GET /nope: 404"), "{routes:?}");
    end_agent(agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_agents_do_not_share_their_state() {
    let server = Server::start(Engine::Sqlite).await;
    let state = tempfile::tempdir().expect("a temporary folder");
    let first = agent(&server, state.path());
    eventually("the first agent", async || {
        state.path().join("lock").exists().then_some(())
    })
    .await;
    let second = finish(agent_command(&server, state.path())).await;
    assert_eq!(second.code, Some(101), "{second:?}");
    let sentence = format!(
        "error: another agent uses the folder {}: each needs one of its own\n",
        state.path().display()
    );
    assert!(second.stderr.ends_with(&sentence), "{second:?}");
    end_agent(first).await;
}

/// Waits until no process of these routes is left.
async fn none_is_left(routes: &BTreeSet<String>) {
    eventually("the end of all processes", async || {
        let of_them = |process: fs::DirEntry| {
            let environ = fs::read(process.path().join("environ")).ok()?;
            let entries = String::from_utf8_lossy(&environ).into_owned();
            let mut entries = entries.split('\0');
            let id = entries.find_map(|entry| entry.strip_prefix("VIRIDIAN_ROUTE_ID="))?;
            routes.contains(id).then_some(())
        };
        let mut processes = fs::read_dir("/proc").expect("/proc").flatten();
        processes.find_map(of_them).is_none().then_some(())
    })
    .await;
}

const LABEL: &str = "version 1";
