//! What is measured of deployments, and what is made of it: the dashboard, the
//! alerts, and the runbook.

use std::{collections::BTreeSet, fs, io::Write as _, path::PathBuf, process::Stdio};

use rstest::rstest;
use rstest_reuse::apply;
use serde_json::Value;
use tokio::process::Command;
use viridian_proto::v1::{Deployment, DeploymentLifecycle, ListHistoryRequest};

use super::lines;
use crate::{
    engines::both_engines,
    harness::{
        Engine, METRICS, REFERENCE, Server, TestEnv, count, delete, eventually, finish, manual,
        promotion, root, tool,
    },
};

#[apply(both_engines)]
#[tokio::test]
async fn a_rollout_moves_what_is_measured_and_is_a_line_a_move(#[case] engine: Engine) {
    let env = TestEnv::on(Server::start_with(engine, &METRICS).await).await;
    env.serving(2, manual()).await;
    let refusal = env.api.promote(promotion(REFERENCE)).await;
    refusal.expect_err("there is nothing to promote");
    env.bring_up().await;
    eventually("the gate is counted", async || {
        let place = r#"lifecycle="DEPLOYING",sub_step="AWAITING_PROMOTION",paused="false""#;
        let series = format!(r#"viridian_deployments{{{place},availability="AVAILABLE"}}"#);
        let metrics = env.server.metrics().await;
        (metrics.value(&series) == 1.0).then_some(())
    })
    .await;
    env.promote().await;
    let ready = env.ready().await;

    let metrics = env.server.metrics().await;
    for (series, value) in [
        (r#"promotions_total{kind="manual",outcome="promoted"}"#, 1.0),
        (r#"promotions_total{kind="manual",outcome="refused"}"#, 1.0),
        (
            r#"promotions_total{kind="automatic",outcome="promoted"}"#,
            0.0,
        ),
        (r#"rollouts_total{outcome="promoted"}"#, 1.0),
        (r#"rollouts_total{outcome="rolled_back"}"#, 0.0),
        (r#"rollout_duration_seconds_count{outcome="promoted"}"#, 1.0),
        ("gate_wait_seconds_count", 1.0),
        (r#"units_total{unit="create",outcome="committed"}"#, 1.0),
        (
            r#"units_total{unit="create_revision",outcome="committed"}"#,
            1.0,
        ),
        (r#"units_total{unit="promote",outcome="committed"}"#, 1.0),
        (r#"units_total{unit="promote",outcome="refused"}"#, 1.0),
        (r#"unit_duration_seconds_count{unit="promote"}"#, 2.0),
        (r#"moves_total{phase="PROMOTE",result="SUCCESS"}"#, 1.0),
        ("database_up", 1.0),
    ] {
        let found = metrics.value(&format!("viridian_{series}"));
        assert_eq!(found, value, "{series}\n{}", metrics.text());
    }
    for series in [
        r#"transactions_total{outcome="committed"}"#,
        "transaction_duration_seconds_count",
        r#"database_wait_seconds_count{use="read"}"#,
        r#"database_wait_seconds_count{use="write"}"#,
        "cycle_lateness_seconds_count",
        r#"units_total{unit="pass",outcome="committed"}"#,
        r#"due_queue_passes_total{outcome="worked"}"#,
        "database_connections_limit",
    ] {
        let found = metrics.value(&format!("viridian_{series}"));
        assert!(found > 0.0, "{series}\n{}", metrics.text());
    }

    let mut client = env.api.deployments();
    let history = client.list_history(ListHistoryRequest {
        deployment: REFERENCE.to_owned(),
        page_size: 100,
        ..ListHistoryRequest::default()
    });
    let history = history.await.expect("its history").into_inner().entries;
    let told = eventually("a line a move", async || {
        let told = lines(&env.server, "moved");
        (told.len() >= history.len()).then_some(told)
    })
    .await;
    assert_eq!(told.len(), history.len(), "{told:#?}");
    for line in &told {
        assert_eq!(line["deployment"], *ready.id);
        assert_eq!(line["reference"], REFERENCE);
    }
    let promoted = told.iter().find(|line| line["phase"] == "PROMOTE");
    let promoted = promoted.expect("the promotion is told");
    assert_eq!(promoted["from"], "DEPLOYING/AWAITING_PROMOTION");
    assert_eq!(promoted["to"], "READY");
    // From the call to the unit of work, though others may share its transaction.
    let span = |name: &str, field: &str| {
        let spans = promoted["spans"].as_array().expect("spans");
        let span = spans.iter().find(|it| it["name"] == name);
        span.map_or(Value::Null, |it| it[field].clone())
    };
    assert_eq!(
        span("rpc", "method"),
        "viridian.deployment.v1.DeploymentService/PromoteDeployment"
    );
    assert_eq!(span("unit", "unit"), "promote");
    assert_eq!(span("unit", "deployment"), *ready.id);
}

#[apply(both_engines)]
#[tokio::test]
async fn looking_in_vain_is_no_line(#[case] engine: Engine) {
    let env = TestEnv::on(Server::start_with(engine, &METRICS).await).await;
    env.serving(1, manual()).await;
    eventually("its moves", async || {
        (lines(&env.server, "moved").len() == 2).then_some(())
    })
    .await;
    let idle = async || {
        let metrics = env.server.metrics().await;
        metrics.value(r#"viridian_due_queue_passes_total{outcome="idle"}"#)
    };
    let before = idle().await;
    let log = env.server.log();
    let looks = f64::from(count("VIRIDIAN_IDLE_LOOKS", 3));
    eventually("more looks in vain", async || {
        (idle().await >= before + looks).then_some(())
    })
    .await;
    assert_eq!(env.server.log(), log);
}

#[tokio::test]
async fn what_is_deleted_is_counted_no_more() {
    let env = TestEnv::on(Server::start_with(Engine::Sqlite, &METRICS).await).await;
    let gate = env.at_gate(1, manual()).await;
    let mut client = env.api.deployments();
    let deleted = client.delete_deployment(delete(REFERENCE)).await;
    deleted.expect("it can be deleted");
    // Its name is free.
    let is_over = |it: &Deployment| it.lifecycle() == DeploymentLifecycle::Destroyed;
    env.api.until(&gate.id, "its end", is_over).await;
    eventually("none is counted", async || {
        let metrics = env.server.metrics().await;
        let ended = metrics.value(r#"viridian_rollouts_total{outcome="deleted"}"#);
        let left = metrics
            .text()
            .lines()
            .filter(|line| line.starts_with("viridian_deployments{"))
            .all(|line| line.ends_with(" 0"));
        (ended == 1.0 && left).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_told_is_as_prometheus_wants_it_and_all_that_is_asked_for() {
    let env = TestEnv::on(Server::start_with(Engine::Sqlite, &METRICS).await).await;
    env.at_gate(1, manual()).await;
    env.promote().await;
    env.ready().await;
    let page = env.server.metrics().await.text().to_owned();
    let mut lint = std::process::Command::new(tool("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    let mut stdin = lint.stdin.take().expect("a pipe");
    stdin.write_all(page.as_bytes()).expect("it reads");
    drop(stdin);
    let linted = lint.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&linted.stderr);
    assert!(linted.status.success() && said.is_empty(), "{said}");

    let told: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    for file in ["grafana/viridian.json", "prometheus/alerts.yaml"] {
        let text = read(&format!("deploy/{file}"));
        let asked = asked_for(&text);
        assert!(!asked.is_empty(), "{file}");
        for name in asked {
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end).filter(|it| told.contains(it)));
            assert!(told.contains(base.unwrap_or(&name)), "{file}: {name}");
        }
    }
    let document = read("docs/telemetry.md");
    for name in &told {
        assert!(
            document.contains(&format!("`{name}`")),
            "telemetry.md: {name}"
        );
    }
}

#[tokio::test]
async fn each_alert_fires_when_it_is_to_and_has_its_paragraph() {
    for arguments in [
        ["check", "rules", "alerts.yaml"],
        ["test", "rules", "alerts.test.yaml"],
    ] {
        let mut promtool = Command::new(tool("promtool"));
        promtool
            .args(arguments)
            .current_dir(root().join("deploy/prometheus"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let ended = finish(promtool).await;
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    }
    let (rules, tests) = (
        read("deploy/prometheus/alerts.yaml"),
        read("deploy/prometheus/alerts.test.yaml"),
    );
    let runbook = read("docs/runbook.md");
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in &alerts {
        for kind in ["fires", "stays quiet"] {
            assert!(
                tests.contains(&format!("- name: {alert} {kind}\n")),
                "{alert}"
            );
        }
        assert!(runbook.contains(&format!("\n## {alert}\n\n")), "{alert}");
        let link = format!("runbook_url: docs/runbook.md#{}\n", alert.to_lowercase());
        assert!(rules.contains(&link), "{link}");
    }
    let paragraphs = runbook
        .lines()
        .filter(|line| line.starts_with("## Viridian"));
    assert_eq!(paragraphs.count(), alerts.len(), "one each, and no other");
    // Whoever sees a symptom and no alert finds the paragraph, too.
    let (_, index) = runbook.split_once("\n## By symptom\n").expect("an index");
    let (index, _) = index.split_once("\n## ").expect("paragraphs after it");
    for alert in &alerts {
        let link = format!("(#{})", alert.to_lowercase());
        assert!(index.contains(&link), "{alert} has no symptom");
    }
}

/// The names of metrics in a text.
fn asked_for(text: &str) -> BTreeSet<String> {
    let of_a_name = |it: char| it.is_ascii_lowercase() || it == '_';
    text.split(|it| !of_a_name(it))
        .filter(|word| word.starts_with("viridian_"))
        .map(str::to_owned)
        .collect()
}

fn read(path: &str) -> String {
    let path: PathBuf = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
