//! What a file says becomes so.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;
use viridian_proto::v1::{DeploymentSubStep, deployment_policy::Strategy};

use super::{deployment, json, verbs::succeeded};
use crate::harness::{Engine, GROUP, REFERENCE, TestEnv, finish, root, viridian};

/// A file that changes.
struct File(TempDir);

impl File {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self) -> String {
        self.0.path().join("web.yaml").display().to_string()
    }

    /// Writes it anew with one text in place of another.
    fn write(&self, from: &str, to: &str) {
        assert!(FILE.contains(from), "{from}");
        let text = FILE.replace(from, to).replace("GROUP", GROUP);
        fs::write(Path::new(&self.path()), text).expect("a file");
    }

    /// Replaces a text in what was written.
    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path()).expect("the file");
        assert!(text.contains(from), "{from}");
        fs::write(self.path(), text.replace(from, to)).expect("a file");
    }
}

/// Whoever names one setting has not said that the others are zero.
#[tokio::test]
async fn b1_what_a_file_leaves_out_has_the_defaults_of_a_creation() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let (url, file) = (env.server.url(), File::new());
    for (name, policy, flags) in [
        ("plain", "", &[][..]),
        (
            "automatic",
            "policy: {blue_green: {auto_promote: true}}",
            &["--auto-promote"],
        ),
        (
            "deadline",
            "policy: {progress_deadline: 1m}",
            &["--progress-deadline", "1m"],
        ),
        (
            "rolling",
            "policy: {rolling_update: {}}",
            &["--strategy", "rolling"],
        ),
        (
            "surge",
            "policy: {rolling_update: {max_surge: 1}}",
            &["--strategy", "rolling", "--max-surge", "1"],
        ),
    ] {
        let created = format!("shop/{name}-created");
        let arguments = [&["create", created.as_str()], flags].concat();
        succeeded(&url, &arguments).await;
        let text = format!("project: shop\nname: {name}-applied\n{policy}\n");
        fs::write(file.path(), text).expect("a file");
        succeeded(&url, &["apply", "-f", &file.path()]).await;
        let of = async |how: &str| {
            let reference = format!("shop/{name}-{how}");
            json(&url, &["get", &reference, "-o", "json"]).await["policy"].clone()
        };
        assert_eq!(of("applied").await, of("created").await, "{name}");
    }
}

#[tokio::test]
async fn a_file_creates_changes_and_deploys() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let (url, file) = (env.server.url(), File::new());
    let path = file.path();
    file.write("", "");
    let apply = ["apply", "-f", path.as_str(), "--wait"];
    let dry = ["apply", "-f", path.as_str(), "--dry-run"];

    let plan = succeeded(&url, &dry).await;
    assert!(plan.starts_with("shop/web would be created:"), "{plan}");
    assert!(
        env.api.find(REFERENCE).await.is_err(),
        "a dry run created it"
    );
    let created = succeeded(&url, &apply).await;
    assert!(created.contains("State       READY"), "{created}");
    let first = env.get().await;

    // Again: nothing is to be done, and nothing is.
    let plan = succeeded(&url, &dry).await;
    assert_eq!(plan, "shop/web matches already; nothing would change.\n");
    succeeded(&url, &apply).await;
    assert_eq!(env.get().await, first);

    // The settings only.
    file.write("min_ready: 0s", "min_ready: 10ms");
    let plan = json(&url, &[dry.as_slice(), &["-o", "json"]].concat()).await;
    assert_eq!(plan["changes"].as_array().map(Vec::len), Some(1), "{plan}");
    assert_eq!(plan["changes"][0]["path"], "policy.blue_green.min_ready");
    assert_eq!(plan["newRevision"], Value::Bool(false));
    succeeded(&url, &apply).await;
    let second = env.get().await;
    assert_eq!(second.generation, first.generation + 1);
    assert_eq!(second.current_revision_id, first.current_revision_id);

    // What runs.
    file.write("web:1", "web:2");
    let plan = succeeded(&url, &dry).await;
    assert!(plan.contains("revision.image"), "{plan}");
    assert!(
        plan.contains("A new revision would be created and activated."),
        "{plan}"
    );
    assert_eq!(env.get().await, second, "a dry run changed it");
    succeeded(&url, &apply).await;
    let third = env.get().await;
    assert_eq!(third.sub_step(), DeploymentSubStep::AwaitingPromotion);
    assert_eq!(third.target_replicas, 2);
}

