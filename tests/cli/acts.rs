//! A verb does what it says, to what its caller saw.

use viridian_proto::v1::{
    BlueGreenSpec, DeploymentLifecycle, DeploymentPolicy, RevisionSpec, RollingUpdateSpec,
    deployment_policy::Strategy,
};

use super::{deployment, json, verbs::succeeded};
use crate::harness::{
    Engine, FinishedProgram, GROUP, REFERENCE, TestEnv, blue_green, manual, seconds,
};

/// A policy that has something to lose.
fn careful() -> DeploymentPolicy {
    blue_green(BlueGreenSpec {
        min_ready: seconds(0.01),
        scale_down_delay: seconds(300.0),
        ..BlueGreenSpec::default()
    })
}

#[tokio::test]
async fn b4_a_flag_of_another_strategy_is_refused() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let before = env.serving(1, careful()).await;
    for flags in [
        &["--max-unavailable", "1"][..],
        &["--max-surge", "50%", "--drain-grace", "1s"],
        &["--max-unavailable", "1", "--dry-run"],
    ] {
        let run = deployment(&url, &[&["update", REFERENCE], flags].concat()).await;
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains("shop/web is blue-green"), "{run:?}");
        assert!(run.stderr.contains("--strategy rolling"), "{run:?}");
    }
    assert_eq!(env.get().await, before, "a refused call changed it");

    // Named, it changes; the other way round the same holds.
    let named = ["--strategy", "rolling", "--max-unavailable", "1"];
    succeeded(&url, &[&["update", REFERENCE][..], &named].concat()).await;
    let policy = env.get().await.policy.expect("a policy");
    assert!(
        matches!(policy.strategy, Some(Strategy::RollingUpdate(_))),
        "{policy:?}"
    );
    let run = deployment(&url, &["update", REFERENCE, "--auto-promote"]).await;
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("shop/web is rolling"), "{run:?}");
    // Of its own strategy a flag needs no name.
    succeeded(&url, &["update", REFERENCE, "--max-surge", "2"]).await;
}

/// A deployment with settings of its own.
async fn with_settings(env: &TestEnv, url: &str) {
    let create = [
        "create",
        REFERENCE,
        "--resource-group",
        GROUP,
        "--env",
        "DB=prod",
        "--env",
        "DEBUG=1",
        "--health-path",
        "/healthz",
        "--health-interval",
        "3s",
        "--image",
        "web:1",
        "--wait",
    ];
    succeeded(url, &create).await;
    env.ready().await;
}

async fn spec_of(env: &TestEnv, revision: &str) -> RevisionSpec {
    let revision = env.api.revision(REFERENCE, revision).await;
    revision.expect("it is there").spec.expect("a spec")
}

#[tokio::test]
async fn b5_a_new_revision_keeps_what_is_not_named() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    with_settings(&env, &url).await;
    let first = spec_of(&env, "1").await;
    succeeded(&url, &["activate", REFERENCE, "--image", "web:2"]).await;
    let expected = RevisionSpec {
        image: "web:2".to_owned(),
        ..first.clone()
    };
    assert_eq!(spec_of(&env, "2").await, expected);

    // A setting alone, of what serves: the rollout is still another one's.
    let environ = ["--env", "DB=test", "--remove-env", "DEBUG", "--supersede"];
    succeeded(&url, &[&["activate", REFERENCE][..], &environ].concat()).await;
    let third = spec_of(&env, "3").await;
    assert_eq!(third.image, "web:1");
    assert_eq!(third.environ.len(), 1, "{third:?}");
    assert_eq!(third.environ.get("DB").map(String::as_str), Some("test"));
    assert_eq!(third.health_check, first.health_check);

    let replace = ["--image", "web:3", "--replace", "--supersede"];
    succeeded(&url, &[&["activate", REFERENCE][..], &replace].concat()).await;
    let fourth = spec_of(&env, "4").await;
    assert!(fourth.environ.is_empty(), "{fourth:?}");
    let path = fourth.health_check.map(|it| it.path);
    assert_eq!(path.as_deref(), Some("/"));
}

#[tokio::test]
async fn b5_without_a_revision_there_is_nothing_to_keep() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let mut idle = crate::harness::creation(1, manual());
    idle.initial_revision = None;
    env.api.create(idle).await.expect("it is created");
    let run = deployment(&url, &["activate", REFERENCE, "--env", "A=1"]).await;
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("--image"), "{run:?}");
    succeeded(&url, &["activate", REFERENCE, "--image", "web:1"]).await;
}

