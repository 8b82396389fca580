//! What an operator sees where a decision would rest on too little: a first revision that
//! serves in part, a target of zero, and an attempt after one that failed.

use serde_json::Value;
use viridian_proto::v1::{
    BlueGreenSpec, DeploymentLifecycle, DeploymentPolicy, RollingUpdateSpec, RouteHealthStatus,
    deployment_policy::Strategy,
};

use super::{deployment, json, verbs::succeeded};
use crate::harness::{
    Engine, FinishedProgram, REFERENCE, RouteBehavior, TestEnv, blue_green, creation, manual,
    seconds,
};

const HEALTHY: RouteBehavior = RouteBehavior::Runs(RouteHealthStatus::Healthy);
const UNHEALTHY: RouteBehavior = RouteBehavior::Runs(RouteHealthStatus::Unhealthy);

fn rolling(progress_deadline: f64) -> DeploymentPolicy {
    DeploymentPolicy {
        strategy: Some(Strategy::RollingUpdate(RollingUpdateSpec::default())),
        progress_deadline: seconds(progress_deadline),
        ..DeploymentPolicy::default()
    }
}

/// The numbers of the revisions in the traffic table, one for each endpoint.
async fn serving(url: &str) -> Vec<String> {
    let table = json(url, &["traffic", REFERENCE, "-o", "json"]).await;
    let endpoints = table["endpoints"].as_array().expect("a list");
    let number = |_: &Value| {
        table["revisionNumber"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    endpoints.iter().map(number).collect()
}

async fn status(url: &str) -> FinishedProgram {
    deployment(url, &["status", REFERENCE]).await
}

#[tokio::test]
async fn a2_a_fix_over_a_first_revision_that_serves_in_part_takes_nothing_away() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let behaviors = [HEALTHY, HEALTHY, RouteBehavior::Pending];
    env.scheduler.plan(1, behaviors);
    let created = env.api.create(creation(3, manual())).await;
    created.expect("it is created");
    env.until("two ready", |it| it.blue.unwrap_or_default().ready == 2)
        .await;
    let partly = status(&url).await;
    assert_eq!(partly.code, Some(1), "{partly:?}");
    assert!(partly.stdout.contains("revision 1 2/3"), "{partly:?}");

    // The strategy applies: what serves stays, and somebody has to promote.
    let fix = ["activate", REFERENCE, "--image", "web:2", "--wait"];
    let gate = deployment(&url, &fix).await;
    assert_eq!(gate.code, Some(3), "{gate:?}");
    let serves = "revision 1 (registry.test/web:1) serves until then";
    assert!(gate.stderr.contains(serves), "{gate:?}");
    assert_eq!(serving(&url).await, ["1", "1"]);

    // There is something to go back to, although the first revision never came up.
    succeeded(&url, &["rollback", REFERENCE]).await;
    let back = env
        .until("PENDING", |it| {
            it.lifecycle() == DeploymentLifecycle::Pending
        })
        .await;
    assert_eq!(back.current_revision_number, 1);
    assert_eq!(serving(&url).await, ["1", "1"]);
}

#[tokio::test]
async fn a2_where_nothing_serves_a_fix_needs_no_promotion() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.scheduler.plan(1, [RouteBehavior::Pending]);
    let created = env.api.create(creation(2, manual())).await;
    created.expect("it is created");
    let fix = ["activate", REFERENCE, "--image", "web:2", "--wait"];
    let fixed = deployment(&url, &fix).await;
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    assert_eq!(serving(&url).await, ["2", "2"]);
    assert_eq!(status(&url).await.code, Some(0));
}

#[tokio::test]
async fn a4_zero_replicas_promote_nothing_and_say_so() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(2, rolling(600.0)).await;
    env.scheduler.plan(2, [UNHEALTHY]);
    succeeded(&url, &["activate", REFERENCE, "--image", "web:2"]).await;
    let none = deployment(&url, &["scale", REFERENCE, "0", "--wait"]).await;
    assert_eq!(none.code, Some(3), "{none:?}");
    assert!(none.stderr.contains("has no replicas"), "{none:?}");
    let shown = succeeded(&url, &["get", REFERENCE]).await;
    assert!(shown.contains("NO_REPLICAS"), "{shown}");
    let waits = status(&url).await;
    assert_eq!(waits.code, Some(3), "{waits:?}");
    assert!(
        waits
            .stdout
            .ends_with("; run: viridian deployment scale shop/web REPLICAS\n"),
        "{waits:?}"
    );

    // With replicas again the new revision is still on trial, and there is a way back.
    succeeded(&url, &["scale", REFERENCE, "2"]).await;
    let trial = env
        .until("on trial", |it| it.green.unwrap_or_default().unhealthy > 0)
        .await;
    assert_eq!(trial.lifecycle(), DeploymentLifecycle::Deploying);
    assert_eq!(trial.current_revision_number, 1);
    succeeded(&url, &["rollback", REFERENCE, "--wait"]).await;
    assert_eq!(env.get().await.current_revision_number, 1);
    assert_eq!(serving(&url).await, ["1", "1"]);
}

