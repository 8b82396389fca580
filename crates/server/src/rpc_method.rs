//! The methods that the server has, in one table: whether each streams, and who may call
//! it. A method without a row cannot be called.

use std::{collections::HashMap, sync::LazyLock};

use crate::auth::Role::{self, Agent, Operator, Promoter, Proxy, Viewer};

/// A method.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RpcMethod {
    /// As in a request: `/package.Service/Method`.
    pub(crate) path: &'static str,
    /// Whether its reply is a stream, which may go on for ever.
    pub(crate) streams: bool,
    /// Whether it is for what monitors the server: called all the time, and most of all
    /// under overload. It has limits of its own.
    pub(crate) is_probe: bool,
    /// Whether it says what the server has: tools call it, before anything else.
    pub(crate) is_reflection: bool,
    /// Whether what serves depends on it: schedulers, checkers and proxies call it.
    pub(crate) is_for_replicas: bool,
    pub(crate) access: MethodAccess,
}

/// Which limits a call counts towards while it is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallBudget {
    Requests,
    Streams,
    /// Health checks and reflection.
    Probes,
    HealthWatches,
}

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MethodAccess {
    /// Anyone: probes have no credentials.
    Public,
    /// Anyone with credentials.
    Authenticated,
    /// Callers with one of these roles.
    Roles(&'static [Role]),
    /// No caller: the server has no such method.
    NotServed,
}

impl RpcMethod {
    /// The method at a path. All that the server does not have are one.
    pub(crate) fn at(path: &str) -> &'static Self {
        BY_PATH.get(path).copied().unwrap_or(&UNKNOWN)
    }

    /// Which limits a call of it counts towards.
    pub(crate) fn budget(&self) -> CallBudget {
        match (self.streams, self.is_probe) {
            (true, true) => CallBudget::HealthWatches,
            (_, true) => CallBudget::Probes,
            _ if self.is_reflection => CallBudget::Probes,
            (true, false) => CallBudget::Streams,
            (false, false) => CallBudget::Requests,
        }
    }

    /// Whether a caller sends one message, and all of it before there is a reply.
    pub(crate) fn takes_one_message(&self) -> bool {
        !self.is_reflection
    }

    /// Its full name, `package.Service/Method`. One of a few: fit for a metric's label.
    pub(crate) fn full_name(&self) -> &'static str {
        self.path.trim_start_matches('/')
    }

    /// Whether its reply is a page of a list, which may have some MiB.
    pub(crate) fn gives_pages(&self) -> bool {
        !self.streams && self.name().starts_with("List")
    }

    /// Its name without that of the service.
    pub(crate) fn name(&self) -> &'static str {
        let name = self.path.rsplit_once('/');
        name.map_or(self.path, |(_, name)| name)
    }
}

/// Rows of `name: kind access`, where the kind is `unary` or `stream`, and maybe a `probe`,
/// `reflection`, or for `replicas`.
macro_rules! methods {
    ($($service:literal { $($name:literal: [$($kind:ident)+] $access:expr,)+ })+) => {
        &[$($(RpcMethod {
            path: concat!("/", $service, "/", $name),
            streams: methods!(@has stream $($kind)+),
            is_probe: methods!(@has probe $($kind)+),
            is_reflection: methods!(@has reflection $($kind)+),
            is_for_replicas: methods!(@has replicas $($kind)+),
            access: $access,
        },)+)+]
    };
    (@has stream stream $($rest:ident)*) => { true };
    (@has probe probe $($rest:ident)*) => { true };
    (@has reflection reflection $($rest:ident)*) => { true };
    (@has replicas replicas $($rest:ident)*) => { true };
    (@has $word:ident $other:ident $($rest:ident)*) => { methods!(@has $word $($rest)*) };
    (@has $word:ident) => { false };
}

