//! The ways back: where they lead, and what they act on.

use viridian_proto::v1::{BlueGreenSpec, RouteHealthStatus};

use super::{deployment, json, verbs::succeeded};
use crate::harness::{
    Engine, REFERENCE, RouteBehavior, TestEnv, active, blue_green, ids, manual, seconds,
};

/// The number of the revision that serves.
async fn current(env: &TestEnv) -> i64 {
    env.get().await.current_revision_number
}

#[tokio::test]
async fn a9_a_roll_back_uses_what_is_kept_and_starts_only_the_rest() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let policy = blue_green(BlueGreenSpec {
        scale_down_delay: seconds(300.0),
        ..BlueGreenSpec::default()
    });
    let first = env.at_gate(2, policy).await.current_revision_id;
    succeeded(&url, &["promote", REFERENCE]).await;
    let kept = env.routes_of(&first).await;
    let (good, bad) = (&kept[..1], &kept[1..]);
    env.api.see(bad, RouteHealthStatus::Unhealthy).await;

    let dry = succeeded(&url, &["rollback", REFERENCE, "--dry-run"]).await;
    let planned = "Would deploy revision 1 again: 1 of its routes was retained.";
    assert!(dry.starts_with(planned), "{dry}");
    let back = json(&url, &["rollback", REFERENCE, "--wait", "-o", "json"]).await;
    assert_eq!(back["keptRouteIds"][0], good[0].id, "{back}");
    assert_eq!(back["keptRouteIds"].as_array().map(Vec::len), Some(1));
    assert_eq!(current(&env).await, 1);
    let all = env.routes_of(&first).await;
    let serving = ids(&active(&all));
    assert_eq!((all.len(), serving.len()), (3, 2), "one was started");
    assert!(serving.contains(&good[0].id), "it served again: {all:?}");
    assert!(!serving.contains(&bad[0].id), "{all:?}");
}

#[tokio::test]
async fn b2_each_roll_back_leads_further_back() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let policy = blue_green(BlueGreenSpec {
        auto_promote: true,
        scale_down_delay: seconds(300.0),
        ..BlueGreenSpec::default()
    });
    env.serving(1, policy).await;
    for image in ["web:2", "web:3"] {
        succeeded(&url, &["activate", REFERENCE, "--image", image, "--wait"]).await;
    }
    assert_eq!(current(&env).await, 3);
    for expected in [2, 1] {
        let back = json(&url, &["rollback", REFERENCE, "--wait", "-o", "json"]).await;
        assert_eq!(back["revisionNumber"], expected.to_string(), "{back}");
        assert_eq!(current(&env).await, expected);
    }
    let nothing = deployment(&url, &["rollback", REFERENCE]).await;
    assert_eq!(nothing.code, Some(64 + 9), "{nothing:?}");
    assert_eq!(current(&env).await, 1);
}

#[tokio::test]
async fn b2_a_script_that_rolls_back_leaves_what_did_not_fail() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(1, manual()).await;
    env.bring_up().await;
    succeeded(&url, &["promote", REFERENCE]).await;
    env.scheduler.plan(3, [RouteBehavior::FailsToStart]);
    let failed = deployment(&url, &["activate", REFERENCE, "--image", "web:3", "--wait"]).await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    let back = deployment(&url, &["rollback", REFERENCE]).await;
    assert_eq!(back.code, Some(64 + 9), "{back:?}");
    assert!(back.stderr.contains("ALREADY_ROLLED_BACK"), "{back:?}");
    assert_eq!(current(&env).await, 2);
    // Named, it is what somebody wants.
    succeeded(&url, &["rollback", REFERENCE, "--revision", "1", "--wait"]).await;
    assert_eq!(current(&env).await, 1);
}

#[tokio::test]
async fn b2_a_way_back_is_of_what_was_seen() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    // What is being deployed, or what serves, may be expected of a way back.
    env.at_gate(1, manual()).await;
    succeeded(&url, &["rollback", REFERENCE, "--expected-revision", "2"]).await;
    env.bring_up().await;
    for verb in [
        &["abort", REFERENCE, "--expected-revision", "1"][..],
        &["rollback", REFERENCE, "--expected-revision", "2"],
    ] {
        let before = env.get().await;
        let refused = deployment(&url, verb).await;
        assert_eq!(refused.code, Some(64 + 10), "{verb:?}: {refused:?}");
        assert_eq!(env.get().await, before, "{verb:?}");
    }
    succeeded(&url, &["promote", REFERENCE]).await;
    let refused = deployment(&url, &["rollback", REFERENCE, "--expected-revision", "1"]).await;
    assert_eq!(refused.code, Some(64 + 10), "{refused:?}");
    assert_eq!(current(&env).await, 3);
}

#[tokio::test]
async fn b3_the_way_back_has_no_gate_and_says_what_serves_until_then() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let policy = blue_green(BlueGreenSpec {
        // Nothing is retained, so that the revision has to be deployed again.
        scale_down_delay: seconds(0.0),
        ..BlueGreenSpec::default()
    });
    env.at_gate(1, policy).await;
    succeeded(&url, &["promote", REFERENCE, "--wait"]).await;
    let seen = env.get().await;
    let dry = succeeded(&url, &["rollback", REFERENCE, "--dry-run"]).await;
    assert!(dry.starts_with("Would deploy revision 1 again"), "{dry}");
    assert_eq!(env.get().await.generation, seen.generation);

    let back = deployment(&url, &["rollback", REFERENCE, "--wait"]).await;
    assert_eq!(back.code, Some(0), "{back:?}");
    assert!(
        back.stdout
            .contains("Revision 2 serves until revision 1 is ready."),
        "{back:?}"
    );
    assert_eq!(current(&env).await, 1);
}

#[tokio::test]
async fn b3_a_gate_that_is_kept_ends_the_wait_with_its_own_code() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.at_gate(1, manual()).await;
    succeeded(&url, &["promote", REFERENCE, "--wait"]).await;
    let back = deployment(&url, &["rollback", REFERENCE, "--gated", "--wait"]).await;
    assert_eq!(back.code, Some(3), "{back:?}");
    assert!(back.stderr.contains("serves until then"), "{back:?}");
    assert_eq!(current(&env).await, 2);
    // The bad version still serves, and the next verb ends that.
    succeeded(&url, &["promote", REFERENCE]).await;
    assert_eq!(current(&env).await, 1);
}
