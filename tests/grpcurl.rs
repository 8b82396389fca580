//! From a shell, with nothing but grpcurl: reflection has all that it takes, and
//! errors are readable.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::harness::{Engine, FinishedProgram, REFERENCE, TestEnv, finish, manual, tool};

#[tokio::test]
async fn lists_the_services() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let run = grpcurl(&env, &[], &["list"]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    for service in [
        "DeploymentService",
        "RouteService",
        "TrafficService",
        "SystemService",
    ] {
        let name = format!("viridian.deployment.v1.{service}");
        assert!(run.stdout.lines().any(|line| line == name), "{run:?}");
    }
    for service in ["grpc.health.v1.Health", "grpc.reflection.v1alpha"] {
        assert!(run.stdout.contains(service), "{run:?}");
    }
}

#[tokio::test]
async fn describes_methods_and_messages_with_their_comments() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let method = "viridian.deployment.v1.DeploymentService.PromoteDeployment";
    let run = grpcurl(&env, &[], &["describe", method]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("rpc PromoteDeployment"), "{run:?}");
    assert!(run.stdout.contains("Switches all traffic"), "{run:?}");

    let message = "viridian.deployment.v1.PromoteDeploymentRequest";
    let run = grpcurl(&env, &[], &["describe", message]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("bool validate_only = 3;"), "{run:?}");
    assert!(run.stdout.contains("Change nothing; only say"), "{run:?}");
    for detail in ["ErrorInfo", "PreconditionFailure", "BadRequest"] {
        let name = format!("google.rpc.{detail}");
        let run = grpcurl(&env, &[], &["describe", &name]).await;
        assert_eq!(run.code, Some(0), "{run:?}");
    }
}

#[tokio::test]
async fn promotes() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let gate = env.at_gate(2, manual()).await;
    let run = promote(&env).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let reply: Value = serde_json::from_str(&run.stdout).expect("JSON");
    let deployment = &reply["deployment"];
    assert_eq!(deployment["lifecycle"], "DEPLOYMENT_LIFECYCLE_READY");
    assert_eq!(
        deployment["currentRevisionId"],
        gate.deploying_revision_id.as_str()
    );
    assert_eq!(reply["promotedRouteIds"].as_array().map(Vec::len), Some(2));
}

/// A line for each of the other calls of an operator.
#[tokio::test]
async fn operates() {
    let env = TestEnv::start(Engine::Sqlite).await;
    env.at_gate(1, manual()).await;
    for (method, fields, part) in [
        ("GetRevision", r#","revision":"2""#, r#""number":"2""#),
        ("ListRevisions", r#","pageSize":1"#, r#""nextPageToken":"#),
        (
            "PauseDeployment",
            r#","reason":"lunch""#,
            r#""paused":true"#,
        ),
        (
            "ResumeDeployment",
            "",
            r#""lifecycle":"DEPLOYMENT_LIFECYCLE_DEPLOYING""#,
        ),
        (
            "AbortDeployment",
            "",
            r#""lifecycle":"DEPLOYMENT_LIFECYCLE_READY""#,
        ),
        (
            "RestartDeployment",
            r#","reason":"new certificates""#,
            r#""code":"BLOCKER_CODE_RESTARTING""#,
        ),
        (
            "UpdateDeployment",
            r#","policy":{"drainGrace":"9s"},"updateMask":{"paths":["policy.drain_grace"]}"#,
            r#""drainGrace":"9s""#,
        ),
        (
            "RollbackDeployment",
            r#","revision":"2""#,
            r#""deployingRevisionId":"#,
        ),
        ("ListHistory", "", r#""reason":"lunch""#),
        (
            "DeleteDeployment",
            "",
            r#""lifecycle":"DEPLOYMENT_LIFECYCLE_DESTROYING""#,
        ),
    ] {
        let request = format!(r#"{{"deployment":"{REFERENCE}"{fields}}}"#);
        let method = format!("viridian.deployment.v1.DeploymentService/{method}");
        let run = grpcurl(&env, &["-d", &request], &[&method]).await;
        assert_eq!(run.code, Some(0), "{run:?}");
        let text = run.stdout.replace([' ', '\n'], "");
        assert!(text.contains(part), "{method}: {run:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_printed_with_its_details() {
    let env = TestEnv::start(Engine::Sqlite).await;
    env.serving(1, manual()).await;
    let run = promote(&env).await;
    assert_eq!(run.code, Some(64 + 9), "{run:?}");
    // How it lays JSON out depends on its version.
    let text = run.stderr.replace([' ', '\n'], "");
    for part in [
        "Code:FailedPrecondition",
        "google.rpc.ErrorInfo",
        "\"reason\":\"NOT_DEPLOYING\"",
        "\"domain\":\"viridian\"",
        "google.rpc.PreconditionFailure",
        "\"type\":\"NOT_DEPLOYING\"",
        "\"subject\":\"shop/web\"",
    ] {
        assert!(text.contains(part), "{part}: {run:?}");
    }
}

#[tokio::test]
async fn the_server_says_that_it_serves() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let run = grpcurl(&env, &[], &["grpc.health.v1.Health/Check"]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("SERVING"), "{run:?}");
}

async fn promote(env: &TestEnv) -> FinishedProgram {
    let request = format!(r#"{{"deployment":"{REFERENCE}"}}"#);
    let method = "viridian.deployment.v1.DeploymentService/PromoteDeployment";
    grpcurl(env, &["-d", &request], &[method]).await
}

async fn grpcurl(env: &TestEnv, flags: &[&str], rest: &[&str]) -> FinishedProgram {
    let mut command = Command::new(tool("grpcurl"));
    command
        .arg("-plaintext")
        .args(flags)
        .arg(env.server.address().to_string())
        .args(rest)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    finish(command).await
}
