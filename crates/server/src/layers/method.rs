//! The methods that can be called, from the contract itself.

use std::{collections::HashMap, sync::LazyLock};

use prost::Message as _;
use prost_types::FileDescriptorSet;
use viridian_proto::FILE_DESCRIPTOR_SET;

/// A method that can be called.
#[derive(Debug)]
pub(crate) struct Method {
    /// `package.Service/Method`, one of a few: fit for a metric's label.
    pub(crate) name: String,
    /// Whether its reply may go on for ever.
    pub(crate) streams: bool,
    /// Whether it is there for those that look after the server. They call all
    /// the time, and most of all when too much is going on.
    pub(crate) probes: bool,
}

/// The method at a path. All that do not exist are one.
pub(crate) fn find(path: &str) -> &'static Method {
    let name = path.strip_prefix('/').unwrap_or(path);
    METHODS.get(name).unwrap_or(&UNKNOWN)
}

static METHODS: LazyLock<HashMap<String, Method>> = LazyLock::new(|| {
    let sets = [
        FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    sets.into_iter()
        .flat_map(methods)
        .map(|method| (method.name.clone(), method))
        .collect()
});

static UNKNOWN: LazyLock<Method> = LazyLock::new(|| Method {
    name: "unknown".to_owned(),
    streams: false,
    probes: false,
});

/// The methods in an encoded descriptor set. One that is broken has none: the
/// tests know that none is.
fn methods(encoded: &[u8]) -> Vec<Method> {
    let set = FileDescriptorSet::decode(encoded).unwrap_or_default();
    let mut found = Vec::new();
    for file in set.file {
        let package = file.package().to_owned();
        for service in &file.service {
            found.extend(service.method.iter().map(|method| Method {
                name: format!("{package}.{}/{}", service.name(), method.name()),
                streams: method.server_streaming(),
                probes: package == "grpc.health.v1",
            }));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_from_calls() {
        let service = "/viridian.deployment.v1.DeploymentService";
        assert!(!find(&format!("{service}/GetDeployment")).streams);
        assert!(find(&format!("{service}/WatchDeployments")).streams);
        assert!(find("/viridian.deployment.v1.TrafficService/WatchTraffic").streams);
        assert!(find("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo").streams);
        assert!(find("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo").streams);
    }

    #[test]
    fn health_checks_are_probes() {
        assert!(find("/grpc.health.v1.Health/Check").probes);
        assert!(!find("/viridian.deployment.v1.RouteService/ReportRouteHealth").probes);
    }

    #[test]
    fn whatever_does_not_exist_has_one_name() {
        for path in ["", "/", "/a/b", "/viridian.deployment.v1.RouteService/No"] {
            assert_eq!(find(path).name, "unknown", "{path:?}");
        }
    }
}
