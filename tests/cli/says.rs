//! What the program says: JSON with all fields, dates, numbers and ids, and errors that
//! help.

use std::path::PathBuf;

use serde_json::{Value, json};
use viridian_proto::v1::{BlueGreenSpec, GateTimeout, GateTimeoutAction};

use super::{deployment, json, verbs::succeeded};
use crate::{
    harness::{
        Engine, FinishedProgram, REFERENCE, Server, TestEnv, blue_green, finish, manual, seconds,
        viridian,
    },
    security::{
        pki::{Authority, Files},
        staff::{GuardedServer, of_token},
    },
};

#[tokio::test]
async fn c9_lists_of_nothing_are_lists() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    assert_eq!(
        json(&url, &["list", "-o", "json"]).await["deployments"],
        json!([])
    );
    let yaml = succeeded(&url, &["list", "-o", "yaml"]).await;
    assert!(yaml.contains("deployments: []"), "{yaml}");
    let mut idle = crate::harness::creation(0, manual());
    idle.initial_revision = None;
    env.api.create(idle).await.expect("it is created");
    for (verb, list) in [("routes", "routes"), ("revisions", "revisions")] {
        let shown = json(&url, &[verb, REFERENCE, "-o", "json"]).await;
        assert_eq!(shown[list], json!([]), "{verb}");
    }
    let shown = json(&url, &["get", REFERENCE, "-o", "json"]).await;
    for (field, value) in [
        ("targetReplicas", json!(0)),
        ("paused", json!(false)),
        ("currentRevisionId", json!("")),
        ("currentRevisionNumber", json!("0")),
        ("labels", json!({})),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    let watch = ["watch", REFERENCE, "-o", "json", "--timeout", "500ms"];
    let event = deployment(&url, &watch).await.stdout;
    let event: Value =
        serde_json::from_str(event.lines().next().unwrap_or_default()).expect("JSON");
    assert_eq!(event["deployment"]["targetReplicas"], json!(0));
}

#[tokio::test]
async fn c9_a_revision_has_its_number_and_its_id() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let gate = env.at_gate(1, manual()).await;
    let shown = json(&url, &["get", REFERENCE, "-o", "json"]).await;
    assert_eq!(shown["currentRevisionNumber"], json!("1"));
    assert_eq!(shown["currentRevisionId"], json!(gate.current_revision_id));
    assert_eq!(shown["deployingRevisionNumber"], json!("2"));
    for (verb, list) in [("routes", "routes"), ("history", "entries")] {
        let shown = json(&url, &[verb, REFERENCE, "-o", "json"]).await;
        for item in shown[list].as_array().expect("a list") {
            let expected = match item["revisionId"].as_str() {
                Some(id) if id == gate.current_revision_id => "1",
                _ => "2",
            };
            assert_eq!(item["revisionNumber"], json!(expected), "{item}");
        }
    }
    let table = succeeded(&url, &["get", REFERENCE]).await;
    for (name, number, id) in [
        ("Current", 1, &gate.current_revision_id),
        ("Deploying", 2, &gate.deploying_revision_id),
    ] {
        let row = table.lines().find(|line| line.starts_with(name));
        let row = row.unwrap_or_default();
        assert!(
            row.contains(&format!("{number} (registry.test/web:1), {id}")),
            "{table}"
        );
    }
}

