//! The operator's verbs: what they print, and how they exit.

mod acts;
mod apply;
mod asked;
mod back;
mod canary;
mod ends;
mod evidence;
mod exit_codes;
mod live;
mod narrow;
mod protocol;
mod readme;
mod replicas;
mod says;
mod sets;
mod top;
mod verbs;
mod waiting;

use rstest::rstest;
use rstest_reuse::apply;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{
    engines::both_engines,
    harness::{
        Engine, FinishedProgram, REFERENCE, Server, SwitchableProxy, TestEnv, closed_port, delete,
        finish, manual, pause, viridian, within,
    },
};

#[tokio::test]
async fn exit_codes_tell_what_went_wrong() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(1, manual()).await;
    for (arguments, code) in [
        (["get", "nope/nope"].as_slice(), 64 + 5),
        (&["get", "nope"], 64 + 3),
        (&["promote", REFERENCE], 64 + 9),
        (&["create", REFERENCE, "--image", "i"], 64 + 6),
        (
            &["promote", REFERENCE, "--expected-generation", "99"],
            64 + 10,
        ),
        (&["get", REFERENCE], 0),
    ] {
        let run = deployment(&url, arguments).await;
        assert_eq!(run.code, Some(code), "{arguments:?}: {run:?}");
        if code == 0 {
            assert_eq!(run.stderr, "");
        } else {
            assert!(run.stderr.starts_with("error: "), "{run:?}");
            assert_eq!(run.stdout, "");
        }
    }
}