#[tokio::test]
async fn b6_what_serves_or_is_on_its_way_is_nothing_to_do() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let serving = env.serving(1, manual()).await;
    let same = ["activate", REFERENCE, "--image", "registry.test/web:1"];
    let run = succeeded(&url, &same).await;
    assert!(run.starts_with("Nothing to do: "), "{run}");
    assert_eq!(env.get().await, serving);

    let next = ["activate", REFERENCE, "--image", "web:2"];
    succeeded(&url, &next).await;
    let on_its_way = env.get().await.deploying_revision_id;
    let run = succeeded(&url, &next).await;
    assert!(run.starts_with("Nothing to do: "), "{run}");
    assert_eq!(env.get().await.deploying_revision_id, on_its_way);

    // What serves, while another is on its way: refused, or the other is given up.
    let refused = deployment(&url, &same).await;
    assert_eq!(refused.code, Some(64 + 10), "{refused:?}");
    let supersede = [&same[..], &["--supersede"]].concat();
    let run = succeeded(&url, &supersede).await;
    assert!(run.contains("the rollout was given up"), "{run}");
    let after = env.ready().await;
    assert_eq!(after.current_revision_id, serving.current_revision_id);
    assert_eq!(env.api.revision(REFERENCE, "3").await.ok(), None);

    // A new revision of the same has to be asked for.
    succeeded(&url, &[&same[..], &["--replace"]].concat()).await;
    assert_eq!(env.get().await.lifecycle(), DeploymentLifecycle::Deploying);
}

#[tokio::test]
async fn b6_so_is_a_revision_by_its_number() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let gate = env.at_gate(1, manual()).await;
    let on_its_way = ["activate", REFERENCE, "--revision", "2"];
    let run = succeeded(&url, &on_its_way).await;
    assert!(run.starts_with("Nothing to do: "), "{run}");
    let waits = deployment(&url, &[&on_its_way[..], &["--wait"]].concat()).await;
    assert_eq!(waits.code, Some(3), "{waits:?}");
    assert_eq!(env.get().await, gate);

    let serves = ["activate", REFERENCE, "--revision", "1"];
    let refused = deployment(&url, &serves).await;
    assert_eq!(refused.code, Some(64 + 9), "{refused:?}");
    let supersede = [&serves[..], &["--supersede", "--wait"]].concat();
    let run = succeeded(&url, &supersede).await;
    assert!(run.contains("the rollout was given up"), "{run}");
    let after = env.ready().await;
    assert_eq!(after.current_revision_id, gate.current_revision_id);
}

#[tokio::test]
async fn b6_superseding_takes_a_new_revision() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let gate = env.at_gate(1, manual()).await;
    let refused = deployment(&url, &["activate", REFERENCE, "--image", "web:4"]).await;
    assert_eq!(refused.code, Some(64 + 10), "{refused:?}");
    succeeded(
        &url,
        &["activate", REFERENCE, "--image", "web:4", "--supersede"],
    )
    .await;
    let now = env.get().await;
    assert_ne!(now.deploying_revision_id, gate.deploying_revision_id);
    assert_eq!(
        spec_of(&env, &now.deploying_revision_id).await.image,
        "web:4"
    );
}

#[tokio::test]
async fn b6_a_roll_back_in_a_rollout_gives_it_up() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let gate = env.at_gate(2, manual()).await;
    let other = deployment(&url, &["rollback", REFERENCE, "--revision", "2"]).await;
    assert_eq!(other.code, Some(64 + 10), "{other:?}");
    let back = succeeded(&url, &["rollback", REFERENCE, "--wait"]).await;
    assert!(back.contains("The rollout was given up"), "{back}");
    let after = env.ready().await;
    assert_eq!(after.current_revision_id, gate.current_revision_id);

    // By its number, too; a repeat of the call finds nothing to give up.
    env.bring_up().await;
    let named = ["rollback", REFERENCE, "--revision", "1", "-o", "json"];
    assert_eq!(json(&url, &named).await["instant"], true);
    let again = env.ready().await;
    assert_eq!(again.current_revision_id, gate.current_revision_id);
    assert_eq!(deployment(&url, &named).await.code, Some(64 + 9));
}

#[tokio::test]
async fn replicas_are_scaled_by_a_verb() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(1, manual()).await;
    let scaled = json(&url, &["scale", REFERENCE, "3", "--wait", "-o", "json"]).await;
    assert_eq!(scaled["targetReplicas"], 3);
    assert_eq!(scaled["blue"]["ready"], 3);
    let flag = ["scale", REFERENCE, "--replicas", "0", "-o", "json"];
    assert_eq!(json(&url, &flag).await["targetReplicas"], 0);
    for many in ["1001", "-1"] {
        let run: FinishedProgram =
            deployment(&url, &["scale", REFERENCE, "--replicas", many]).await;
        assert!(matches!(run.code, Some(2 | 67)), "{run:?}");
    }
}

#[tokio::test]
async fn the_traffic_table_is_shown() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let policy = DeploymentPolicy {
        strategy: Some(Strategy::RollingUpdate(RollingUpdateSpec::default())),
        ..DeploymentPolicy::default()
    };
    env.serving(2, policy).await;
    let table = succeeded(&url, &["traffic", REFERENCE]).await;
    assert!(table.contains("2 endpoints"), "{table}");
    assert_eq!(table.matches("127.0.0.1:").count(), 2, "{table}");
    let table = json(&url, &["traffic", REFERENCE, "-o", "json"]).await;
    assert_eq!(table["endpoints"].as_array().map(Vec::len), Some(2));
}
