//! The operator's verbs: what they print, and how they exit.

use rstest::rstest;
use serde_json::Value;

use crate::harness::{Engine, Finished, REFERENCE, World, closed_port, finish, manual, viridian};

#[tokio::test]
async fn exit_codes_tell_what_went_wrong() {
    let world = World::start(Engine::Sqlite).await;
    let url = world.server.url();
    world.serving(1, manual()).await;
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

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn a_deployment_from_creation_to_promotion(#[case] engine: Engine) {
    let world = World::start(engine).await;
    let url = world.server.url();
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
    world.api.until("shop/cart", "READY", is_ready).await;
    let ready = |it: &viridian_proto::v1::Deployment| {
        it.lifecycle() == viridian_proto::v1::DeploymentLifecycle::Ready
    };
    world.api.until("shop/cart", "READY", ready).await;

    let activate = ["activate", "shop/cart", "--image", "cart:2", "-o", "json"];
    json(&url, &activate).await;
    let at_gate = |it: &viridian_proto::v1::Deployment| {
        it.sub_step() == viridian_proto::v1::DeploymentSubStep::AwaitingPromotion
    };
    let gate = world.api.until("shop/cart", "the gate", at_gate).await;
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

/// The output of a verb that succeeds, parsed.
async fn json(url: &str, arguments: &[&str]) -> Value {
    let run = deployment(url, arguments).await;
    assert_eq!(run.code, Some(0), "{arguments:?}: {run:?}");
    serde_json::from_str(&run.stdout).expect("JSON")
}

async fn deployment(url: &str, arguments: &[&str]) -> Finished {
    let mut all = vec!["deployment"];
    all.extend(arguments);
    let mut command = viridian(&all);
    command.env("VIRIDIAN_SERVER", url);
    finish(command).await
}
