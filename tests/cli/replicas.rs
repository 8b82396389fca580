//! Replicas that are replaced: all of them, or one.

use rstest::rstest;
use rstest_reuse::apply;
use viridian_proto::v1::{BlockerCode, DeploymentPolicy, RouteHealthStatus};

use super::{deployment, json, verbs::succeeded};
use crate::{
    engines::both_engines,
    harness::{Engine, REFERENCE, RouteBehavior, Terminal, TestEnv, active, ids, manual, seconds},
};

#[apply(both_engines)]
#[tokio::test]
async fn a13_a_restart_replaces_every_route(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let url = env.server.url();
    let before = env.serving(3, manual()).await;
    let old = serving(&env).await;
    let restart = ["restart", REFERENCE, "--reason", "new secrets", "--wait"];
    succeeded(&url, &restart).await;
    let after = env.get().await;
    assert_eq!(after.current_revision_id, before.current_revision_id);
    assert_eq!(after.blockers, [], "it has waited for all");
    let new = serving(&env).await;
    assert_eq!(new.len(), 3);
    assert!(new.iter().all(|route| !old.contains(route)), "{new:?}");
    let history = env.api.history(REFERENCE).await;
    let told = history.iter().any(|entry| entry.reason == "new secrets");
    assert!(told, "{history:?}");
}

/// What does not become healthy takes nothing away, and the wait says what it waits for.
#[tokio::test]
async fn a13_a_restart_whose_routes_do_not_come_up_takes_none_away() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let policy = DeploymentPolicy {
        progress_deadline: seconds(1.0),
        ..manual()
    };
    env.serving(2, policy).await;
    let old = serving(&env).await;
    let sick = RouteBehavior::Runs(RouteHealthStatus::Unhealthy);
    env.scheduler.plan(1, [sick]);
    let run = deployment(&url, &["restart", REFERENCE, "--wait"]).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    let waits = "have yet to be replaced by new ones";
    assert!(run.stderr.contains(waits), "{run:?}");
    let table = env.api.table(REFERENCE).await;
    let served: Vec<_> = table
        .endpoints
        .iter()
        .map(|it| it.route_id.clone())
        .collect();
    assert!(old.iter().all(|route| served.contains(route)), "{table:?}");
}

#[apply(both_engines)]
#[tokio::test]
async fn a13_a_drain_takes_one_route(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let url = env.server.url();
    env.serving(2, manual()).await;
    let old = serving(&env).await;
    let (one, other) = (&old[0], &old[1]);
    // The end of an id tells it from others.
    let drained = json(
        &url,
        &["drain", REFERENCE, &one[20..], "--wait", "-o", "json"],
    )
    .await;
    assert_eq!(drained["blue"]["ready"], 2);
    let new = serving(&env).await;
    assert_eq!((new.len(), new.contains(one)), (2, false));
    assert!(new.contains(other), "{new:?}");

    for wrong in [one, "no-such-route"] {
        let run = deployment(&url, &["drain", REFERENCE, wrong]).await;
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains("no live route"), "{run:?}");
    }
}

/// On a terminal both ask first, and name what they are about to do.
#[tokio::test]
async fn a13_a_restart_and_a_drain_ask_first() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let before = env.serving(1, manual()).await;
    let route = serving(&env).await.remove(0);
    for (arguments, question) in [
        (
            &["deployment", "restart", REFERENCE][..],
            "Restart shop/web? 1 route of revision 1 is replaced by a new one".to_owned(),
        ),
        (
            &["deployment", "drain", REFERENCE, &route],
            format!("Drain route {route} of shop/web?"),
        ),
    ] {
        let terminal = Terminal::start(&url, arguments);
        terminal.shows(&question).await;
        terminal.press(&["Enter"]);
        let (code, screen) = terminal.ended().await;
        assert_eq!(code, 1, "{screen}");
        assert!(screen.contains("nothing was changed"), "{screen}");
    }
    assert_eq!(env.get().await, before);
}

/// By itself, once the policy asks for it.
#[apply(both_engines)]
#[tokio::test]
async fn a13_a_replica_that_hangs_is_replaced(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let url = env.server.url();
    env.serving(2, manual()).await;
    let routes = env.routes().await;
    env.api
        .see(&routes[..1], RouteHealthStatus::Unhealthy)
        .await;
    let sick = env.get().await;
    assert_eq!(sick.blue.unwrap_or_default().unhealthy, 1);
    let flag = ["update", REFERENCE, "--replace-unhealthy-after", "100ms"];
    succeeded(&url, &flag).await;
    env.until("all are healthy again", |it| {
        let blue = it.blue.unwrap_or_default();
        blue.ready == 2 && blue.unhealthy == 0 && it.blockers.is_empty()
    })
    .await;
    let new = serving(&env).await;
    assert!(!new.contains(&routes[0].id), "{new:?}");
    assert!(new.contains(&routes[1].id), "{new:?}");
    let shown = succeeded(&url, &["get", REFERENCE]).await;
    assert!(shown.contains("replace unhealthy after 100ms"), "{shown}");
}

/// While it lasts, `get` says what is left.
#[tokio::test]
async fn a13_a_restart_says_what_is_left() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(2, manual()).await;
    env.scheduler.plan(1, [RouteBehavior::Pending]);
    succeeded(&url, &["restart", REFERENCE]).await;
    env.until("a new route is created", |it| {
        it.blue.unwrap_or_default().provisioning == 1
    })
    .await;
    let shown = succeeded(&url, &["get", REFERENCE]).await;
    let waits = "2 of 2 routes have yet to be replaced by new ones";
    assert!(shown.contains(waits), "{shown}");
    let now = env.get().await;
    let codes: Vec<_> = now.blockers.iter().map(|it| it.code()).collect();
    assert!(codes.contains(&BlockerCode::Restarting), "{codes:?}");
}

/// The routes that take traffic.
async fn serving(env: &TestEnv) -> Vec<String> {
    ids(&active(&env.routes().await)).into_iter().collect()
}
