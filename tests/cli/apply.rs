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
    for (from, to, text) in [
        (
            "resource_group: GROUP",
            "resource_group: other",
            "metadata.resource_group",
        ),
        ("target_replicas", "replicas", "unknown setting"),
        (
            "min_ready: 0s",
            "min_ready: soon",
            "policy.blue_green.min_ready",
        ),
        ("name: web", "", "project and name"),
        ("name: web", "name: [", "is not valid YAML"),
    ] {
        file.write(from, to);
        let run = deployment(&url, &["apply", "-f", &path]).await;
        assert_eq!(run.code, Some(2), "{to}: {run:?}");
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
