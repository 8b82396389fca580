//! The contract as a whole: which methods there are, and which are still to
//! come.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, Request, Status, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use crate::harness::{Api, Engine, Server, refused, within};

#[tokio::test]
async fn methods_to_come_are_unimplemented_and_nothing_else_is() {
    let server = Server::start(Engine::Sqlite).await;
    let api = server.api().await;
    let mut unimplemented = BTreeSet::new();
    let methods = methods();
    assert_eq!(methods.len(), 23, "all of the contract: {methods:?}");
    for method in methods {
        let outcome = call(&api, &method).await;
        if let Err(status) = outcome
            && status.code() == Code::Unimplemented
        {
            refused(&status, Code::Unimplemented, "NOT_IMPLEMENTED");
            let (_, name) = method.rsplit_once('/').expect("SERVICE/METHOD");
            unimplemented.insert(name.to_owned());
        }
    }
    assert_eq!(unimplemented, TO_COME.map(str::to_owned).into());
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

const TO_COME: [&str; 1] = ["WatchDeployments"];
