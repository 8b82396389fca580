//! Every wait ends, and says why.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use viridian_proto::v1::{
    Deployment, DeploymentPolicy, RollingUpdateSpec, Route, RouteHealthStatus, RouteStatus,
    RouteStatusReport, deployment_policy::Strategy,
};

use super::deployment;
use crate::harness::{
    Engine, FinishedProgram, REFERENCE, RouteBehavior, TestEnv, delete, manual, pause, seconds,
    viridian, within,
};

/// A watch that has seen the present state before `meanwhile`, and its end.
async fn watch_through(
    env: &TestEnv,
    until: &str,
    meanwhile: impl AsyncFnOnce(),
) -> FinishedProgram {
    let mut command = viridian(&["deployment", "watch", REFERENCE, "--until", until]);
    command.env("VIRIDIAN_SERVER", env.server.url());
    let mut process = command.spawn().expect("it can be started");
    let mut stdout = BufReader::new(process.stdout.take().expect("stdout is a pipe"));
    let mut stderr = process.stderr.take().expect("stderr is a pipe");
    let mut seen = FinishedProgram {
        code: None,
        stdout: String::new(),
        stderr: String::new(),
    };
    within("its first line", stdout.read_line(&mut seen.stdout))
        .await
        .expect("a line");
    meanwhile().await;
    let status = within("its end", process.wait()).await.expect("it ends");
    let rest = stdout.read_to_string(&mut seen.stdout);
    rest.await.expect("UTF-8");
    let rest = stderr.read_to_string(&mut seen.stderr);
    rest.await.expect("UTF-8");
    seen.code = status.code();
    seen
}

/// Reports the same of all routes.
async fn report(env: &TestEnv, routes: &[Route], status: RouteStatus, failure: &str) {
    let report = |(number, route): (usize, &Route)| RouteStatusReport {
        route_id: route.id.clone(),
        status: status.into(),
        session_id: format!("session-{}", route.id),
        address: match status {
            RouteStatus::Running => format!("127.0.0.1:{}", 20_000 + number),
            _ => String::new(),
        },
        failure: failure.to_owned(),
    };
    let reports = routes.iter().enumerate().map(report).collect();
    for result in env.api.report(reports).await.expect("it is taken") {
        assert!(result.applied, "{result:?}");
    }
}

fn is_missed(run: &FinishedProgram, reason: &str) {
    assert_eq!(run.code, Some(1), "{run:?}");
    let last = run.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: shop/web is not "), "{run:?}");
    assert!(last.contains(reason), "{reason}: {run:?}");
}

#[tokio::test]
async fn b7_a_rollout_that_fails_ends_the_watch_for_its_gate() {
    let env = TestEnv::start(Engine::Sqlite).await;
    env.serving(2, manual()).await;
    env.scheduler.plan(2, [RouteBehavior::Pending]);
    env.deploy().await;
    let run = watch_through(&env, "awaiting-promotion", async || {
        let green = env.routes_of(&env.get().await.deploying_revision_id).await;
        report(&env, &green, RouteStatus::FailedToStart, "no such image").await;
    })
    .await;
    is_missed(&run, "it was rolled back");
    assert!(run.stderr.contains("no such image"), "{run:?}");
    // It had failed before the next watch, and nothing is on its way.
    let url = env.server.url();
    for until in ["awaiting-promotion", "ready"] {
        let run = deployment(&url, &["watch", REFERENCE, "--until", until]).await;
        is_missed(&run, "it was rolled back");
    }
}

