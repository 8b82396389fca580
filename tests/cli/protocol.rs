//! What replicas speak, from the flag to the traffic table.

use super::{deployment, json, verbs::succeeded};
use crate::harness::{Engine, REFERENCE, TestEnv};

#[tokio::test]
async fn a_protocol_goes_from_the_flag_to_the_table() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let create = ["create", REFERENCE, "--protocol", "http2"];
    let plan = succeeded(&url, &[&create[..], &["--dry-run"]].concat()).await;
    assert!(has_row(&plan, &["protocol", "http2"]), "{plan}");
    succeeded(&url, &create).await;
    let shown = succeeded(&url, &["get", REFERENCE]).await;
    assert!(has_row(&shown, &["Protocol", "HTTP2"]), "{shown}");
    let table = succeeded(&url, &["traffic", REFERENCE]).await;
    assert!(table.starts_with("shop/web (HTTP2): epoch "), "{table}");

    let update = ["update", REFERENCE, "--protocol", "tcp"];
    let plan = succeeded(&url, &[&update[..], &["--dry-run"]].concat()).await;
    assert!(has_row(&plan, &["protocol", "http2", "→", "tcp"]), "{plan}");
    let before = json(&url, &["get", REFERENCE, "-o", "json"]).await;
    let updated = json(&url, &[&update[..], &["-o", "json"]].concat()).await;
    assert_eq!(updated["protocol"], "DEPLOYMENT_PROTOCOL_TCP");
    assert_eq!(updated["targetReplicas"], before["targetReplicas"]);
    let table = json(&url, &["traffic", REFERENCE, "-o", "json"]).await;
    for (name, value) in [
        ("project", "shop"),
        ("name", "web"),
        ("protocol", "DEPLOYMENT_PROTOCOL_TCP"),
        ("epoch", updated["epoch"].as_str().expect("a number")),
    ] {
        assert_eq!(table[name], value);
    }
    assert_ne!(table["epoch"], before["epoch"]);
    let history = json(&url, &["history", REFERENCE, "-o", "json"]).await;
    let change = &history["entries"][0]["changes"][0];
    assert_eq!(change["path"], "protocol", "{history}");
    assert_eq!(
        (&change["oldValue"], &change["newValue"]),
        (&"http2".into(), &"tcp".into())
    );

    let exported = succeeded(&url, &["export", REFERENCE]).await;
    assert!(
        exported.lines().any(|it| it == "protocol: tcp"),
        "{exported}"
    );
    let wrong = deployment(&url, &["update", REFERENCE, "--protocol", "smtp"]).await;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}

/// Whether a line has these words and no others.
fn has_row(text: &str, words: &[&str]) -> bool {
    text.lines()
        .any(|line| line.split_whitespace().collect::<Vec<_>>() == words)
}