#[tokio::test]
async fn another_revision_takes_the_place_of_one_on_its_way_only_if_asked_to() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let (url, file) = (env.server.url(), File::new());
    let path = file.path();
    let apply = ["apply", "-f", path.as_str(), "--wait"];
    for image in ["web:1", "web:2"] {
        file.write("web:1", image);
        succeeded(&url, &apply).await;
    }
    let gate = env.get().await;
    file.write("web:1", "web:3");
    let refused = deployment(&url, &apply).await;
    assert_eq!(refused.code, Some(64 + 10), "{refused:?}");
    assert!(
        refused.stderr.contains("DEPLOYMENT_IN_PROGRESS"),
        "{refused:?}"
    );
    succeeded(&url, &[apply.as_slice(), &["--supersede"]].concat()).await;
    let now = env.get().await;
    assert_ne!(now.deploying_revision_id, gate.deploying_revision_id);
    assert_eq!(now.sub_step(), DeploymentSubStep::AwaitingPromotion);
}

#[tokio::test]
async fn a_strategy_is_replaced_as_a_whole() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let (url, file) = (env.server.url(), File::new());
    let path = file.path();
    file.write("", "");
    succeeded(&url, &["apply", "-f", &path, "--wait"]).await;
    file.write(
        "blue_green:\n    min_ready: 0s",
        "rolling_update:\n    max_surge: 50%",
    );
    let plan = succeeded(&url, &["apply", "-f", &path, "--dry-run"]).await;
    assert!(plan.contains("blue_green  →  rolling_update"), "{plan}");
    succeeded(&url, &["apply", "-f", &path]).await;
    let policy = env.get().await.policy.expect("a policy");
    assert!(
        matches!(policy.strategy, Some(Strategy::RollingUpdate(_))),
        "{policy:?}"
    );
    succeeded(&url, &["update", REFERENCE, "--strategy", "blue-green"]).await;
    let policy = env.get().await.policy.expect("a policy");
    assert!(
        matches!(policy.strategy, Some(Strategy::BlueGreen(_))),
        "{policy:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_is_said_before_anything_is_done() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let (url, file) = (env.server.url(), File::new());
    let path = file.path();
    file.write("", "");
    succeeded(&url, &["apply", "-f", &path, "--wait"]).await;
    let before = env.get().await;
    for (from, to, code, text) in [
        (
            "resource_group: GROUP",
            "resource_group: other",
            64 + 3,
            "metadata.resource_group",
        ),
        (
            "target_replicas",
            "replicas",
            2,
            "did you mean target_replicas?",
        ),
        (
            "min_ready: 0s",
            "min_ready: soon",
            2,
            "web.yaml:8: policy.blue_green.min_ready",
        ),
        ("name: web", "", 2, "name: is missing"),
        ("name: web", "name: [", 2, "is not valid YAML"),
    ] {
        file.write(from, to);
        let run = deployment(&url, &["apply", "-f", &path]).await;
        assert_eq!(run.code, Some(code), "{to}: {run:?}");
        assert!(run.stderr.contains(text), "{to}: {run:?}");
    }
    assert_eq!(env.get().await, before);
}

#[tokio::test]
async fn a_file_may_come_by_stdin() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let file = File::new();
    file.write("", "");
    let mut command = viridian(&["deployment", "apply", "-f", "-", "-o", "json"]);
    command
        .env("VIRIDIAN_SERVER", env.server.url())
        .stdin(fs::File::open(file.path()).expect("the file"));
    let run = finish(command).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(env.ready().await.target_replicas, 2);
}

#[tokio::test]
async fn the_example_of_the_documents_can_be_applied() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let example = root().join("docs/deployment.yaml").display().to_string();
    succeeded(&url, &["apply", "-f", &example]).await;
    let plan = succeeded(&url, &["apply", "-f", &example, "--dry-run"]).await;
    assert_eq!(plan, "shop/cart matches already; nothing would change.\n");
}

/// One manifest with `web:2` at a manual gate.
async fn at_gate(env: &TestEnv, file: &File) {
    let path = file.path();
    for image in ["web:1", "web:2"] {
        file.write("web:1", image);
        succeeded(&env.server.url(), &["apply", "-f", &path, "--wait"]).await;
    }
}

