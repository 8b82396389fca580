//! No token and no hash of one is ever written down, and who is refused is.

use serde_json::Value;
use tonic::{Code, transport::Channel};
use viridian_proto::v1::{
    ActivateRevisionRequest, CreateRevisionRequest, ListDeploymentsRequest, ListHistoryRequest,
    PauseDeploymentRequest, WatchTrafficRequest,
    deployment_service_client::DeploymentServiceClient,
};

use super::staff::{GuardedServer, digest, of_token};
use crate::harness::{creation, eventually, manual, refused, within};

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_log_however_much_is_logged() {
    let operator = of_token("alice", GOOD, &["operator", "proxy"], &["shop"]);
    let guarded = GuardedServer::start_with(&[operator], |command| {
        command.env("VIRIDIAN_LOG", "trace");
    })
    .await;
    let good = guarded.client(GOOD).await;
    good.create("shop", "web", 0).await.expect("created");
    good.create("bank", "web", 0).await.expect_err("not theirs");
    let watch = WatchTrafficRequest {
        deployments: Vec::new(),
        all: true,
        ..WatchTrafficRequest::default()
    };
    let reply = good.traffic().watch_traffic(watch).await;
    let mut stream = reply.expect("a stream").into_inner();
    within("a table", stream.message()).await.expect("a stream");
    let bad = guarded.client(BAD).await;
    let status = bad.list("").await.expect_err("nobody has it");
    let text = format!("{status:?} {status}");
    // As it comes from a client that does not say that the header is a secret.
    let status = plain(&guarded, &format!("Bearer {GOOD}")).await;
    status.expect("it is a good one");
    for header in [
        GOOD,
        &format!("Basic {GOOD}"),
        &format!("Bearer {GOOD} {GOOD}"),
    ] {
        let status = plain(&guarded, header).await.expect_err("it is malformed");
        refused(&status, Code::Unauthenticated, "CREDENTIALS_INVALID");
        assert!(!format!("{status:?}").contains(GOOD), "{status:?}");
    }

    // The file as it is while someone makes a mistake.
    let mistakes = [
        format!("[[credential]]\nname = \"alice\"\ntoken_sha256 = \"{GOOD}\"\n"),
        format!("[[credential]]\nname = \"alice\"\ntoken_sha256 = {GOOD}\n"),
        format!("[[credential]]\nname = \"alice\"\ntoken = \"{GOOD}\"\n"),
        of_token("alice", GOOD, &["admin"], &["shop"]),
    ];
    for (count, mistake) in mistakes.into_iter().enumerate() {
        guarded.file.replace(&[mistake]);
        eventually("an error in the log", async || {
            let log = guarded.server.log();
            (log.matches("are not valid").count() > count).then_some(())
        })
        .await;
    }

    let log = guarded.server.log();
    assert!(log.contains("\"TRACE\""), "as much as can be");
    for secret in [GOOD, BAD, &digest(GOOD), &digest(BAD)] {
        assert!(!log.contains(secret), "{secret} is in the log");
        assert!(!text.contains(secret), "{text}");
    }
    // Not in numbers either.
    let bytes: Vec<u8> = digest(GOOD)
        .as_bytes()
        .chunks(2)
        .map(|hex| u8::from_str_radix(std::str::from_utf8(hex).expect("hex"), 16).expect("hex"))
        .collect();
    let numbers = format!("{bytes:?}");
    assert!(!log.contains(numbers.trim_matches(['[', ']'])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_denied_is_logged_with_who_and_what() {
    let viewer = of_token("bob", GOOD, &["viewer"], &["shop"]);
    let root = of_token("root", "vrd_root", &["operator"], &["*"]);
    let guarded = GuardedServer::start(&[viewer, root]).await;
    let bank = guarded
        .client("vrd_root")
        .await
        .create("bank", "web", 0)
        .await;
    let bank = bank.expect("created").id;
    let bob = guarded.client(GOOD).await;
    let create = bob.create("shop", "web", 0).await;
    create.expect_err("bob only looks");
    bob.list("bank").await.expect_err("it is not bob's");
    let history = ListHistoryRequest {
        deployment: bank,
        ..ListHistoryRequest::default()
    };
    let history = bob.deployments().list_history(history).await;
    history.expect_err("it is not bob's either");
    let stranger = guarded.stranger().await;
    stranger.list("").await.expect_err("nobody in particular");

    let log = eventually("the last line of the log", async || {
        let log = guarded.server.log();
        (log.matches(DENIED).count() >= 4).then_some(log)
    })
    .await;
    let lines = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let denied: Vec<Value> = lines
        .filter(|line: &Value| line["message"] == DENIED)
        .collect();
    let expected = [
        (Some("bob"), "CreateDeployment"),
        (Some("bob"), "ListDeployments"),
        (Some("bob"), "ListHistory"),
        (None, "ListDeployments"),
    ];
    let found: Vec<_> = denied
        .iter()
        .map(|line| {
            assert_eq!(line["level"], "WARN", "{line}");
            assert!(
                !line["why"].as_str().expect("a reason").is_empty(),
                "{line}"
            );
            let method = line["method"].as_str().expect("a method");
            let (_, name) = method.rsplit_once('/').expect("SERVICE/METHOD");
            (line["actor"].as_str(), name)
        })
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_has_the_names_that_the_credentials_have() {
    let guarded = GuardedServer::start(&[
        of_token("alice", "vrd_alice", &["operator"], &["*"]),
        of_token("the pipeline", "vrd_ci", &["promoter"], &["shop"]),
    ])
    .await;
    let alice = guarded.client("vrd_alice").await;
    let created = alice.create("shop", "web", 0).await.expect("created");
    let revision = CreateRevisionRequest {
        deployment: created.id.clone(),
        spec: creation(0, manual()).initial_revision,
        ..CreateRevisionRequest::default()
    };
    let reply = alice.deployments().create_revision(revision).await;
    let revision = reply.expect("created").into_inner().revision;
    let revision = revision.expect("a revision");
    assert_eq!(revision.created_by, "alice");

    let ci = guarded.client("vrd_ci").await;
    let activate = ActivateRevisionRequest {
        deployment: created.id.clone(),
        revision: revision.id,
        ..ActivateRevisionRequest::default()
    };
    // There are no routes, so that it is the current one at once.
    let activated = alice.deployments().activate_revision(activate).await;
    activated.expect("an operator may activate");
    let pause = PauseDeploymentRequest {
        deployment: "shop/web".to_owned(),
        reason: "it is Friday".to_owned(),
        ..PauseDeploymentRequest::default()
    };
    let paused = ci.deployments().pause_deployment(pause).await;
    paused.expect("a promoter may pause");

    let request = ListHistoryRequest {
        deployment: created.id,
        ..ListHistoryRequest::default()
    };
    let reply = ci.deployments().list_history(request).await;
    let entries = reply.expect("a list").into_inner().entries;
    let actor = |phase: &str| {
        let found = entries.iter().find(|entry| entry.phase == phase);
        found
            .unwrap_or_else(|| panic!("{phase}: {entries:?}"))
            .actor
            .as_str()
    };
    assert_eq!(actor("CREATE"), "alice");
    assert_eq!(actor("ACTIVATE"), "alice");
    assert_eq!(actor("PAUSE"), "the pipeline");
}

/// A call with a header as it is.
async fn plain(guarded: &GuardedServer, header: &str) -> Result<(), tonic::Status> {
    let channel = Channel::from_shared(guarded.server.url()).expect("a URL");
    let channel = channel.connect().await.expect("the server is there");
    let mut request = tonic::Request::new(ListDeploymentsRequest::default());
    let value = header.parse().expect("a header");
    request.metadata_mut().insert("authorization", value);
    let mut client = DeploymentServiceClient::new(channel);
    within("a reply", client.list_deployments(request))
        .await
        .map(drop)
}

const GOOD: &str = "vrd_4oTTnyV2kq8mWl1DqLw0nA7yJx3RbZcEfGhIjKlMnOp";
const BAD: &str = "vrd_0000000000000000000000000000000000000000000";

const DENIED: &str = "a call was denied";