#[tokio::test]
async fn a4_at_zero_replicas_a_person_may_promote() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let policy = blue_green(BlueGreenSpec {
        auto_promote: true,
        ..BlueGreenSpec::default()
    });
    env.serving(1, policy).await;
    env.scheduler.plan(2, [RouteBehavior::Pending]);
    succeeded(&url, &["activate", REFERENCE, "--image", "web:2"]).await;
    let none = deployment(&url, &["scale", REFERENCE, "0", "--wait"]).await;
    assert_eq!(none.code, Some(3), "{none:?}");
    assert_eq!(env.get().await.current_revision_number, 1);
    succeeded(&url, &["promote", REFERENCE]).await;
    assert_eq!(env.get().await.current_revision_number, 2);
}

#[tokio::test]
async fn a8_an_attempt_does_not_wait_for_the_failures_of_the_one_before() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    // Shorter than the back-off after the failures that fit into it.
    env.serving(2, rolling(3.0)).await;
    env.scheduler.plan(2, [RouteBehavior::FailsToStart]);
    let first = ["activate", REFERENCE, "--image", "web:2", "--wait"];
    let failed = deployment(&url, &first).await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.stderr.contains("it was rolled back"), "{failed:?}");
    assert!(failed.stderr.contains("no such image"), "{failed:?}");
    let back = status(&url).await;
    assert_eq!(back.code, Some(1), "{back:?}");
    assert!(
        back.stdout.contains("revision 2 was rolled back"),
        "{back:?}"
    );

    // The cause is mended, and the same revision has all of its time.
    env.scheduler.plan(2, [HEALTHY]);
    let again = ["activate", REFERENCE, "--revision", "2", "--wait"];
    let mended = deployment(&url, &again).await;
    assert_eq!(mended.code, Some(0), "{mended:?}");
    assert_eq!(serving(&url).await, ["2", "2"]);
    assert_eq!(status(&url).await.code, Some(0));
}

#[tokio::test]
async fn a8_a_fix_starts_at_once_while_the_broken_revision_backs_off() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.scheduler.plan(1, [RouteBehavior::FailsToStart]);
    let created = env.api.create(creation(2, manual())).await;
    created.expect("it is created");
    let backs_off = "BACK_OFF";
    env.until(backs_off, |it| {
        it.blockers
            .iter()
            .any(|it| it.code().as_str_name().ends_with(backs_off))
    })
    .await;
    let shown = succeeded(&url, &["get", REFERENCE]).await;
    assert!(shown.contains(backs_off), "{shown}");
    assert!(shown.contains("the next attempt is at 20"), "{shown}");
    // In the reply to the call itself: no clock had to run out.
    let fix = ["activate", REFERENCE, "--image", "web:2", "-o", "json"];
    let fixed = json(&url, &fix).await;
    assert_eq!(fixed["blue"]["provisioning"], 2, "{fixed}");
    env.ready().await;
}

#[tokio::test]
async fn a11_a_pause_holds_a_rollout_and_not_what_serves() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(1, manual()).await;
    succeeded(&url, &["pause", REFERENCE]).await;
    let scaled = deployment(&url, &["scale", REFERENCE, "3", "--wait"]).await;
    assert_eq!(scaled.code, Some(0), "{scaled:?}");
    assert_eq!(serving(&url).await, ["1", "1", "1"]);
    let well = status(&url).await;
    assert_eq!(well.code, Some(0), "{well:?}");
    // A rollout is held, and both say what ends that.
    let held = deployment(&url, &["activate", REFERENCE, "--image", "web:2", "--wait"]).await;
    assert_eq!(held.code, Some(3), "{held:?}");
    let waits = status(&url).await;
    assert_eq!(waits.code, Some(3), "{waits:?}");
    for said in [held.stderr, waits.stdout] {
        assert!(
            said.contains("viridian deployment resume shop/web"),
            "{said}"
        );
    }
}
