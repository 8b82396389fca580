//! Every verb does what it says, and shows it.

use rstest::rstest;
use rstest_reuse::apply;
use serde_json::Value;
use viridian_proto::v1::{BlueGreenSpec, Deployment, DeploymentLifecycle};

use super::{deployment, json};
use crate::{
    engines::both_engines,
    harness::{Engine, FinishedProgram, GROUP, REFERENCE, TestEnv, blue_green, manual, seconds},
};

#[apply(both_engines)]
#[tokio::test]
async fn a_life_from_creation_to_its_end(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let url = env.server.url();
    let ok = async |arguments: &[&str]| succeeded(&url, arguments).await;
    ok(&[
        "create",
        REFERENCE,
        "--replicas",
        "2",
        "--image",
        "web:1",
        "--resource-group",
        GROUP,
        "--label",
        "tier=web",
        "--scale-down-delay",
        "5m",
        "--drain-grace",
        "0s",
        "--wait",
        "--reason",
        "the first",
    ])
    .await;

    let more = [
        "update",
        REFERENCE,
        "--replicas",
        "3",
        "--label",
        "a=b",
        "--wait",
    ];
    ok(&more).await;
    let now = env.get().await;
    assert_eq!(now.blue.unwrap_or_default().ready, 3);
    assert_eq!(now.labels.len(), 2, "{now:?}");
    ok(&[
        "update",
        REFERENCE,
        "--remove-label",
        "a",
        "--min-ready",
        "0s",
    ])
    .await;
    assert_eq!(env.get().await.labels.len(), 1);

    let gate = ok(&["activate", REFERENCE, "--image", "web:2", "--wait"]).await;
    assert!(
        gate.contains("Next        viridian deployment promote shop/web"),
        "{gate}"
    );
    let dry = ok(&["promote", REFERENCE, "--dry-run"]).await;
    assert!(
        dry.starts_with("Would give traffic to 3 routes, and take it from 3 routes."),
        "{dry}"
    );
    ok(&["pause", REFERENCE, "--reason", "lunch"]).await;
    let refused = deployment(&url, &["promote", REFERENCE]).await;
    assert_eq!(refused.code, Some(64 + 9), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("viridian deployment resume shop/web"),
        "{refused:?}"
    );
    assert!(
        refused
            .stderr
            .contains("\n  - the deployment is paused (PAUSED)"),
        "{refused:?}"
    );
    ok(&["resume", REFERENCE, "--wait"]).await;
    let promoted = ok(&[
        "promote",
        REFERENCE,
        "--yes",
        "--wait",
        "--reason",
        "looks good",
    ])
    .await;
    assert!(promoted.contains("Current     2 (web:2)"), "{promoted}");

    let back = ok(&["rollback", REFERENCE, "--wait"]).await;
    assert!(
        back.contains("Traffic is back on the previous revision"),
        "{back}"
    );
    assert!(back.contains("Current     1 (web:1)"), "{back}");
    ok(&["activate", REFERENCE, "--revision", "2", "--wait"]).await;
    ok(&["abort", REFERENCE, "--wait", "--reason", "not today"]).await;
    // What was aborted is left already: nothing is gone back to twice.
    let refused = deployment(&url, &["rollback", REFERENCE]).await;
    assert_eq!(refused.code, Some(64 + 9), "{refused:?}");
    assert!(
        refused.stderr.contains("ALREADY_ROLLED_BACK"),
        "{refused:?}"
    );
    let gated = [
        "rollback",
        REFERENCE,
        "--revision",
        "2",
        "--gated",
        "--wait",
    ];
    let again = ok(&gated).await;
    assert!(again.contains("is being deployed again"), "{again}");
    assert!(again.contains("AWAITING_PROMOTION"), "{again}");
    ok(&["abort", REFERENCE]).await;

    tables(&url).await;
    ok(&["delete", REFERENCE, "--wait", "--reason", "no more"]).await;
    let gone = deployment(&url, &["get", REFERENCE]).await;
    assert_eq!(gone.code, Some(64 + 5), "{gone:?}");
    let destroyed = ok(&["list", "--lifecycle", "destroyed"]).await;
    assert!(destroyed.contains("shop/web"), "{destroyed}");
}

/// What happened, as the tables have it.
async fn tables(url: &str) {
    let history = succeeded(url, &["history", REFERENCE, "--all"]).await;
    let lines: Vec<_> = history.lines().collect();
    assert!(lines[0].starts_with("NO  AGE"), "{history}");
    for (what, why) in [
        ("CREATE", "the first"),
        ("PROMOTE", "looks good"),
        ("ABORT", "not today"),
    ] {
        let told = |line: &&str| line.contains(what) && line.contains(why);
        assert!(lines.iter().any(told), "{what}: {history}");
    }
    let newest = succeeded(url, &["history", REFERENCE, "-n", "2"]).await;
    assert_eq!(newest.lines().count(), 3, "{newest}");
    assert_eq!(
        newest.lines().nth(1).map(number),
        lines.get(1).map(|line| number(line))
    );

    let revisions = succeeded(url, &["revisions", REFERENCE]).await;
    let current: Vec<_> = revisions
        .lines()
        .filter(|it| it.contains("current"))
        .collect();
    assert_eq!(current.len(), 1, "{revisions}");
    assert!(
        current[0].starts_with("1 ") && current[0].contains("web:1"),
        "{revisions}"
    );

    let routes = succeeded(url, &["routes", REFERENCE, "--status", "running"]).await;
    assert_eq!(routes.lines().count(), 1 + 3, "{routes}");
    assert!(
        routes.contains("blue    1         RUNNING  HEALTHY  ACTIVE"),
        "{routes}"
    );
    let all = succeeded(url, &["routes", REFERENCE, "--all"]).await;
    assert!(all.contains("TERMINATED"), "{all}");
    let second = succeeded(url, &["routes", REFERENCE, "--revision", "2", "--all"]).await;
    assert!(!second.contains("blue"), "{second}");
}

