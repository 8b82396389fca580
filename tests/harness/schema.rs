use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use serde_json::Value;

/// The methods of the contract, in its order.
pub(crate) fn methods() -> Vec<MethodDescriptor> {
    let ours = POOL.services().filter(|it| it.package_name() == PACKAGE);
    ours.flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect()
}

/// The name of a method: its own, which no two services share but for `ListRoutes`.
pub(crate) fn label(method: &MethodDescriptor) -> String {
    let service = method.parent_service();
    match (service.name(), method.name()) {
        ("RouteService", "ListRoutes") => "RouteService.ListRoutes".to_owned(),
        (_, name) => name.to_owned(),
    }
}

/// A method of the contract by its label.
pub(crate) fn method(name: &str) -> MethodDescriptor {
    let mut found = methods().into_iter().filter(|it| label(it) == name);
    let method = found.next().unwrap_or_else(|| panic!("no method {name}"));
    assert!(found.next().is_none(), "{name} is there twice");
    method
}

/// A method as it is called: `package.Service/Method`.
pub(crate) fn path(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().full_name(), method.name())
}

/// A request from its canonical JSON form.
pub(crate) fn encode(method: &MethodDescriptor, json: &str) -> Vec<u8> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize(method.input(), &mut deserializer);
    let message = message.unwrap_or_else(|error| panic!("{}: {error}: {json}", method.name()));
    message.encode_to_vec()
}

/// A reply in its canonical JSON form.
pub(crate) fn decode(method: &MethodDescriptor, reply: &[u8]) -> Value {
    let message = DynamicMessage::decode(method.output(), reply).expect("a reply of the contract");
    serde_json::to_value(&message).expect("it has a JSON form")
}

/// A reply in the same form, from any other JSON form of it.
pub(crate) fn canonical(method: &MethodDescriptor, json: &str) -> Value {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize(method.output(), &mut deserializer);
    let message = message.unwrap_or_else(|error| panic!("{}: {error}: {json}", method.name()));
    serde_json::to_value(&message).expect("it has a JSON form")
}

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(viridian_proto::FILE_DESCRIPTOR_SET);
    pool.expect("the descriptors are complete")
});

const PACKAGE: &str = "viridian.deployment.v1";