#[tokio::test]
async fn c6_a_gate_of_weeks_has_a_date_and_a_zone() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let policy = blue_green(BlueGreenSpec {
        gate_timeout: Some(GateTimeout {
            duration: seconds(30.0 * 86_400.0),
            action: GateTimeoutAction::Rollback.into(),
        }),
        ..BlueGreenSpec::default()
    });
    env.at_gate(1, policy).await;
    let table = succeeded(&url, &["get", REFERENCE]).await;
    let line = table.lines().find(|line| line.contains("rolls back at 20"));
    assert!(line.is_some_and(|line| line.contains(" UTC")), "{table}");
    assert!(table.contains("roll back after 30d at the gate"), "{table}");
    let deadline = table.lines().find(|line| line.starts_with("Deadline"));
    assert!(
        deadline.is_some_and(|it| it.contains(" UTC, in ")),
        "{table}"
    );

    // Days and weeks are read as they are shown.
    let flags = [
        "--gate-timeout",
        "1w",
        "--gate-action",
        "hold",
        "--progress-deadline",
        "2d",
    ];
    succeeded(&url, &[&["update", REFERENCE][..], &flags].concat()).await;
    let table = succeeded(&url, &["get", REFERENCE]).await;
    assert!(table.contains("hold after 1w at the gate"), "{table}");
    assert!(table.contains("progress deadline 2d"), "{table}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let settings = "project: shop\nname: web\npolicy:\n  progress_deadline: 1d12h\n";
    std::fs::write(file.path(), settings).expect("a file");
    let path = file.path().display().to_string();
    succeeded(&url, &["apply", "-f", &path]).await;
    let table = succeeded(&url, &["get", REFERENCE]).await;
    assert!(table.contains("progress deadline 1d12h"), "{table}");
    let wrong = deployment(&url, &["update", REFERENCE, "--drain-grace", "1mo"]).await;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.stderr.contains("2d or 1w"), "{wrong:?}");
}

/// A server with TLS whose certificate a CA of its own has signed.
struct TlsServer {
    guarded: GuardedServer,
    files: Files,
    authority: Authority,
}

impl TlsServer {
    async fn start() -> Self {
        let (files, authority) = (Files::create(), Authority::new("servers"));
        let pair = authority.server();
        let cert = files.write("server.pem", &pair.cert);
        let key = files.write("server.key", &pair.key);
        let entry = of_token("viewer", "vrd_viewer", &["viewer"], &["*"]);
        let guarded = GuardedServer::start_with(&[entry], |command| {
            command
                .arg("--tls-cert")
                .arg(cert)
                .arg("--tls-key")
                .arg(key);
        })
        .await;
        Self {
            guarded,
            files,
            authority,
        }
    }

    fn ca(&self) -> PathBuf {
        self.files.write("ca.pem", &self.authority.pem())
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.guarded.server.address())
    }
}

async fn ask(verb: &[&str], server: &str, environment: &[(&str, &str)]) -> FinishedProgram {
    let mut command = viridian(verb);
    command.env("VIRIDIAN_SERVER", server);
    command.envs(environment.iter().copied());
    finish(command).await
}

const VERBS: [&[&str]; 4] = [
    &["deployment", "get", REFERENCE],
    &["deployment", "list"],
    &["deployment", "watch", REFERENCE],
    &["top", "--once"],
];