#[tokio::test]
async fn json_and_yaml_say_the_same_of_every_verb() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.at_gate(1, manual()).await;
    for arguments in [
        &["get", REFERENCE][..],
        &["list"],
        &["history", REFERENCE],
        &["routes", REFERENCE],
        &["revisions", REFERENCE],
        &["promote", REFERENCE, "--dry-run"],
        &["update", REFERENCE, "--replicas", "2", "--dry-run"],
    ] {
        let json = json(&url, &[arguments, &["-o", "json"]].concat()).await;
        let yaml = succeeded(&url, &[arguments, &["-o", "yaml"]].concat()).await;
        let yaml: Value = serde_saphyr::from_str(&yaml).expect("YAML");
        assert_eq!(json, yaml, "{arguments:?}");
        assert!(json.is_object(), "{json}");
    }
    let revisions = json(&url, &["revisions", REFERENCE, "-o", "json"]).await;
    assert_eq!(revisions["revisions"][0]["number"], "2");
    let routes = json(&url, &["routes", REFERENCE, "-o", "json"]).await;
    assert_eq!(routes["routes"].as_array().map(Vec::len), Some(2));
    let history = json(&url, &["history", REFERENCE, "-o", "json"]).await;
    assert_eq!(history["entries"][0]["result"], "HISTORY_RESULT_WAITING");
}

#[tokio::test]
async fn nothing_is_coloured_but_on_a_terminal() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(1, manual()).await;
    for arguments in [&["get", REFERENCE][..], &["list"], &["routes", REFERENCE]] {
        let text = succeeded(&url, arguments).await;
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}

#[tokio::test]
async fn an_id_does_as_well_as_a_name() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let id = env.serving(1, manual()).await.id;
    let by_id = json(&url, &["get", &id, "-o", "json"]).await;
    let by_name = json(&url, &["get", REFERENCE, "-o", "json"]).await;
    assert_eq!(by_id, by_name);
}

/// It promotes what it has seen: another revision is none of its business.
#[tokio::test]
async fn a_promotion_is_of_the_revision_that_was_seen() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let policy = blue_green(BlueGreenSpec {
        scale_down_delay: seconds(300.0),
        ..BlueGreenSpec::default()
    });
    let gate: Deployment = env.at_gate(1, policy).await;
    let other = ["promote", REFERENCE, "--expected-revision", "1"];
    let refused = deployment(&url, &other).await;
    assert_eq!(refused.code, Some(64 + 10), "{refused:?}");
    assert!(refused.stderr.contains("REVISION_MISMATCH"), "{refused:?}");
    succeeded(&url, &["promote", REFERENCE, "--expected-revision", "2"]).await;
    let now = env.get().await;
    assert_eq!(now.lifecycle(), DeploymentLifecycle::Ready);
    assert_eq!(now.current_revision_id, gate.deploying_revision_id);
}

#[tokio::test]
async fn force_delete_ends_what_no_agent_ends() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let create = ["create", "shop/stray", "--image", "i"];
    // Of a group that nobody runs.
    succeeded(
        &url,
        &[create.as_slice(), &["--resource-group", "gone"]].concat(),
    )
    .await;
    let deleted = succeeded(&url, &["delete", "shop/stray"]).await;
    assert!(deleted.contains("DESTROYING"), "{deleted}");
    let forced = ["delete", "shop/stray", "--force", "--wait"];
    let deleted = succeeded(&url, &forced).await;
    assert!(deleted.contains("DESTROYED"), "{deleted}");
    let again = deployment(&url, &forced).await;
    assert_eq!(again.code, Some(64 + 5), "{again:?}");
}

/// The output of a verb that succeeds, without a word on stderr unless it waits. A wait may
/// end where someone has to act.
pub(super) async fn succeeded(url: &str, arguments: &[&str]) -> String {
    let run: FinishedProgram = deployment(url, arguments).await;
    if arguments.contains(&"--wait") {
        assert!(matches!(run.code, Some(0 | 3)), "{arguments:?}: {run:?}");
    } else {
        assert_eq!(run.code, Some(0), "{arguments:?}: {run:?}");
        assert_eq!(run.stderr, "", "{arguments:?}");
    }
    run.stdout
}

fn number(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}