#[tokio::test]
async fn b1_a_file_that_is_refused_changes_and_promotes_nothing() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let (url, file) = (env.server.url(), File::new());
    at_gate(&env, &file).await;
    let gate = env.get().await;
    let path = file.path();
    file.write("min_ready: 0s", "auto_promote: true");
    file.edit("web:1", "web:3");
    for arguments in [
        &["apply", "-f", &path, "--dry-run"][..],
        &["apply", "-f", &path],
    ] {
        let run = deployment(&url, arguments).await;
        assert_eq!(run.code, Some(64 + 10), "{run:?}");
        assert!(run.stderr.contains("DEPLOYMENT_IN_PROGRESS"), "{run:?}");
    }
    assert_eq!(env.get().await, gate);

    // In its place: the third one is promoted by itself, and the second one never is.
    succeeded(&url, &["apply", "-f", &path, "--supersede", "--wait"]).await;
    let now = env.get().await;
    let history = succeeded(&url, &["history", REFERENCE]).await;
    assert_eq!(history.matches("PROMOTE").count(), 1, "{history}");
    assert_ne!(now.current_revision_id, gate.current_revision_id);
    assert_ne!(now.current_revision_id, gate.deploying_revision_id);
}

#[tokio::test]
async fn b6_the_file_that_serves_aborts_a_rollout() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let (url, file) = (env.server.url(), File::new());
    at_gate(&env, &file).await;
    let path = file.path();
    file.write("", "");
    let run = deployment(&url, &["apply", "-f", &path]).await;
    assert_eq!(run.code, Some(64 + 10), "{run:?}");
    let superseding = ["apply", "-f", &path, "--supersede"];
    let plan = succeeded(&url, &[superseding.as_slice(), &["--dry-run"]].concat()).await;
    assert!(plan.contains("web:2  →  web:1"), "{plan}");
    assert!(plan.contains("The rollout would be aborted"), "{plan}");
    let applied = succeeded(&url, &superseding).await;
    assert!(
        applied.contains("The rollout was aborted: revision 1 serves."),
        "{applied}"
    );
    let ready = env.ready().await;
    let again = succeeded(&url, &superseding).await;
    assert!(again.starts_with("Nothing to do"), "{again}");
    assert_eq!(env.get().await.generation, ready.generation);
}

#[tokio::test]
async fn b8_a_text_is_what_the_file_says() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let (url, file) = (env.server.url(), File::new());
    let path = file.path();
    file.write(
        "environ: {PORT: 80}",
        "command: [serve, 1.10, 0o17]\n  environ: {MODE: 0755, V: 1.10, YES: yes, E: 1e3, N: null}",
    );
    succeeded(&url, &["apply", "-f", &path]).await;
    let revisions = json(&url, &["revisions", REFERENCE, "-o", "json"]).await;
    let spec = &revisions["revisions"][0]["spec"];
    assert_eq!(
        spec["command"],
        serde_json::json!(["serve", "1.10", "0o17"])
    );
    assert_eq!(
        spec["environ"],
        serde_json::json!({"MODE": "0755", "V": "1.10", "YES": "yes", "E": "1e3", "N": "null"})
    );
    let plan = succeeded(&url, &["apply", "-f", &path, "--dry-run"]).await;
    assert_eq!(plan, "shop/web matches already; nothing would change.\n");
}

#[tokio::test]
async fn b8_all_mistakes_are_said_at_once() {
    let file = File::new();
    file.write("target_replicas: 2", "replicas: 2");
    file.edit("min_ready: 0s", "min_ready: 5\n    autopromote: true");
    let run = deployment("http://127.0.0.1:1", &["apply", "-f", &file.path()]).await;
    assert_eq!(run.code, Some(2), "{run:?}");
    for line in [
        "web.yaml:3: replicas: unknown setting; did you mean target_replicas?",
        "web.yaml:8: policy.blue_green.min_ready: expected a duration",
        "web.yaml:9: policy.blue_green.autopromote: unknown setting; did you mean auto_promote?",
    ] {
        assert!(run.stderr.contains(line), "{line}: {run:?}");
    }
}