#[tokio::test]
async fn b7_an_abort_ends_a_watch_that_saw_the_rollout() {
    let env = TestEnv::start(Engine::Sqlite).await;
    env.at_gate(1, manual()).await;
    let run = watch_through(&env, "ready", async || {
        let url = env.server.url();
        let run = deployment(&url, &["abort", REFERENCE]).await;
        assert_eq!(run.code, Some(0), "{run:?}");
    })
    .await;
    is_missed(&run, "it was rolled back");
    // Somebody wanted it so: for the next one the deployment is ready.
    let url = env.server.url();
    let run = deployment(&url, &["watch", REFERENCE, "--until", "ready"]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[tokio::test]
async fn b7_ready_needs_all_replicas() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let policy = DeploymentPolicy {
        progress_deadline: seconds(1.0),
        drain_grace: seconds(0.0),
        ..manual()
    };
    env.serving(2, policy).await;
    let routes = env.routes().await;
    env.api.see(&routes, RouteHealthStatus::Unhealthy).await;
    env.until("none ready", |it| it.blue.unwrap_or_default().ready == 0)
        .await;
    let url = env.server.url();
    for arguments in [
        &["watch", REFERENCE, "--until", "ready"][..],
        &["update", REFERENCE, "--drain-grace", "0s", "--wait"],
    ] {
        let run = deployment(&url, arguments).await;
        is_missed(&run, "there was no progress for 1s");
    }
    // They are well again: now it ends well.
    let run = watch_through(&env, "ready", async || {
        env.api.see(&routes, RouteHealthStatus::Healthy).await;
    })
    .await;
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[tokio::test]
async fn b7_a_strategy_without_a_gate_is_said_at_once() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let policy = DeploymentPolicy {
        strategy: Some(Strategy::RollingUpdate(RollingUpdateSpec::default())),
        ..DeploymentPolicy::default()
    };
    env.serving(1, policy).await;
    let url = env.server.url();
    let run = deployment(&url, &["watch", REFERENCE, "--until", "awaiting-promotion"]).await;
    is_missed(&run, "a rolling update has no gate");
}

#[tokio::test]
async fn b7_a_policy_that_promotes_at_once_has_no_gate_either() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(1, manual()).await;
    env.scheduler.plan(2, [RouteBehavior::Pending]);
    env.deploy().await;
    // It would have come to its gate, until somebody takes that away.
    let run = watch_through(&env, "awaiting-promotion", async || {
        let update = ["update", REFERENCE, "--auto-promote"];
        let run = deployment(&url, &update).await;
        assert_eq!(run.code, Some(0), "{run:?}");
    })
    .await;
    is_missed(&run, "its policy promotes without a gate or delay");
    let run = deployment(&url, &["watch", REFERENCE, "--until", "awaiting-promotion"]).await;
    is_missed(&run, "its policy promotes without a gate or delay");
    // A delay is one, and the watch sees it.
    let update = ["update", REFERENCE, "--promote-delay", "10m"];
    let run = deployment(&url, &update).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let green = env.routes_of(&env.get().await.deploying_revision_id).await;
    report(&env, &green, RouteStatus::Running, "").await;
    env.api.see(&green, RouteHealthStatus::Healthy).await;
    let run = deployment(&url, &["watch", REFERENCE, "--until", "awaiting-promotion"]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[tokio::test]
async fn b7_a_promotion_ends_the_watch_for_the_gate() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(1, manual()).await;
    env.scheduler.plan(2, [RouteBehavior::Pending]);
    env.deploy().await;
    // At no replicas a person promotes what never came to its gate.
    let run = watch_through(&env, "awaiting-promotion", async || {
        for arguments in [&["scale", REFERENCE, "0"][..], &["promote", REFERENCE]] {
            let run = deployment(&url, arguments).await;
            assert_eq!(run.code, Some(0), "{run:?}");
        }
    })
    .await;
    is_missed(&run, "it was promoted");
}

#[tokio::test]
async fn b7_a_deletion_ends_every_watch() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let serving: Deployment = env.serving(1, manual()).await;
    let run = watch_through(&env, "awaiting-promotion", async || {
        let deleted = env.api.delete(delete(&serving.id)).await;
        deleted.expect("it is deleted");
    })
    .await;
    is_missed(&run, "it was destroyed");
}

#[tokio::test]
async fn b7_who_has_to_act_is_said_at_the_start() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let at_gate = env.at_gate(1, manual()).await;
    let short = ["--timeout", "300ms"];
    let ready = [&["watch", REFERENCE, "--until", "ready"][..], &short].concat();
    let run = deployment(&url, &ready).await;
    is_missed(&run, "timed out after 300ms");
    let first = run.stderr.lines().next().unwrap_or_default();
    assert_eq!(
        first,
        "note: shop/web waits for someone to promote: viridian deployment promote shop/web"
    );

    // A pause holds a change that waits, which ends with what is to be done.
    let paused = env.api.pause(pause(&at_gate.id)).await;
    paused.expect("it is paused");
    let run = deployment(&url, &["scale", REFERENCE, "2", "--wait"]).await;
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(
        run.stderr.contains("viridian deployment resume shop/web"),
        "{run:?}"
    );
    let run = deployment(&url, &ready).await;
    assert!(
        run.stderr.starts_with("note: shop/web is paused"),
        "{run:?}"
    );
}

#[tokio::test]
async fn b3_a_wait_that_ends_at_a_gate_says_what_serves() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(1, manual()).await;
    let run = deployment(&url, &["activate", REFERENCE, "--image", "web:2", "--wait"]).await;
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(
        run.stderr
            .contains("revision 1 (registry.test/web:1) serves until then"),
        "{run:?}"
    );
    assert!(run.stdout.contains("AWAITING_PROMOTION"), "{run:?}");
}

#[tokio::test]
async fn b7_a_deployment_without_replicas_waits_for_them() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.at_gate(1, manual()).await;
    let run = deployment(&url, &["scale", REFERENCE, "0", "--wait"]).await;
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.contains("has no replicas"), "{run:?}");
    assert!(
        run.stderr.contains("viridian deployment scale shop/web"),
        "{run:?}"
    );
}
