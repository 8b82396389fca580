//! An operator sees what is so: how well a deployment serves, what happened to its
//! replicas, and what a deletion waits for; in every place that shows it.

use rstest::rstest;
use rstest_reuse::apply;
use viridian_proto::v1::{
    Deployment, DeploymentAvailability, DeploymentLifecycle, HistoryEntry, HistoryResult,
    ListDeploymentsRequest, RouteHealthStatus, RouteStatus, RouteStatusReport,
};

use crate::{
    engines::both_engines,
    harness::{
        Engine, METRICS, REFERENCE, RouteBehavior, Server, TestEnv, delete, eventually, finish,
        manual, viridian,
    },
};

/// What `viridian` prints.
async fn says(env: &TestEnv, arguments: &[&str]) -> String {
    let mut command = viridian(arguments);
    command.env("VIRIDIAN_SERVER", env.server.url());
    let run = finish(command).await;
    assert_eq!(run.code, Some(0), "{arguments:?}: {run:?}");
    run.stdout
}

async fn listed(env: &TestEnv, availability: DeploymentAvailability) -> Vec<Deployment> {
    let request = ListDeploymentsRequest {
        availabilities: vec![availability.into()],
        ..ListDeploymentsRequest::default()
    };
    let reply = env.api.deployments().list_deployments(request).await;
    reply.expect("a list").into_inner().deployments
}

/// Reports that the replica of a route ended.
async fn ends(env: &TestEnv, route_id: &str, failure: &str) {
    let report = RouteStatusReport {
        route_id: route_id.to_owned(),
        status: RouteStatus::Terminated.into(),
        failure: failure.to_owned(),
        ..RouteStatusReport::default()
    };
    let results = env.api.report(vec![report]).await.expect("taken");
    assert!(results[0].applied, "{results:?}");
}

fn of_phase<'a>(history: &'a [HistoryEntry], phase: &str) -> Vec<&'a HistoryEntry> {
    history.iter().filter(|it| it.phase == phase).collect()
}