#[tokio::test]
async fn b8_an_export_is_a_file_for_which_there_is_nothing_to_do() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let (url, file) = (env.server.url(), File::new());
    let path = file.path();
    let odd =
        "environ: {MODE: 0755, YES: yes, N: null, EMPTY: '', LINES: \"a\\nb: c\", HASH: 'a #b'}";
    for (from, to) in [
        ("", ""),
        ("environ: {PORT: 80}", odd),
        (
            "policy:",
            "labels: {tier: 'on', build: 007}\nrevision_history_limit: 3\nprotocol: HTTP2\npolicy:",
        ),
        (
            "blue_green:\n    min_ready: 0s",
            "rolling_update:\n    max_surge: 50%\n    max_unavailable: 1",
        ),
        (
            "min_ready: 0s",
            "gate_timeout: {duration: 90m, action: hold}\n    auto_promote: true",
        ),
    ] {
        file.write(from, to);
        file.edit("name: web", &format!("name: web-{}", from.len()));
        succeeded(&url, &["apply", "-f", &path]).await;
        let name = format!("shop/web-{}", from.len());
        for format in ["yaml", "json"] {
            let exported = succeeded(&url, &["export", &name, "-o", format]).await;
            fs::write(&path, &exported).expect("a file");
            let plan = succeeded(&url, &["apply", "-f", &path, "--dry-run"]).await;
            assert_eq!(
                plan,
                format!("{name} matches already; nothing would change.\n"),
                "{exported}"
            );
        }
    }
}

#[tokio::test]
async fn b8_a_file_of_several_deployments_is_applied_if_each_can_be() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let (url, file) = (env.server.url(), File::new());
    let path = file.path();
    let second = |replicas: i32| {
        file.write("", "");
        let first = fs::read_to_string(&path).expect("the file");
        let other = first.replace("name: web", "name: other").replace(
            "target_replicas: 2",
            &format!("target_replicas: {replicas}"),
        );
        fs::write(&path, format!("{first}---\n{other}")).expect("a file");
    };
    second(1_001);
    let run = deployment(&url, &["apply", "-f", &path]).await;
    assert_eq!(run.code, Some(64 + 3), "{run:?}");
    assert!(
        env.api.find(REFERENCE).await.is_err(),
        "the first one was applied"
    );

    second(1);
    let plan = succeeded(&url, &["apply", "-f", &path, "--dry-run"]).await;
    assert_eq!(plan.matches("would be created:").count(), 2, "{plan}");
    succeeded(&url, &["apply", "-f", &path, "--wait"]).await;
    assert_eq!(env.get().await.target_replicas, 2);
    assert_eq!(env.api.get("shop/other").await.target_replicas, 1);
}

#[tokio::test]
async fn b8_zeros_and_nothings_of_a_file_count() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let (url, file) = (env.server.url(), File::new());
    let path = file.path();
    file.write(
        "min_ready: 0s",
        "auto_promote: true\n    gate_timeout: {duration: 1h, action: hold}\n  progress_deadline: 1m",
    );
    file.edit("policy:", "labels: {a: b}\npolicy:");
    succeeded(&url, &["apply", "-f", &path, "--wait"]).await;
    file.write(
        "min_ready: 0s",
        "auto_promote: false\n    gate_timeout:\n  progress_deadline: ~",
    );
    file.edit("policy:", "labels: {}\npolicy:");
    file.edit("target_replicas: 2", "target_replicas: 0");
    succeeded(&url, &["apply", "-f", &path]).await;
    let now = env.get().await;
    let policy = now.policy.expect("a policy");
    let Some(Strategy::BlueGreen(spec)) = policy.strategy else {
        panic!("{policy:?}")
    };
    assert!(
        !spec.auto_promote && spec.gate_timeout.is_none(),
        "{spec:?}"
    );
    assert_eq!(policy.progress_deadline.map(|it| it.seconds), Some(600));
    assert!(
        now.labels.is_empty() && now.target_replicas == 0,
        "{:?}",
        now.labels
    );
}

const FILE: &str = "\
project: shop
name: web
target_replicas: 2
metadata:
  resource_group: GROUP
policy:
  blue_green:
    min_ready: 0s
  drain_grace: 0s
revision:
  image: web:1
  environ: {PORT: 80}
";
