//! From a shell, with nothing but buf: it finds the contract by reflection, and
//! shows errors with their details.

use std::process::Stdio;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use prost::Message;
use rstest::rstest;
use rstest_reuse::apply;
use serde_json::Value;
use tokio::process::Command;
use tonic_types::pb;

use crate::{
    engines::both_engines,
    harness::{Engine, FinishedProgram, REFERENCE, TestEnv, finish, manual, tool},
};

#[apply(both_engines)]
#[tokio::test]
async fn promotes(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let gate = env.at_gate(1, manual()).await;
    let run = promote(&env).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let reply: Value = serde_json::from_str(&run.stdout).expect("JSON");
    let deployment = &reply["deployment"];
    assert_eq!(deployment["lifecycle"], "DEPLOYMENT_LIFECYCLE_READY");
    assert_eq!(
        deployment["currentRevisionId"],
        gate.deploying_revision_id.as_str()
    );
}

#[apply(both_engines)]
#[tokio::test]
async fn a_refusal_is_printed_with_its_details(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(1, manual()).await;
    let run = promote(&env).await;
    // Its exit code is the gRPC code times 8.
    assert_eq!(run.code, Some(8 * 9), "{run:?}");
    let error: Value = serde_json::from_str(&run.stderr).expect("JSON");
    assert_eq!(error["code"], "failed_precondition");
    let details = error["details"].as_array().expect("details");
    let info: pb::ErrorInfo = detail(details, "google.rpc.ErrorInfo");
    assert_eq!(info.reason, "NOT_DEPLOYING");
    assert_eq!(info.domain, "viridian");
    let failure: pb::PreconditionFailure = detail(details, "google.rpc.PreconditionFailure");
    let [violation] = &failure.violations[..] else {
        panic!("one violation: {failure:?}")
    };
    assert_eq!(violation.r#type, "NOT_DEPLOYING");
    assert_eq!(violation.subject, REFERENCE);
}

/// The one detail of a kind, which buf gives as unpadded base64.
fn detail<M: Message + Default>(details: &[Value], kind: &str) -> M {
    let mut found = details.iter().filter(|it| it["type"] == kind);
    let first = found
        .next()
        .unwrap_or_else(|| panic!("{kind}: {details:?}"));
    assert!(found.next().is_none(), "one {kind}: {details:?}");
    let value = first["value"].as_str().expect("a value");
    let bytes = STANDARD_NO_PAD.decode(value).expect("base64");
    M::decode(&*bytes).expect(kind)
}

async fn promote(env: &TestEnv) -> FinishedProgram {
    let method = "viridian.deployment.v1.DeploymentService/PromoteDeployment";
    let mut command = Command::new(tool("buf"));
    command
        .args(["curl", "--protocol", "grpc", "--http2-prior-knowledge"])
        .args(["--data", &format!(r#"{{"deployment":"{REFERENCE}"}}"#)])
        .arg(format!("{}/{method}", env.server.url()))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    finish(command).await
}