#[apply(both_engines)]
#[tokio::test]
async fn c1_what_is_ready_and_broken_is_said_to_be(#[case] engine: Engine) {
    use DeploymentAvailability::{Available, Unavailable};
    let env = TestEnv::on(Server::start_with(engine, &METRICS).await).await;
    let serving = env.serving(2, manual()).await;
    assert_eq!(serving.availability(), Available);
    assert!(listed(&env, Unavailable).await.is_empty());
    let routes = env.routes().await;
    env.api.see(&routes, RouteHealthStatus::Unhealthy).await;

    let broken = env.get().await;
    assert_eq!(broken.lifecycle(), DeploymentLifecycle::Ready);
    assert_eq!(broken.availability(), Unavailable);
    assert!(broken.sequence > serving.sequence);
    assert_eq!(listed(&env, Unavailable).await, [broken]);
    for command in [
        &["deployment", "get", REFERENCE][..],
        &["deployment", "list"],
        &["top", "--once"],
    ] {
        let shown = says(&env, command).await;
        assert!(
            shown.contains("READY, UNAVAILABLE"),
            "{command:?}:\n{shown}"
        );
    }
    eventually("it is counted", async || {
        let place = r#"lifecycle="READY",sub_step="",paused="false""#;
        let metrics = env.server.metrics().await;
        let count = |availability| {
            let labels = format!(r#"{place},availability="{availability}""#);
            metrics.value(&format!("viridian_deployments{{{labels}}}"))
        };
        let unhealthy = r#"viridian_routes{status="RUNNING",health="UNHEALTHY",traffic="ACTIVE"}"#;
        let all = (
            count("UNAVAILABLE"),
            count("AVAILABLE"),
            metrics.value(unhealthy),
        );
        (all == (1.0, 0.0, 2.0)).then_some(())
    })
    .await;

    env.api.see(&routes[..1], RouteHealthStatus::Healthy).await;
    let shown = says(&env, &["deployment", "list"]).await;
    assert!(shown.contains("READY, DEGRADED"), "{shown}");
    env.api.see(&routes, RouteHealthStatus::Healthy).await;
    let shown = says(&env, &["top", "--once"]).await;
    assert!(!shown.contains(REFERENCE), "{shown}");
}

/// Blue fails while green waits at its gate: the rollout looks well, and nothing serves.
#[apply(both_engines)]
#[tokio::test]
async fn c1_a_blue_that_dies_during_a_rollout_is_seen(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let gate = env.at_gate(1, manual()).await;
    let blue = env.routes_of(&gate.current_revision_id).await;
    env.api.see(&blue, RouteHealthStatus::Degraded).await;
    let broken = env.get().await;
    assert_eq!(broken.availability(), DeploymentAvailability::Unavailable);
    let shown = says(&env, &["top", "--once"]).await;
    assert!(shown.contains("UNAVAILABLE"), "{shown}");
    env.promote().await;
    let well = env.get().await;
    assert_eq!(well.availability(), DeploymentAvailability::Available);
}

#[tokio::test]
async fn c1_metrics_are_by_project_where_that_is_wanted() {
    let flags = [&METRICS[..], &["--metrics-project-label"]].concat();
    let env = TestEnv::on(Server::start_with(Engine::Sqlite, &flags).await).await;
    env.serving(1, manual()).await;
    let of_project = r#"lifecycle="READY",sub_step="",paused="false",availability="AVAILABLE""#;
    eventually("it is counted", async || {
        let metrics = env.server.metrics().await;
        let series = format!(r#"viridian_deployments{{{of_project},project="shop"}}"#);
        (metrics.value(&series) == 1.0).then_some(())
    })
    .await;
    let metrics = env.server.metrics().await;
    // Begun at 0 with the project, so that the first one is an increase.
    let rolled_back = r#"viridian_rollouts_total{outcome="rolled_back",project="shop"} 0"#;
    assert!(metrics.text().contains(rolled_back), "{}", metrics.text());
    for name in [
        "viridian_deployments{",
        "viridian_routes{",
        "viridian_rollouts_total{",
    ] {
        let mut series = metrics.text().lines().filter(|line| line.starts_with(name));
        assert!(series.all(|it| it.contains(r#"project="shop""#)), "{name}");
    }
}

#[apply(both_engines)]
#[tokio::test]
async fn c4_a_killed_replica_is_in_the_history_with_its_reason(#[case] engine: Engine) {
    let env = TestEnv::on(Server::start_with(engine, &METRICS).await).await;
    env.serving(2, manual()).await;
    let routes = env.routes().await;
    ends(&env, &routes[0].id, "killed by signal 9").await;
    let history = eventually("it is replaced", async || {
        let history = env.api.history(REFERENCE).await;
        (!of_phase(&history, "ROUTE_REPLACED").is_empty()).then_some(history)
    })
    .await;
    let [failed] = of_phase(&history, "ROUTE_FAILED")[..] else {
        panic!("{history:#?}");
    };
    assert_eq!(failed.result(), HistoryResult::Failed);
    assert_eq!((failed.count, &*failed.failure), (1, "killed by signal 9"));
    assert_eq!(failed.revision_id, env.get().await.current_revision_id);
    let [replaced] = of_phase(&history, "ROUTE_REPLACED")[..] else {
        panic!("{history:#?}");
    };
    assert_eq!((replaced.count, replaced.created), (1, 1));
    // Nothing before it is told once more.
    let repeated = history.iter().filter(|it| it.attempts > 1);
    let done = repeated.filter(|it| it.result() != HistoryResult::Waiting);
    assert_eq!(done.count(), 0, "{history:#?}");
    for pair in history.windows(2) {
        let (new, old) = (&pair[0], &pair[1]);
        assert_eq!(new.number, old.number + 1);
        assert_eq!(new.from_lifecycle, old.to_lifecycle, "{new:?}");
    }
    let shown = says(&env, &["deployment", "history", REFERENCE]).await;
    assert!(shown.contains("ROUTE_FAILED"), "{shown}");
    assert!(shown.contains("killed by signal 9"), "{shown}");
    let metrics = env.server.metrics().await;
    let failures = r#"viridian_routes_failed_total{revision="current"}"#;
    assert_eq!(metrics.value(failures), 1.0, "{}", metrics.text());
}

/// Green that cannot be started is told before the roll-back, and once.
#[apply(both_engines)]
#[tokio::test]
async fn c4_a_rollout_that_fails_is_told_in_its_order(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let serving = env.serving(2, manual()).await;
    env.scheduler.plan(2, [RouteBehavior::FailsToStart]);
    env.deploy().await;
    env.until("the roll-back", |it| {
        it.lifecycle() == DeploymentLifecycle::Ready && it.sequence > serving.sequence + 1
    })
    .await;
    let history = env.api.history(REFERENCE).await;
    let phases: Vec<_> = history.iter().rev().map(|it| it.phase.as_str()).collect();
    let at = |phase: &str| phases.iter().position(|it| *it == phase);
    assert!(at("ACTIVATE") < at("ROUTE_FAILED"), "{phases:?}");
    assert!(at("ROUTE_FAILED") < at("ROLL_BACK"), "{phases:?}");
    for entry in of_phase(&history, "ROLL_BACK") {
        assert_eq!(
            (entry.result(), entry.attempts),
            (HistoryResult::RolledBack, 1)
        );
    }
    let failed = of_phase(&history, "ROUTE_FAILED");
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert!(failed[0].count >= 2, "{failed:#?}");
}

#[apply(both_engines)]
#[tokio::test]
async fn c5_a_deletion_says_what_it_waits_for_everywhere(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(2, manual()).await;
    let routes = env.routes().await;
    // Nobody stops anything any more.
    let TestEnv {
        scheduler,
        api,
        server,
    } = env;
    drop(scheduler);
    let reply = api.deployments().delete_deployment(delete(REFERENCE)).await;
    let deleted = reply.expect("deleted").into_inner().deployment.expect("it");
    let sentence = "2 routes are still ending";
    assert_eq!(deleted.blockers[0].message, sentence);
    assert_eq!(
        deleted.blockers[0].code().as_str_name(),
        "BLOCKER_CODE_TERMINATING"
    );
    let url = server.url();
    for command in [
        &["deployment", "get", &deleted.id][..],
        &["deployment", "list"],
        &["deployment", "history", &deleted.id],
        &["top", "--once"],
    ] {
        let mut program = viridian(command);
        program.env("VIRIDIAN_SERVER", &url);
        let run = finish(program).await;
        assert!(run.stdout.contains(sentence), "{command:?}: {run:?}");
    }
    let mut watch = viridian(&["deployment", "watch", &deleted.id, "--timeout", "1s"]);
    watch.env("VIRIDIAN_SERVER", &url);
    let run = finish(watch).await;
    assert!(run.stdout.contains(sentence), "{run:?}");
    let report = RouteStatusReport {
        route_id: routes[0].id.clone(),
        status: RouteStatus::Terminated.into(),
        ..RouteStatusReport::default()
    };
    api.report(vec![report]).await.expect("taken");
    let now = api.get(&deleted.id).await;
    assert_eq!(now.blockers[0].message, "1 route is still ending");
}