#[tokio::test]
async fn no_server_is_unavailable() {
    let url = format!("http://{}", closed_port());
    let run = deployment(&url, &["get", REFERENCE]).await;
    assert_eq!(run.code, Some(64 + 14), "{run:?}");
    assert!(run.stderr.contains(&url), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
}

#[rstest]
#[case::no_command(&[])]
#[case::unknown_command(&["conquer"])]
#[case::no_verb(&["deployment"])]
#[case::no_reference(&["deployment", "get"])]
#[case::unknown_flag(&["serve", "--sideways"])]
#[tokio::test]
async fn bad_usage_is_2(#[case] arguments: &[&str]) {
    let run = finish(viridian(arguments)).await;
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(!run.stderr.is_empty());
}

#[apply(both_engines)]
#[tokio::test]
async fn a_deployment_from_creation_to_promotion(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let url = env.server.url();
    let create = [
        "create",
        "shop/cart",
        "--replicas",
        "2",
        "--image",
        "cart:1",
    ];
    let group = ["--resource-group", crate::harness::GROUP, "-o", "json"];
    let created = json(&url, &[create.as_slice(), &group].concat()).await;
    assert_eq!(created["lifecycle"], "DEPLOYMENT_LIFECYCLE_PENDING");
    assert_eq!(created["targetReplicas"], 2);
    let is_ready = |it: &viridian_proto::v1::Deployment| it.blue.unwrap_or_default().ready == 2;
    env.api.until("shop/cart", "READY", is_ready).await;
    let ready = |it: &viridian_proto::v1::Deployment| {
        it.lifecycle() == viridian_proto::v1::DeploymentLifecycle::Ready
    };
    env.api.until("shop/cart", "READY", ready).await;

    let activate = ["activate", "shop/cart", "--image", "cart:2", "-o", "json"];
    json(&url, &activate).await;
    let at_gate = |it: &viridian_proto::v1::Deployment| {
        it.sub_step() == viridian_proto::v1::DeploymentSubStep::AwaitingPromotion
    };
    let gate = env.api.until("shop/cart", "the gate", at_gate).await;
    let table = deployment(&url, &["list", "--project", "shop"]).await;
    assert!(table.stdout.contains("shop/cart"), "{table:?}");
    assert!(table.stdout.contains("AWAITING_PROMOTION"), "{table:?}");

    let promote = ["promote", "shop/cart", "-o", "json"];
    let promoted = json(&url, &promote).await;
    assert_eq!(
        promoted["promotedRouteIds"].as_array().map(Vec::len),
        Some(2)
    );
    let got = json(&url, &["get", "shop/cart", "-o", "json"]).await;
    assert_eq!(got["lifecycle"], "DEPLOYMENT_LIFECYCLE_READY");
    assert_eq!(
        got["currentRevisionId"],
        gate.deploying_revision_id.as_str()
    );
    let listed = json(&url, &["list", "-o", "json"]).await;
    assert_eq!(listed["deployments"][0]["id"], got["id"]);
}

#[apply(both_engines)]
#[tokio::test]
async fn a_watch_tells_each_change_until_it_is_as_asked_for(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let url = env.server.url();
    env.serving(2, manual()).await;
    let ready = deployment(&url, &["watch", REFERENCE, "--until", "ready"]).await;
    assert_eq!(ready.code, Some(0), "{ready:?}");
    assert_eq!(ready.stdout, "NOW          READY, blue 2/2\n");

    let url_of_watch = url.clone();
    let watch = tokio::spawn(async move {
        let until = [
            "watch",
            REFERENCE,
            "--until",
            "awaiting-promotion",
            "-o",
            "json",
        ];
        deployment(&url_of_watch, &until).await
    });
    env.bring_up().await;
    let watch = watch.await.expect("no panic");
    assert_eq!(watch.code, Some(0), "{watch:?}");
    let events = watch.stdout.lines().map(serde_json::from_str::<Value>);
    let events: Vec<Value> = events.map(|event| event.expect("JSON")).collect();
    assert_eq!(events[0]["kind"], "DEPLOYMENT_EVENT_KIND_SNAPSHOT");
    let last = events.last().expect("the last event");
    assert_eq!(
        last["deployment"]["subStep"],
        "DEPLOYMENT_SUB_STEP_AWAITING_PROMOTION"
    );

    let waits = ["watch", REFERENCE, "--until", "ready", "--timeout", "1ms"];
    let waits = deployment(&url, &waits).await;
    assert_eq!(waits.code, Some(1), "{waits:?}");
    assert!(
        waits.stderr.contains("is not ready: timed out"),
        "{waits:?}"
    );
    let nobody = deployment(&url, &["watch", "nope/nope"]).await;
    assert_eq!(nobody.code, Some(64 + 5), "{nobody:?}");
}

#[tokio::test]
async fn a_watch_goes_on_when_its_server_comes_back() {
    let first = Server::start(Engine::Postgres).await;
    let second = first.beside().await;
    let api = second.api().await;
    let mut request = crate::harness::creation(0, manual());
    request.initial_revision = None;
    let it = api.create(request).await.expect("it is created");
    // A way to the first server, and then to the second.
    let way = SwitchableProxy::to(first.address()).await;
    let mut command = viridian(&["deployment", "watch", REFERENCE]);
    command.env("VIRIDIAN_SERVER", way.url());
    let mut process = command.spawn().expect("it can be started");
    let stdout = process.stdout.take().expect("stdout is a pipe");
    let mut lines = BufReader::new(stdout).lines();
    let mut next = async || {
        let line = within("the next line", lines.next_line()).await;
        line.expect("it can be read")
    };
    assert!(next().await.is_some_and(|line| line.starts_with("NOW ")));
    way.switch_to(second.address());
    // While it is on the way, and when it is there.
    let paused = api.deployments().pause_deployment(pause(&it.id)).await;
    paused.expect("it is paused");
    let line = next().await.expect("a line");
    assert!(
        line.starts_with("UPDATED ") && line.contains("paused"),
        "{line}"
    );
    let deleted = api.deployments().delete_deployment(delete(&it.id)).await;
    deleted.expect("it is deleted");
    let mut last = String::new();
    while let Some(line) = next().await {
        assert!(!line.starts_with("NOW "), "{line}");
        last = line;
    }
    assert!(last.starts_with("DESTROYED "), "{last}");
    let status = within("its end", process.wait()).await.expect("it ends");
    assert_eq!(status.code(), Some(0));
}

/// The output of a verb that succeeds, parsed.
async fn json(url: &str, arguments: &[&str]) -> Value {
    let run = deployment(url, arguments).await;
    assert_eq!(run.code, Some(0), "{arguments:?}: {run:?}");
    serde_json::from_str(&run.stdout).expect("JSON")
}

async fn deployment(url: &str, arguments: &[&str]) -> FinishedProgram {
    let mut all = vec!["deployment"];
    all.extend(arguments);
    let mut command = viridian(&all);
    command.env("VIRIDIAN_SERVER", url);
    finish(command).await
}