const METHODS: &[RpcMethod] = methods! {
    "viridian.deployment.v1.DeploymentService" {
        "GetDeployment": [unary] VIEW,
        "ListDeployments": [unary] VIEW,
        "GetRevision": [unary] VIEW,
        "ListRevisions": [unary] VIEW,
        "ListRoutes": [unary] VIEW,
        "ListHistory": [unary] VIEW,
        "WatchDeployments": [stream] VIEW,
        "PromoteDeployment": [unary] PROMOTE,
        "PromoteDeployments": [unary] PROMOTE,
        "AdvanceDeployment": [unary] PROMOTE,
        "AbortDeployment": [unary] PROMOTE,
        "RollbackDeployment": [unary] PROMOTE,
        "RollbackDeployments": [unary] PROMOTE,
        "PauseDeployment": [unary] PROMOTE,
        "ResumeDeployment": [unary] PROMOTE,
        "RestartDeployment": [unary] PROMOTE,
        "DrainRoute": [unary] PROMOTE,
        "CreateDeployment": [unary] OPERATE,
        "ApplyDeployment": [unary] OPERATE,
        "UpdateDeployment": [unary] OPERATE,
        "DeleteDeployment": [unary] OPERATE,
        "CreateRevision": [unary] OPERATE,
        "ActivateRevision": [unary] OPERATE,
    }
    "viridian.deployment.v1.RouteService" {
        "ListAssignments": [unary replicas] ROUTES,
        "WatchAssignments": [stream replicas] ROUTES,
        "ListRoutes": [unary replicas] ROUTES,
        "WatchRoutes": [stream replicas] ROUTES,
        "ReportRouteStatuses": [unary replicas] ROUTES,
        "ReportRouteHealth": [unary replicas] ROUTES,
    }
    "viridian.deployment.v1.TrafficService" {
        "GetTraffic": [unary replicas] TRAFFIC,
        "WatchTraffic": [stream replicas] TRAFFIC,
    }
    "viridian.deployment.v1.SystemService" {
        "GetServerInfo": [unary] ANY_ROLE,
    }
    "grpc.health.v1.Health" {
        "Check": [unary probe] MethodAccess::Public,
        "Watch": [stream probe] MethodAccess::Public,
    }
    "grpc.reflection.v1.ServerReflection" {
        "ServerReflectionInfo": [stream reflection] MethodAccess::Authenticated,
    }
    "grpc.reflection.v1alpha.ServerReflection" {
        "ServerReflectionInfo": [stream reflection] MethodAccess::Authenticated,
    }
};

static BY_PATH: LazyLock<HashMap<&'static str, &'static RpcMethod>> =
    LazyLock::new(|| METHODS.iter().map(|it| (it.path, it)).collect());

// One path for all of them: a caller could make any number of labels of a metric otherwise.
static UNKNOWN: RpcMethod = RpcMethod {
    path: "unknown",
    streams: false,
    is_probe: false,
    is_reflection: false,
    is_for_replicas: false,
    access: MethodAccess::NotServed,
};

const VIEW: MethodAccess = MethodAccess::Roles(&[Viewer, Promoter, Operator]);
const PROMOTE: MethodAccess = MethodAccess::Roles(&[Promoter, Operator]);
const OPERATE: MethodAccess = MethodAccess::Roles(&[Operator]);
const ROUTES: MethodAccess = MethodAccess::Roles(&[Agent]);
const TRAFFIC: MethodAccess = MethodAccess::Roles(&[Proxy]);

/// Any caller with credentials: it says nothing of any project.
const ANY_ROLE: MethodAccess = MethodAccess::Roles(&Role::ALL);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// The paths of all methods in a descriptor set, and whether each streams its reply.
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
    fn the_table_has_each_served_method_once_and_knows_which_stream() {
        let mut served = BTreeMap::new();
        for set in [
            viridian_proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            served.extend(described(set));
        }
        let rows = METHODS.iter().map(|row| (row.path.to_owned(), row.streams));
        let rows: BTreeMap<_, _> = rows.collect();
        assert_eq!(rows, served);
        assert_eq!(rows.len(), METHODS.len(), "none twice");
    }

    #[test]
    fn every_method_of_the_contract_needs_a_role() {
        for path in described(viridian_proto::FILE_DESCRIPTOR_SET).into_keys() {
            let access = RpcMethod::at(&path).access;
            assert!(matches!(access, MethodAccess::Roles([_, ..])), "{path}");
        }
    }

    #[test]
    fn only_health_checks_are_probes() {
        for method in METHODS {
            let is_health = method.full_name().starts_with("grpc.health.v1.");
            assert_eq!(method.is_probe, is_health, "{method:?}");
        }
    }

    #[test]
    fn g2_what_serves_depends_on_the_calls_of_agents_and_proxies() {
        for method in METHODS {
            let by_role = [ROUTES, TRAFFIC].contains(&method.access);
            assert_eq!(method.is_for_replicas, by_role, "{method:?}");
        }
    }

    #[test]
    fn g1_probes_and_reflection_have_budgets_of_their_own() {
        for method in METHODS {
            let budget = match (method.path, method.streams) {
                ("/grpc.health.v1.Health/Watch", _) => CallBudget::HealthWatches,
                (path, _) if path.starts_with("/grpc.") => CallBudget::Probes,
                (_, true) => CallBudget::Streams,
                (_, false) => CallBudget::Requests,
            };
            assert_eq!(method.budget(), budget, "{method:?}");
        }
    }

    #[test]
    fn a_method_that_is_not_served_has_no_row() {
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
            "viridian.deployment.v1.DeploymentService/GetDeployment",
        ] {
            let method = RpcMethod::at(path);
            assert_eq!(method.access, MethodAccess::NotServed, "{path}");
            assert_eq!(method.full_name(), "unknown", "{path}");
        }
    }
}