#[tokio::test(flavor = "multi_thread")]
async fn c8_a_url_of_the_wrong_scheme_is_told() {
    let tls = TlsServer::start().await;
    for verb in VERBS {
        let run = ask(verb, &tls.url("http"), &[]).await;
        assert_eq!(run.code, Some(64 + 14), "{run:?}");
        assert!(run.stderr.contains("write https:// instead"), "{run:?}");
        assert!(!run.stderr.contains("executed"), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    }
    // A change, too: the server has not seen it.
    let change = ["deployment", "pause", REFERENCE];
    let run = ask(&change, &tls.url("http"), &[]).await;
    assert!(run.stderr.contains("write https:// instead"), "{run:?}");
    assert!(!run.stderr.contains("executed"), "{run:?}");

    let plain = Server::start(Engine::Sqlite).await;
    let url = format!("https://{}", plain.address());
    for verb in VERBS {
        let run = ask(verb, &url, &[]).await;
        assert_eq!(run.code, Some(64 + 14), "{run:?}");
        assert!(run.stderr.contains("write http:// instead"), "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c8_a_certificate_that_is_not_trusted_is_told() {
    let tls = TlsServer::start().await;
    for verb in VERBS {
        let run = ask(verb, &tls.url("https"), &[]).await;
        assert_eq!(run.code, Some(64 + 14), "{run:?}");
        assert!(
            run.stderr.contains("--tls-ca or VIRIDIAN_TLS_CA"),
            "{run:?}"
        );
    }
    let ca = tls.ca().display().to_string();
    let trusted = [("VIRIDIAN_TLS_CA", ca.as_str())];
    let run = ask(VERBS[1], &tls.url("https"), &trusted).await;
    assert_eq!(run.code, Some(64 + 16), "the certificate is good: {run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c8_a_missing_and_a_wrong_token_are_told() {
    let tls = TlsServer::start().await;
    let ca = tls.ca().display().to_string();
    let missing = [("VIRIDIAN_TLS_CA", ca.as_str())];
    let wrong = [missing[0], ("VIRIDIAN_TOKEN", "vrd_other")];
    for verb in VERBS {
        let run = ask(verb, &tls.url("https"), &missing).await;
        assert_eq!(run.code, Some(64 + 16), "{run:?}");
        assert!(
            run.stderr
                .contains("set a token in VIRIDIAN_TOKEN or by --token"),
            "{run:?}"
        );
        let run = ask(verb, &tls.url("https"), &wrong).await;
        assert_eq!(run.code, Some(64 + 16), "{run:?}");
        assert!(run.stderr.contains("does not know the token"), "{run:?}");
    }
}

#[tokio::test]
async fn c9_the_help_has_the_exit_codes() {
    for command in [&["--help"][..], &["deployment", "--help"]] {
        let run = finish(viridian(command)).await;
        assert_eq!(run.code, Some(0), "{run:?}");
        for line in ["Exit codes:", "73 FAILED_PRECONDITION", "100  serve, agent"] {
            assert!(run.stdout.contains(line), "{line}: {run:?}");
        }
    }
}

#[tokio::test]
async fn c9_status_is_one_line_and_an_exit_code() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let status = ["status", REFERENCE];
    let none = deployment(&url, &status).await;
    assert_eq!(none.code, Some(64 + 5), "{none:?}");
    env.serving(2, manual()).await;
    let well = deployment(&url, &status).await;
    assert_eq!(
        (well.code, well.stdout.as_str(), well.stderr.as_str()),
        (Some(0), "shop/web READY, revision 1 2/2\n", "")
    );
    env.bring_up().await;
    let gate = deployment(&url, &status).await;
    assert_eq!(gate.code, Some(3), "{gate:?}");
    assert_eq!(gate.stdout.lines().count(), 1, "{gate:?}");
    assert!(
        gate.stdout
            .ends_with("; run: viridian deployment promote shop/web\n"),
        "{gate:?}"
    );
    assert_eq!(gate.stderr, "");
    let shown = deployment(&url, &["status", REFERENCE, "-o", "json"]).await;
    assert_eq!(shown.code, Some(3), "{shown:?}");
    serde_json::from_str::<Value>(&shown.stdout).expect("JSON");
    env.promote().await;
    let routes = env.routes_of(&env.get().await.current_revision_id).await;
    let unwell = viridian_proto::v1::RouteHealthStatus::Unhealthy;
    env.api.see(&routes[..1], unwell).await;
    env.until("one ready", |it| it.blue.unwrap_or_default().ready == 1)
        .await;
    let degraded = deployment(&url, &status).await;
    assert_eq!(degraded.code, Some(1), "{degraded:?}");
    assert!(degraded.stdout.contains("revision 2 1/2"), "{degraded:?}");
}

#[tokio::test]
async fn a_selector_has_a_short_flag() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.at_gate(1, manual()).await;
    succeeded(&url, &["update", REFERENCE, "--label", "tier=web"]).await;
    for (selector, count) in [("tier=web", 1), ("tier!=web", 0)] {
        let list = json(&url, &["list", "-l", selector, "-o", "json"]).await;
        assert_eq!(list["deployments"].as_array().map(Vec::len), Some(count));
        let mut top = viridian(&["top", "-l", selector, "-o", "json"]);
        top.env("VIRIDIAN_SERVER", &url);
        let top: Value = serde_json::from_str(&finish(top).await.stdout).expect("JSON");
        assert_eq!(top["deployments"].as_array().map(Vec::len), Some(count));
    }
}
