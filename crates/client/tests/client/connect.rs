//! What stands in the way of a connection, or breaks it.

use std::fs;

use tokio::net::TcpListener;
use viridian_client::{
    CallError, ClientIdentityFiles, ClientTlsFiles, ConnectError, ConnectErrorKind, ServerTarget,
    unary,
};
use viridian_proto::v1::{
    GetDeploymentRequest, deployment_service_client::DeploymentServiceClient,
};

use crate::test_server::{Operator, TestServer};

#[tokio::test]
async fn a_port_where_nothing_listens_refuses() {
    let error = failure("http://127.0.0.1:1").await;
    assert_eq!(error.kind, ConnectErrorKind::Refused);
    let text = error.to_string();
    let beginning = "cannot reach the server at http://127.0.0.1:1: ";
    assert!(text.starts_with(beginning), "{text}");
}

#[tokio::test]
async fn a_name_without_an_address_is_told_apart() {
    // Two dots in a row are no name, so that no resolver is asked.
    let error = failure("http://no..name:1").await;
    assert_eq!(error.kind, ConnectErrorKind::NameResolution, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_named_as_the_cause() {
    let server = TestServer::start().await;
    let url = server.target().url().replace("http://", "https://");
    let error = failure(&url).await;
    assert_eq!(error.kind, ConnectErrorKind::PlainServer, "{error}");
}

#[tokio::test]
async fn tls_files_that_cannot_be_used_are_told_apart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let identity = ClientIdentityFiles {
        cert: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
    };
    for file in [&identity.cert, &identity.key] {
        fs::write(file, "no PEM").expect("a file");
    }
    let key = identity.key.clone();
    let files = ClientTlsFiles {
        ca: None,
        identity: Some(identity),
    };
    let target = ServerTarget::new("https://127.0.0.1:1").expect("a URL");
    let target = target.with_tls(files).expect("they can be read");
    let error = target.connect().await.expect_err("there is no key");
    assert_eq!(error.kind, ConnectErrorKind::TlsFiles, "{error}");

    // The files are read at each connection, so that a renewed one is used.
    fs::remove_file(&key).expect("it is there");
    let error = target.connect().await.expect_err("it is gone");
    assert_eq!(error.kind, ConnectErrorKind::TlsFiles);
    assert!(error.reason.contains("key.pem"), "{error}");
}

#[tokio::test]
async fn a_connection_that_breaks_during_a_call_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            // Accepts, and hangs up.
            drop(listener.accept().await);
        }
    });
    let target = ServerTarget::new(&address.to_string()).expect("a URL");
    let error = get(&target).await.expect_err("it hangs up");
    assert!(matches!(error, CallError::Interrupted { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_channel_connects_again_and_tells_refused_from_interrupted() {
    let mut server = TestServer::start().await;
    let operator = Operator::connect(&server.target()).await;
    let call = async || {
        let request = GetDeploymentRequest {
            deployment: "shop/cart".to_owned(),
        };
        let mut client = operator.client.clone();
        unary(client.get_deployment(request)).await
    };
    let error = call().await.expect_err("no such deployment");
    assert!(matches!(error, CallError::Refused(_)), "{error:?}");

    server.stop().await;
    // The first call may still find the connection that ends.
    let error = loop {
        match call().await.expect_err("it is away") {
            CallError::Connect(error) => break error,
            CallError::Interrupted { .. } => {}
            error => panic!("{error:?}"),
        }
    };
    assert_eq!(error.kind, ConnectErrorKind::Refused);
    assert_eq!(error.server, None);

    server.start_again().await;
    let error = call().await.expect_err("no such deployment");
    assert!(matches!(error, CallError::Refused(_)), "{error:?}");
}

async fn failure(url: &str) -> ConnectError {
    let target = ServerTarget::new(url).expect("a URL");
    target.connect().await.expect_err("it is not there")
}

async fn get(target: &ServerTarget) -> Result<(), CallError> {
    let channel = target.connect().await?;
    let mut client = DeploymentServiceClient::new(channel);
    let request = GetDeploymentRequest {
        deployment: "shop/cart".to_owned(),
    };
    unary(client.get_deployment(request)).await.map(drop)
}
