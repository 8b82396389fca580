//! Every method of the contract, called by everyone: each role, of the right
//! project and of a wrong one, by name and by id, and by nobody in particular.

use std::fmt;

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MethodDescriptor, ReflectMessage as _, Value,
};
use tonic::{Code, Request, Status, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;
use uuid::Uuid;
use viridian_proto::v1::ListRoutesRequest;

use super::staff::{Client, GuardedServer, of_token};
use crate::harness::{refused, within};

#[tokio::test(flavor = "multi_thread")]
async fn everyone_may_do_what_their_role_says_on_their_projects_and_nothing_else() {
    let env = MatrixEnv::start().await;
    let methods = methods();
    assert_eq!(methods.len(), 32, "all of the contract: {methods:?}");
    let mut cells = 0;
    for role in ROLES {
        let client = env.client(role).await;
        for method in &methods {
            for (project, theirs) in [("shop", true), ("bank", false)] {
                for by in [CredentialKind::Name, CredentialKind::Id] {
                    let cell = MatrixCell {
                        method,
                        role,
                        project,
                        by,
                    };
                    let outcome = env.call(&client, &cell).await;
                    check(&outcome, &cell, theirs);
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, 32 * 5 * 2 * 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_nothing_or_something_wrong_may_call_nothing() {
    let env = MatrixEnv::start().await;
    let stranger = env.guarded.stranger().await;
    let impostor = env.guarded.client("vrd_wrong").await;
    for method in &methods() {
        let cell = MatrixCell {
            method,
            role: "nobody",
            project: "shop",
            by: CredentialKind::Name,
        };
        let status = env.call(&stranger, &cell).await;
        let status = status.expect_err(&cell.to_string());
        refused(&status, Code::Unauthenticated, "CREDENTIALS_MISSING");
        let status = env.call(&impostor, &cell).await;
        let status = status.expect_err(&cell.to_string());
        refused(&status, Code::Unauthenticated, "CREDENTIALS_INVALID");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_roles_allow_what_each_of_them_does() {
    let env = MatrixEnv::start().await;
    let client = env.client("viewer and proxy").await;
    for method in &methods() {
        let cell = MatrixCell {
            method,
            role: "viewer and proxy",
            project: "shop",
            by: CredentialKind::Name,
        };
        let outcome = env.call(&client, &cell).await;
        if role_allows("viewer", method) || role_allows("proxy", method) {
            assert_let_in(&outcome, &cell);
        } else {
            let status = outcome.expect_err(&cell.to_string());
            let details = refused(&status, Code::PermissionDenied, "ROLE_NOT_ALLOWED");
            let info = details.error_info().expect("an ErrorInfo");
            assert_eq!(info.metadata["method"], method.name());
        }
    }
}

/// In the words of the design: viewer (Get, List, Watch), promoter (viewer and
/// promote, advance, abort, roll back, restart, drain, pause, resume), operator (promoter and create,
/// update, delete, revisions, activate), agent (RouteService), proxy
/// (TrafficService). What the server is, each of them may know.
fn role_allows(role: &str, method: &MethodDescriptor) -> bool {
    let name = method.name();
    let looks = ["Get", "List", "Watch"]
        .iter()
        .any(|verb| name.starts_with(verb));
    let decides = [
        "PromoteDeployment",
        "AdvanceDeployment",
        "PromoteDeployments",
        "AbortDeployment",
        "RollbackDeployment",
        "RollbackDeployments",
        "PauseDeployment",
        "ResumeDeployment",
        "RestartDeployment",
        "DrainRoute",
    ]
    .contains(&name);
    match (method.parent_service().name(), role) {
        ("SystemService", _) => true,
        ("DeploymentService", "viewer") => looks,
        ("DeploymentService", "promoter") => looks || decides,
        ("DeploymentService", "operator")
        | ("RouteService", "agent")
        | ("TrafficService", "proxy") => true,
        _ => false,
    }
}

/// Whether a request can say which deployment it is about.
fn names_a_deployment(method: &MethodDescriptor) -> bool {
    let message = method.input();
    message
        .fields()
        .any(|field| field.name().starts_with("deployment"))
}

/// Whether a request is about a set of deployments, of which one that is not theirs is as if it
/// were not there, by whatever name.
fn names_members(method: &MethodDescriptor) -> bool {
    method.input().get_field_by_name("members").is_some()
}

/// Whether a request names one route, and so a deployment only indirectly.
fn names_a_route(method: &MethodDescriptor) -> bool {
    method.name() == "DrainRoute"
}

/// Whether a request can say whose it is about. Those of RouteService name a group
/// of machines, or routes, and those of SystemService nothing.
fn names_a_project(method: &MethodDescriptor) -> bool {
    !["RouteService", "SystemService"].contains(&method.parent_service().name())
}

/// Asserts what is to come of a call.
fn check(outcome: &Result<(), Status>, cell: &MatrixCell<'_>, theirs: bool) {
    let refusal = if !role_allows(cell.role, cell.method) {
        (Code::PermissionDenied, "ROLE_NOT_ALLOWED")
    } else if theirs || !names_a_project(cell.method) {
        return assert_let_in(outcome, cell);
    } else if names_a_route(cell.method) {
        (Code::NotFound, "ROUTE_NOT_FOUND")
    } else if names_members(cell.method)
        || cell.by == CredentialKind::Id && names_a_deployment(cell.method)
    {
        // It is as if it were not there.
        (Code::NotFound, "DEPLOYMENT_NOT_FOUND")
    } else {
        (Code::PermissionDenied, "PROJECT_NOT_ALLOWED")
    };
    let Err(status) = outcome else {
        panic!("{cell}: it was let in")
    };
    assert_eq!(status.code(), refusal.0, "{cell}: {status:?}");
    refused(status, refusal.0, refusal.1);
}

/// Nobody was refused, and nothing was missing.
fn assert_let_in(outcome: &Result<(), Status>, cell: &MatrixCell<'_>) {
    let Err(status) = outcome else { return };
    let refusals = [
        Code::Unauthenticated,
        Code::PermissionDenied,
        Code::NotFound,
        Code::InvalidArgument,
        Code::Internal,
        Code::Unknown,
        Code::Unavailable,
    ];
    assert!(!refusals.contains(&status.code()), "{cell}: {status:?}");
}

/// One call of the matrix.
struct MatrixCell<'a> {
    method: &'a MethodDescriptor,
    role: &'a str,
    project: &'a str,
    by: CredentialKind,
}

/// How a deployment is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CredentialKind {
    Name,
    Id,
}

impl fmt::Display for MatrixCell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method,
            role,
            project,
            by,
        } = self;
        write!(
            f,
            "{} by {role} on {project} by its {by:?}",
            method.full_name()
        )
    }
}

/// A server, and one of each role whose project is `shop`.
struct MatrixEnv {
    guarded: GuardedServer,
    /// May do anything to all projects.
    root: Client,
}

impl MatrixEnv {
    async fn start() -> Self {
        let mut entries: Vec<_> = ROLES
            .iter()
            .map(|role| of_token(role, &format!("vrd_{role}"), &[role], &["shop", "blog"]))
            .collect();
        entries.push(of_token("root", "vrd_root", &["operator"], &["*"]));
        let both = ["viewer", "proxy"];
        entries.push(of_token("both", "vrd_viewer_and_proxy", &both, &["shop"]));
        let guarded = GuardedServer::start(&entries).await;
        let root = guarded.client("vrd_root").await;
        Self { guarded, root }
    }

    async fn client(&self, role: &str) -> Client {
        let token = format!("vrd_{}", role.replace(' ', "_"));
        self.guarded.client(&token).await
    }

    /// Calls a method on a deployment that was made for it.
    async fn call(&self, client: &Client, cell: &MatrixCell<'_>) -> Result<(), Status> {
        let name = format!("d-{}", Uuid::now_v7());
        let replicas = i32::from(names_a_route(cell.method));
        let created = self.root.create(cell.project, &name, replicas).await;
        let created = created.expect("root may do anything");
        let reference = match cell.by {
            _ if names_a_route(cell.method) => self.route_of(&created.id).await,
            CredentialKind::Name => format!("{}/{name}", cell.project),
            CredentialKind::Id => created.id,
        };
        let mut message = request(cell, &reference);
        if names_members(cell.method) {
            let other = format!("d-{}", Uuid::now_v7());
            let other = self.root.create("shop", &other, 0).await;
            let other = other.expect("root may do anything").id;
            add_members(&mut message, &[other, reference]);
        }
        send(client, cell.method, message).await
    }

    /// The only route of a deployment.
    async fn route_of(&self, deployment: &str) -> String {
        let request = ListRoutesRequest {
            deployment: deployment.to_owned(),
            ..ListRoutesRequest::default()
        };
        let reply = self.root.deployments().list_routes(request).await;
        let mut routes = reply.expect("root may do anything").into_inner().routes;
        routes.pop().expect("a route").id
    }
}

/// A request of a method: what names a deployment or a project does, and what else
/// is needed is there.
fn request(cell: &MatrixCell<'_>, reference: &str) -> DynamicMessage {
    let text = |text: &str| Value::String(text.to_owned());
    let descriptor = cell.method.input();
    let mut message = DynamicMessage::new(descriptor.clone());
    // It takes one of the two.
    let all_of_project =
        cell.method.name() == "WatchDeployments" && cell.by == CredentialKind::Name;
    let one_of_project = cell.method.name() == "WatchDeployments" && cell.by == CredentialKind::Id;
    for field in descriptor.fields() {
        let value = match field.name() {
            "deployment" | "route_id" => text(reference),
            "deployments" if !all_of_project => Value::List(vec![text(reference)]),
            "project" if !one_of_project => text(cell.project),
            "name" => text(&format!("n-{}", Uuid::now_v7())),
            "revision" if field.kind().as_message().is_some() => specification(&field),
            "revision" if cell.method.name() != "RollbackDeployment" => text("1"),
            "spec" => specification(&field),
            "target_replicas" => Value::I32(0),
            "labels" if cell.method.name() == "UpdateDeployment" => labels(),
            _ => continue,
        };
        message.set_field(&field, value);
    }
    message
}

/// Names deployments as the members of a set.
fn add_members(message: &mut DynamicMessage, names: &[String]) {
    let field = message.descriptor().get_field_by_name("members");
    let field = field.expect("it has members");
    let kind = field.kind();
    let member = kind.as_message().expect("a message");
    let members = names.iter().map(|name| {
        let mut member = DynamicMessage::new(member.clone());
        member.set_field_by_name("deployment", Value::String(name.clone()));
        Value::Message(member)
    });
    message.set_field(&field, Value::List(members.collect()));
}

/// A revision that runs an image.
fn specification(field: &FieldDescriptor) -> Value {
    let kind = field.kind();
    let mut spec = DynamicMessage::new(kind.as_message().expect("a message").clone());
    spec.set_field_by_name("image", Value::String("registry.test/web:2".to_owned()));
    Value::Message(spec)
}

fn labels() -> Value {
    let key = prost_reflect::MapKey::String("seen".to_owned());
    Value::Map([(key, Value::String("yes".to_owned()))].into())
}

/// Calls a method. A reply is taken for a stream of one, and is not looked at.
async fn send(
    client: &Client,
    method: &MethodDescriptor,
    message: DynamicMessage,
) -> Result<(), Status> {
    let mut grpc = Grpc::new(client.service());
    grpc.ready().await.expect("the server is there");
    let service = method.parent_service();
    let path = format!("/{}/{}", service.full_name(), method.name());
    let path = PathAndQuery::try_from(path).expect("a path");
    let codec = ProstCodec::<DynamicMessage, ()>::default();
    let call = grpc.server_streaming(Request::new(message), path, codec);
    within(method.full_name(), call).await.map(drop)
}

/// All methods of the contract.
fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(viridian_proto::FILE_DESCRIPTOR_SET).expect("descriptors");
    let services: Vec<_> = pool.services().collect();
    services
        .iter()
        .flat_map(|service| service.methods())
        .collect()
}

const ROLES: [&str; 5] = ["viewer", "promoter", "operator", "agent", "proxy"];
