//! Compression: for those who ask for it, and in the ways that they know.

use rstest::rstest;
use tonic::{Code, Request, codec::CompressionEncoding};
use viridian_proto::v1::{
    CreateRevisionRequest, GetDeploymentRequest, RevisionSpec, WatchTrafficRequest,
};

use crate::harness::{Engine, REFERENCE, Server, creation, manual, refused, within};

#[rstest]
#[case::gzip(CompressionEncoding::Gzip, "gzip")]
#[case::zstd(CompressionEncoding::Zstd, "zstd")]
#[tokio::test]
async fn who_asks_for_it_gets_it(#[case] encoding: CompressionEncoding, #[case] name: &str) {
    let server = Server::start(Engine::Sqlite).await;
    let api = server.api().await;
    api.create(creation(0, manual()))
        .await
        .expect("a deployment");
    let mut client = api
        .deployments()
        .accept_compressed(encoding)
        .send_compressed(encoding);
    let large = CreateRevisionRequest {
        deployment: REFERENCE.to_owned(),
        spec: Some(RevisionSpec {
            image: "registry.test/web:1".to_owned(),
            environ: [("TEXT".to_owned(), "again and ".repeat(1_000))].into(),
            ..RevisionSpec::default()
        }),
        ..CreateRevisionRequest::default()
    };
    let reply = client.create_revision(large.clone()).await;
    let reply = reply.expect("it is read, and can be read");
    assert_eq!(
        reply.metadata().get("grpc-encoding").expect("compressed"),
        name
    );
    let revision = reply.into_inner().revision.expect("a revision");
    let environ = |spec: Option<RevisionSpec>| spec.expect("a spec").environ;
    assert!(
        environ(revision.spec) == environ(large.spec),
        "it is the same"
    );

    let mut watching = api.traffic().accept_compressed(encoding);
    let all = WatchTrafficRequest {
        all: true,
        ..WatchTrafficRequest::default()
    };
    let reply = watching.watch_traffic(all).await.expect("a stream");
    assert_eq!(
        reply.metadata().get("grpc-encoding").expect("compressed"),
        name
    );
    let mut tables = reply.into_inner();
    let first = within("a table", tables.message()).await;
    first.expect("a stream").expect("it can be read");
}

#[tokio::test]
async fn who_does_not_ask_is_not_troubled() {
    let server = Server::start(Engine::Sqlite).await;
    let api = server.api().await;
    api.create(creation(0, manual()))
        .await
        .expect("a deployment");
    let reply = api.deployments().get_deployment(get()).await;
    let reply = reply.expect("it can be read");
    assert_eq!(reply.metadata().get("grpc-encoding"), None);
}

#[tokio::test]
async fn an_unknown_way_is_refused_with_those_that_are_known() {
    let server = Server::start(Engine::Sqlite).await;
    let api = server.api().await;
    let mut request = get();
    let encoding = "snappy".parse().expect("a value");
    request.metadata_mut().insert("grpc-encoding", encoding);
    let refusal = api.deployments().get_deployment(request).await;
    let refusal = refusal.expect_err("nobody can read that");
    refused(&refusal, Code::Unimplemented, "ENCODING_NOT_SUPPORTED");
    let known = refusal.metadata().get("grpc-accept-encoding");
    let known = known.expect("the ways").to_str().expect("text").to_owned();
    for way in ["gzip", "zstd"] {
        assert!(known.contains(way), "{known}");
    }
}

fn get() -> Request<GetDeploymentRequest> {
    Request::new(GetDeploymentRequest {
        deployment: REFERENCE.to_owned(),
    })
}
