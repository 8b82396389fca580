//! What every method refuses in the same way, whatever it is for.

use std::time::Duration;

use prost_reflect::MethodDescriptor;
use rstest::rstest;
use tokio::task::{JoinSet, LocalSet};
use tonic::{Code, Status};

use super::{
    case::{Case, MethodOutcome},
    cases,
    contract_env::ContractEnv,
};
use crate::harness::{Engine, TestEnv, encode, method, methods, path, refused};

/// The codes and reasons. docs/api.md has them in a table of their own, since
/// that of the methods leaves them out.
pub(super) const REFUSALS: [(Code, &str); 15] = [
    (Code::InvalidArgument, "MALFORMED_MESSAGE"),
    (Code::InvalidArgument, "MESSAGE_TOO_LARGE"),
    (Code::InvalidArgument, "NOT_GRPC"),
    (Code::Unimplemented, "METHOD_NOT_FOUND"),
    (Code::Unimplemented, "ENCODING_NOT_SUPPORTED"),
    (Code::Unavailable, "DATABASE_UNAVAILABLE"),
    (Code::Unavailable, "DATABASE_FILE_MOVED"),
    (Code::Unavailable, "DATABASE_READ_ONLY"),
    (Code::Unavailable, "STORAGE_FULL"),
    (Code::Unavailable, "CONNECTION_AGED"),
    (Code::DeadlineExceeded, "MESSAGE_TOO_SLOW"),
    (Code::Unavailable, "SHUTTING_DOWN"),
    (Code::ResourceExhausted, "TOO_MANY_REQUESTS"),
    (Code::ResourceExhausted, "QUOTA_EXCEEDED"),
    (Code::Internal, "INTERNAL"),
];

#[tokio::test]
async fn bytes_that_are_no_message_are_malformed() {
    let env = TestEnv::start(Engine::Sqlite).await;
    for method in methods() {
        for bytes in [&[0xff][..], &[0x0a, 0x05, b'x'], &[0x08 | 7]] {
            let refusal = env.api.raw(&path(&method), bytes.to_vec()).await;
            let refusal = refusal.expect_err(method.name());
            refused(&refusal, Code::InvalidArgument, "MALFORMED_MESSAGE");
        }
    }
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_told_by_its_field() {
    let env = TestEnv::start(Engine::Sqlite).await;
    for (name, bytes, field) in [
        ("GetDeployment", &[0x0a, 0x01, 0xff][..], "deployment"),
        (
            "CreateDeployment",
            &[0x42, 0x03, 0x0a, 0x01, 0xff],
            "initial_revision.image",
        ),
    ] {
        let refusal = env.api.raw(&path(&method(name)), bytes.to_vec()).await;
        let refusal = refusal.expect_err(name);
        let details = refused(&refusal, Code::InvalidArgument, "MALFORMED_MESSAGE");
        let request = details.bad_request().expect("a BadRequest");
        let [violation] = &request.field_violations[..] else {
            panic!("one violation: {request:?}")
        };
        assert_eq!(violation.field, field);
    }
}

#[tokio::test]
async fn a_message_of_more_than_1_mib_is_too_large() {
    let env = TestEnv::start(Engine::Sqlite).await;
    for method in methods() {
        let refusal = env.api.raw(&path(&method), vec![0; 1024 * 1024 + 1]).await;
        let refusal = refusal.expect_err(method.name());
        refused(&refusal, Code::InvalidArgument, "MESSAGE_TOO_LARGE");
    }
}

#[rstest]
#[case::method("viridian.deployment.v1.DeploymentService/Conquer")]
#[case::service("viridian.deployment.v2.DeploymentService/GetDeployment")]
#[tokio::test]
async fn what_is_not_there_is_unimplemented(#[case] path: &str) {
    let env = TestEnv::start(Engine::Sqlite).await;
    let refusal = env.api.raw(path, Vec::new()).await;
    let refusal = refusal.expect_err("there is no such thing");
    refused(&refusal, Code::Unimplemented, "METHOD_NOT_FOUND");
}

/// PostgreSQL only: a file does not go away.
#[tokio::test]
async fn while_the_database_is_away_every_method_says_so() {
    let env = TestEnv::start(Engine::Postgres).await;
    let mut requests = Vec::new();
    for (number, case) in requests_that_are_done().into_iter().enumerate() {
        let contract = ContractEnv::set(&env, case.initial, number).await;
        let method = method(case.method);
        // It says what the server is, and why nothing works may be what is asked.
        if method.name() == "GetServerInfo" {
            continue;
        }
        requests.push((
            path(&method),
            encode(&method, &contract.fill(&case.request)),
        ));
    }
    env.server.database().lock_out().await;
    for (path, request) in requests {
        let refusal = env.api.raw(&path, request).await;
        let refusal = refusal.expect_err(&path);
        let details = refused(&refusal, Code::Unavailable, "DATABASE_UNAVAILABLE");
        let retry = details.retry_info().expect("when to try again");
        assert_eq!(retry.retry_delay, Some(Duration::from_secs(1)), "{path}");
    }
}

/// PostgreSQL only: in SQLite nobody else can.
#[tokio::test]
async fn a_deployment_that_someone_else_holds_is_not_waited_for() {
    let env = TestEnv::start(Engine::Postgres).await;
    let mut requests = Vec::new();
    for (number, case) in requests_that_are_done().into_iter().enumerate() {
        let method = method(case.method);
        if locks_a_deployment(&method) {
            let contract = ContractEnv::set(&env, case.initial, number).await;
            requests.push((
                path(&method),
                encode(&method, &contract.fill(&case.request)),
            ));
        }
    }
    assert_eq!(requests.len(), 15, "all that change a deployment");
    let holder = env.server.database().hold_deployments().await;
    let refusals = LocalSet::new().run_until(call_all(&env, requests)).await;
    drop(holder);
    for refusal in refusals {
        refused(&refusal, Code::Aborted, "DEPLOYMENT_HELD");
    }
}

/// Whoever changes a deployment has to. A report of one that is held fails alone, in
/// its result.
pub(super) fn locks_a_deployment(method: &MethodDescriptor) -> bool {
    let input = method.input();
    let changes = input.get_field_by_name("request_id").is_some();
    changes && method.name() != "CreateDeployment"
}

async fn call_all(env: &TestEnv, requests: Vec<(String, Vec<u8>)>) -> Vec<Status> {
    let mut running = JoinSet::new();
    for (path, request) in requests {
        let api = env.api.clone();
        running.spawn_local(async move { api.raw(&path, request).await.expect_err(&path) });
    }
    running.join_all().await
}

/// One of each method, such that its initial alone is enough for it.
fn requests_that_are_done() -> Vec<Case> {
    let mut found: Vec<Case> = Vec::new();
    for case in cases::all() {
        let enough = matches!(case.outcome, MethodOutcome::Done(_)) && case.first.is_none();
        if enough && found.iter().all(|it| it.method != case.method) {
            found.push(case);
        }
    }
    found
}
