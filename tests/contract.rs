//! The contract as a whole: all of its methods are there.

use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, Request, Status, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use crate::harness::{Api, Engine, Server, within};

#[tokio::test]
async fn no_method_is_unimplemented() {
    let server = Server::start(Engine::Sqlite).await;
    let api = server.api().await;
    let methods = methods();
    assert_eq!(methods.len(), 23, "all of the contract: {methods:?}");
    for method in methods {
        let outcome = call(&api, &method).await;
        let code = outcome.err().map(|status| status.code());
        assert_ne!(code, Some(Code::Unimplemented), "{method}");
    }
    let none = call(&api, &format!("{PACKAGE}.DeploymentService/ConquerWorld")).await;
    let code = none.err().map(|status| status.code());
    assert_eq!(
        code,
        Some(Code::Unimplemented),
        "what is not there is told so"
    );
}

/// All methods of the package, as `package.Service/Method`.
fn methods() -> Vec<String> {
    let descriptors = FileDescriptorSet::decode(viridian_proto::FILE_DESCRIPTOR_SET);
    let files = descriptors.expect("descriptors").file;
    let ours = files.iter().filter(|file| file.package() == PACKAGE);
    ours.flat_map(|file| &file.service)
        .flat_map(|service| {
            let name = service.name();
            let methods = service.method.iter();
            methods.map(move |method| format!("{PACKAGE}.{name}/{}", method.name()))
        })
        .collect()
}

/// Calls a method with an empty message. A reply is taken for a stream of one,
/// and is not looked at.
async fn call(api: &Api, method: &str) -> Result<(), Status> {
    let mut client = Grpc::new(api.channel());
    client.ready().await.expect("the server is there");
    let path = PathAndQuery::try_from(format!("/{method}")).expect("a path");
    let codec = ProstCodec::<(), ()>::default();
    let call = client.server_streaming(Request::new(()), path, codec);
    within(method, call).await.map(drop)
}

const PACKAGE: &str = "viridian.deployment.v1";
