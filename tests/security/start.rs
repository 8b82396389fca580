//! What a server is told about who may call, and what it says about it.

use std::{future::poll_fn, path::Path, process::Stdio};

use nix::{sys::stat::Mode, unistd::mkfifo};
use rstest::rstest;
use tokio::process::Command;
use tonic::{
    Code,
    body::Body,
    codegen::{Body as _, Service as _, http},
};

use super::{
    pki::{Authority, Files},
    staff::{CredentialsFile, GuardedServer, of_token},
};
use crate::harness::{
    Api, Engine, FinishedProgram, Server, TestDatabase, finish, refused, tool, viridian, within,
};

#[tokio::test]
async fn without_credentials_it_says_that_it_listens_on_loopback_only() {
    let server = Server::start(Engine::Sqlite).await;
    assert!(server.address().ip().is_loopback());
    let api = server.api().await;
    let status = api.find("shop/web").await.expect_err("there is none");
    refused(&status, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
    server.logs("listening on loopback only").await;
}

#[tokio::test]
async fn with_credentials_it_says_that_they_are_needed() {
    let entry = of_token("ci", "vrd_ci", &["viewer"], &["*"]);
    let guarded = GuardedServer::start_with(&[entry], |command| {
        command.arg("--insecure");
    })
    .await;
    let status = guarded.stranger().await.list("").await;
    let status = status.expect_err("--insecure lets nobody in");
    refused(&status, Code::Unauthenticated, "CREDENTIALS_MISSING");
    let server = guarded.server;
    server.logs("only those with credentials may call").await;
    server.logs("--insecure changes nothing").await;
}

#[rstest]
#[case::all_addresses("0.0.0.0:0")]
#[case::all_addresses_v6("[::]:0")]
#[tokio::test]
async fn others_are_not_let_in_without_credentials(#[case] listen: &str) {
    let error = refused_to_start(&["--listen", listen]).await;
    assert!(
        error.contains("--tokens") && error.contains("--insecure"),
        "{error}"
    );
    // Encrypted is not enough.
    let (files, pair) = (Files::create(), Authority::new("servers").server());
    let cert = files.write("server.pem", &pair.cert);
    let key = files.write("server.key", &pair.key);
    let arguments = [
        "--listen",
        listen,
        "--tls-cert",
        text(&cert),
        "--tls-key",
        text(&key),
    ];
    let error = refused_to_start(&arguments).await;
    assert!(error.contains("--tokens"), "{error}");
}

#[rstest]
#[case::all_addresses("0.0.0.0:0")]
#[case::all_addresses_v6("[::]:0")]
#[tokio::test]
async fn g17_tokens_do_not_come_in_clear_unless_that_is_wanted(#[case] listen: &str) {
    let entry = of_token("ci", "vrd_ci", &["viewer"], &["*"]);
    let file = CredentialsFile::create(&[entry]);
    let path = file.path();
    let flags = ["--listen", listen, "--tokens", text(&path)];
    let error = refused_to_start(&flags).await;
    for part in ["in clear", "--tls-cert", "--insecure"] {
        assert!(error.contains(part), "{error}");
    }
    // Where it is wanted, or not needed: `doctor` looks at the same configuration.
    let (files, pair) = (Files::create(), Authority::new("servers").server());
    let cert = files.write("server.pem", &pair.cert);
    let key = files.write("server.key", &pair.key);
    let tls = ["--tls-cert", text(&cert), "--tls-key", text(&key)];
    for more in [&["--insecure"] as &[_], &tls] {
        let run = finish(viridian(&[&["doctor"], &flags[..], more].concat())).await;
        assert!(run.stdout.contains("1 caller in"), "{run:?}");
        assert!(!run.stdout.contains("would be sent in clear"), "{run:?}");
    }
}

#[tokio::test]
async fn g7_all_pages_may_call_only_with_credentials() {
    for more in [&[][..], &["--insecure"]] {
        let all = ["--grpc-web", "--grpc-web-origin", "https://a.example,*"];
        let error = refused_to_start(&[&all[..], more].concat()).await;
        assert!(
            error.contains("--grpc-web-origin: * needs --tokens"),
            "{error}"
        );
    }
}

#[rstest]
#[case::empty("", "there is no [[credential]]")]
#[case::no_toml("ci: viewer\n", "line 1: ")]
#[case::no_role("\n[[credential]]\nname = \"ci\"\nroles = [\"admin\"]\n", "line 4: ")]
#[case::no_text("\u{fffe}", "line 1")]
#[tokio::test]
async fn a_file_that_is_not_valid_is_a_configuration_error(
    #[case] content: &str,
    #[case] part: &str,
) {
    let file = CredentialsFile::create(&[content.to_owned()]);
    let error = refused_to_start(&["--tokens", text(&file.path())]).await;
    assert!(error.contains(part), "{error}");
    assert!(error.contains(text(&file.path())), "{error}");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_a_configuration_error() {
    let file = CredentialsFile::create(&[]);
    let missing = file.folder().join("missing.toml");
    let error = refused_to_start(&["--tokens", text(&missing)]).await;
    assert!(error.contains("missing.toml"), "{error}");
    let error = refused_to_start(&["--tokens", text(file.folder())]).await;
    assert!(error.contains("cannot read"), "{error}");
}

#[tokio::test]
async fn g17_a_file_without_an_end_is_a_configuration_error() {
    let file = CredentialsFile::create(&[]);
    let pipe = file.folder().join("pipe");
    mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
    for endless in [pipe.as_path(), Path::new("/dev/zero")] {
        let error = refused_to_start(&["--tokens", text(endless)]).await;
        assert!(error.contains("it is not a regular file"), "{error}");
        let pair = ["--tls-cert", text(endless), "--tls-key", text(endless)];
        let error = refused_to_start(&pair).await;
        assert!(error.contains("it is not a regular file"), "{error}");
    }
}

#[tokio::test]
async fn tls_that_cannot_work_is_a_configuration_error() {
    let (files, authority) = (Files::create(), Authority::new("servers"));
    let (one, other) = (authority.server(), authority.server());
    let cert = files.write("server.pem", &one.cert);
    let key = files.write("server.key", &one.key);
    let other_key = files.write("other.key", &other.key);
    let entry = of_token("ci", "vrd_ci", &["viewer"], &["*"]);
    let credentials = CredentialsFile::create(&[entry]);
    let tokens = credentials.path();
    let both = ["--tls-cert", text(&cert), "--tls-key", text(&key)];
    for (arguments, part) in [
        (vec!["--tls-cert", text(&cert)], "--tls-key"),
        (vec!["--tls-key", text(&key)], "--tls-cert"),
        (vec!["--tls-client-ca", text(&cert)], "--tls-cert"),
        (
            vec!["--tls-cert", text(&cert), "--tls-key", text(&other_key)],
            "do not fit",
        ),
        (
            vec!["--tls-cert", text(&key), "--tls-key", text(&key)],
            "server.key",
        ),
        (
            vec!["--tls-cert", text(&cert), "--tls-key", "missing.key"],
            "missing.key",
        ),
        (
            [&both[..], &["--tls-client-ca", text(&cert)]].concat(),
            "--tokens",
        ),
        (
            [
                &both[..],
                &["--tls-client-ca", text(&key), "--tokens", text(&tokens)],
            ]
            .concat(),
            "has no certificate",
        ),
    ] {
        let error = refused_to_start(&arguments).await;
        assert!(error.contains(part), "{arguments:?}: {error}");
    }
}

#[tokio::test]
async fn health_is_for_everyone_and_reflection_for_those_with_credentials() {
    let entry = of_token("ci", "vrd_ci", &["proxy"], &["shop"]);
    let guarded = GuardedServer::start(&[entry]).await;
    let check = "grpc.health.v1.Health/Check";
    // Without reflection grpcurl has to be told what a health check is.
    let folder = Files::create();
    let proto = folder.write("health.proto", HEALTH);
    let told = ["-proto", text(&proto), "-import-path", "/"];
    for (token, flags, call, answered) in [
        (None, &told[..], check, true),
        (Some("vrd_wrong"), &told, check, true),
        (None, &[], "list", false),
        (Some("vrd_wrong"), &[], "list", false),
        (Some("vrd_ci"), &[], "list", true),
    ] {
        let mut command = Command::new(tool("grpcurl"));
        command
            .arg("-plaintext")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .args(flags);
        if let Some(token) = token {
            command.args(["-H", &format!("authorization: Bearer {token}")]);
        }
        command.args([&guarded.server.address().to_string(), call]);
        let run = finish(command).await;
        assert_eq!(run.code == Some(0), answered, "{token:?} {call}: {run:?}");
        let told = ["SERVING", "viridian.deployment.v1.DeploymentService"];
        let answer = told.iter().any(|part| run.stdout.contains(part));
        assert_eq!(answer, answered, "{run:?}");
    }
}

/// Whatever stands between sees a reply like any other.
#[tokio::test]
async fn a_refusal_is_a_whole_reply() {
    let entry = of_token("ci", "vrd_ci", &["viewer"], &["*"]);
    let guarded = GuardedServer::start(&[entry]).await;
    let mut channel = guarded.server.api().await.channel();
    let request = http::Request::post(
        guarded.server.url() + "/viridian.deployment.v1.DeploymentService/GetDeployment",
    );
    let request = request.header("content-type", "application/grpc");
    let request = request.body(Body::empty()).expect("a request");
    poll_fn(|context| channel.poll_ready(context))
        .await
        .expect("the server is there");
    let reply = within("a reply", channel.call(request))
        .await
        .expect("a reply");
    assert_eq!(reply.status(), 200);
    let headers = reply.headers();
    assert_eq!(headers["content-type"], "application/grpc");
    assert_eq!(headers["grpc-status"], "16");
    assert!(headers.contains_key("grpc-message"));
    assert!(headers.contains_key("grpc-status-details-bin"));
    assert!(reply.into_body().is_end_stream(), "and nothing else");
}

/// What is not in the contract says so, with and without credentials to ask for.
#[tokio::test]
async fn a_method_that_is_not_there_is_unimplemented() {
    let server = Server::start(Engine::Sqlite).await;
    let status = unknown_method(&server.api().await).await;
    refused(&status, Code::Unimplemented, "METHOD_NOT_FOUND");
    let entry = of_token("ci", "vrd_ci", &["viewer"], &["*"]);
    let guarded = GuardedServer::start(&[entry]).await;
    let status = unknown_method(&guarded.server.api().await).await;
    refused(&status, Code::Unauthenticated, "CREDENTIALS_MISSING");
}

async fn unknown_method(api: &Api) -> tonic::Status {
    use tonic::{Request, client::Grpc, codegen::http::uri::PathAndQuery};
    let mut client = Grpc::new(api.channel());
    client.ready().await.expect("the server is there");
    let path = PathAndQuery::from_static("/viridian.deployment.v1.DeploymentService/Conquer");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let call = client.unary(Request::new(()), path, codec);
    within("a reply", call)
        .await
        .expect_err("there is no such method")
}

/// Asserts that a server does not start, and gives the one line that it says.
async fn refused_to_start(arguments: &[&str]) -> String {
    let database = TestDatabase::create(Engine::Sqlite).await;
    let mut all = vec!["serve", "--database", database.url()];
    if !arguments.contains(&"--listen") {
        all.extend(["--listen", "127.0.0.1:0"]);
    }
    all.extend(arguments);
    let run: FinishedProgram = finish(viridian(&all)).await;
    assert_eq!(run.code, Some(100), "{arguments:?}: {run:?}");
    let lines: Vec<_> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "one line: {run:?}");
    assert!(lines[0].starts_with("error: "), "{run:?}");
    lines[0].to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

const HEALTH: &str = r#"
syntax = "proto3";
package grpc.health.v1;
message HealthCheckRequest { string service = 1; }
message HealthCheckResponse {
  enum ServingStatus { UNKNOWN = 0; SERVING = 1; }
  ServingStatus status = 1;
}
service Health { rpc Check(HealthCheckRequest) returns (HealthCheckResponse); }
"#;
