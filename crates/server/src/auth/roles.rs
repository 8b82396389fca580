//! Which role may call which method.

use super::role::Role::{self, Agent, Operator, Promoter, Proxy, Viewer};

/// A method that the server has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Method {
    /// As it stands in a request: `/package.Service/Method`.
    pub(crate) path: &'static str,
    pub(crate) access: Access,
}

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anyone: probes have no credentials.
    Open,
    /// Anyone with credentials.
    Known,
    /// Those who have one of these roles.
    Roles(&'static [Role]),
}

impl Method {
    /// Whether its reply goes on for as long as the caller likes.
    pub(crate) fn is_watch(&self) -> bool {
        self.name().starts_with("Watch")
    }

    /// Its name without the service's.
    pub(crate) fn name(&self) -> &'static str {
        self.path
            .rsplit_once('/')
            .map_or(self.path, |(_, name)| name)
    }
}

/// Finds the method of a request's path. There is a row for each that is served.
pub(crate) fn find_method(path: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.path == path)
}

macro_rules! methods {
    ($($service:literal { $($name:literal: $access:expr,)+ })+) => {
        &[$($(Method { path: concat!("/", $service, "/", $name), access: $access },)+)+]
    };
}

const METHODS: &[Method] = methods! {
    "viridian.deployment.v1.DeploymentService" {
        "GetDeployment": VIEW,
        "ListDeployments": VIEW,
        "GetRevision": VIEW,
        "ListRevisions": VIEW,
        "ListRoutes": VIEW,
        "ListHistory": VIEW,
        "WatchDeployments": VIEW,
        "PromoteDeployment": PROMOTE,
        "AbortDeployment": PROMOTE,
        "RollbackDeployment": PROMOTE,
        "PauseDeployment": PROMOTE,
        "ResumeDeployment": PROMOTE,
        "CreateDeployment": OPERATE,
        "UpdateDeployment": OPERATE,
        "DeleteDeployment": OPERATE,
        "CreateRevision": OPERATE,
        "ActivateRevision": OPERATE,
    }
    "viridian.deployment.v1.RouteService" {
        "ListAssignments": ROUTES,
        "WatchAssignments": ROUTES,
        "ReportRouteStatuses": ROUTES,
        "ReportRouteHealth": ROUTES,
    }
    "viridian.deployment.v1.TrafficService" {
        "GetTraffic": TRAFFIC,
        "WatchTraffic": TRAFFIC,
    }
    "grpc.health.v1.Health" {
        "Check": Access::Open,
        "Watch": Access::Open,
    }
    "grpc.reflection.v1.ServerReflection" {
        "ServerReflectionInfo": Access::Known,
    }
    "grpc.reflection.v1alpha.ServerReflection" {
        "ServerReflectionInfo": Access::Known,
    }
};

const VIEW: Access = Access::Roles(&[Viewer, Promoter, Operator]);
const PROMOTE: Access = Access::Roles(&[Promoter, Operator]);
const OPERATE: Access = Access::Roles(&[Operator]);
const ROUTES: Access = Access::Roles(&[Agent]);
const TRAFFIC: Access = Access::Roles(&[Proxy]);

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// The paths of all methods of a set, and whether each streams its replies.
    fn described(descriptors: &[u8]) -> BTreeMap<String, bool> {
        let set = FileDescriptorSet::decode(descriptors).expect("descriptors");
        let mut found = BTreeMap::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    found.insert(path, method.server_streaming());
                }
            }
        }
        found
    }

    #[test]
    fn every_method_that_is_served_has_one_row_and_there_are_no_others() {
        let mut served = BTreeSet::new();
        for set in [
            viridian_proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            served.extend(described(set).into_keys());
        }
        let rows: BTreeSet<_> = METHODS.iter().map(|row| row.path.to_owned()).collect();
        assert_eq!(rows, served);
        assert_eq!(rows.len(), METHODS.len(), "none twice");
    }

    #[test]
    fn a_watch_is_a_method_that_streams() {
        for (path, streams) in described(viridian_proto::FILE_DESCRIPTOR_SET) {
            let method = find_method(&path).expect("a row");
            assert_eq!(method.is_watch(), streams, "{path}");
        }
    }

    #[test]
    fn all_of_the_contract_asks_for_roles() {
        for path in described(viridian_proto::FILE_DESCRIPTOR_SET).into_keys() {
            let method = find_method(&path).expect("a row");
            assert!(matches!(method.access, Access::Roles([_, ..])), "{path}");
        }
    }

    #[test]
    fn what_is_not_served_has_no_row() {
        for path in [
            "",
            "/",
            "GetDeployment",
            "/viridian.deployment.v1.DeploymentService",
            "/viridian.deployment.v1.DeploymentService/",
            "/viridian.deployment.v1.DeploymentService/getdeployment",
            "//viridian.deployment.v1.DeploymentService/GetDeployment",
            "/viridian.deployment.v1.DeploymentService/GetDeployment/",
            "/viridian.deployment.v1.RouteService/GetDeployment",
        ] {
            assert_eq!(find_method(path), None, "{path}");
        }
    }
}
