//! Values of environment variables are for operators and for agents, and secrets for agents
//! alone.

use std::{fs, path::Path};

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tonic::Code;
use viridian_proto::v1::{
    Assignment, CreateDeploymentRequest, CreateRevisionRequest, EnvironSource, GetRevisionRequest,
    ListAssignmentsRequest, ListHistoryRequest, ListRevisionsRequest, ListRoutesRequest, Revision,
    RevisionSpec, RouteStatus, WatchDeploymentsRequest,
};

use super::staff::{Client, GuardedServer, of_token};
use crate::harness::{
    FinishedProgram, GROUP, REFERENCE, creation, eventually, field_paths, finish, manual, refused,
    viridian, within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g15_values_of_the_environment_are_for_operators_and_agents() {
    let guarded = GuardedServer::start_with(&staff(), |command| {
        command.env("VIRIDIAN_LOG", "trace");
    })
    .await;
    let operator = guarded.client("vrd_operator").await;
    create(&operator, with_value()).await;
    // The reply that is stored for it is played again to whoever repeats the call.
    let request = CreateRevisionRequest {
        deployment: REFERENCE.to_owned(),
        spec: Some(with_value()),
        request_id: "0193b4a5-0000-7000-8000-000000000001".to_owned(),
        ..CreateRevisionRequest::default()
    };
    for token in ["vrd_operator", "vrd_second", "vrd_both"] {
        let reply = guarded.client(token).await.deployments();
        let reply = { reply }.create_revision(request.clone()).await;
        let revision = reply.expect("created").into_inner().revision;
        assert_given(revision.as_ref(), token);
    }
    for token in ["vrd_operator", "vrd_both"] {
        for revision in revisions(&guarded.client(token).await).await {
            assert_given(Some(&revision), token);
        }
    }
    for token in ["vrd_viewer", "vrd_promoter", "vrd_lookout"] {
        let client = guarded.client(token).await;
        for revision in revisions(&client).await {
            let spec = revision.spec.expect("a spec");
            assert!(spec.environ_redacted, "{token}");
            assert_eq!(spec.environ["PLAIN"], "[redacted]", "{token}");
            assert_eq!(spec.environ.len(), 1);
        }
        assert_silent(&client).await;
    }
    let status = guarded.client("vrd_viewer").await.deployments();
    let status = { status }.create_revision(request).await;
    let status = status.expect_err("a viewer creates nothing");
    refused(&status, Code::PermissionDenied, "ROLE_NOT_ALLOWED");
    let agent = guarded.client("vrd_agent").await;
    let [start] = &assignments(&agent).await[..] else {
        panic!("one replica")
    };
    assert_given(start.revision.as_ref(), "the agent");
    assert!(!guarded.server.log().contains(VALUE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g15_what_was_redacted_is_never_stored() {
    let guarded = GuardedServer::start(&staff()).await;
    let operator = guarded.client("vrd_operator").await;
    create(&operator, with_value()).await;
    let viewer = guarded.client("vrd_viewer").await;
    let seen = revisions(&viewer).await.swap_remove(0).spec;
    let seen = seen.expect("a spec");
    let unmarked = RevisionSpec {
        environ_redacted: false,
        ..seen.clone()
    };
    let value = "spec.environ[\"PLAIN\"]";
    for (spec, fields) in [
        (seen, &[value, "spec.environ_redacted"] as &[_]),
        (unmarked, &[value]),
    ] {
        let request = CreateRevisionRequest {
            deployment: REFERENCE.to_owned(),
            spec: Some(spec),
            activate: true,
            ..CreateRevisionRequest::default()
        };
        let status = operator.deployments().create_revision(request).await;
        assert_eq!(field_paths(&status.expect_err("refused")), fields);
    }

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("web.yaml");
    let exported = cli(&guarded, "vrd_viewer", &["export", REFERENCE]).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    assert!(!exported.stdout.contains(VALUE), "{exported:?}");
    fs::write(&file, &exported.stdout).expect("a file");
    let path = file.to_str().expect("a path");
    for dry in [&["--dry-run"] as &[_], &[]] {
        let apply = [&["apply", "-f", path], dry].concat();
        let applied = cli(&guarded, "vrd_operator", &apply).await;
        assert_eq!(applied.code, Some(67), "{applied:?}");
        assert!(applied.stderr.contains("environ_redacted"), "{applied:?}");
    }
    assert_given(revisions(&operator).await.first(), "it is as it was");

    // An operator's file is whole, and finds nothing to do.
    let exported = cli(&guarded, "vrd_operator", &["export", REFERENCE]).await;
    fs::write(&file, &exported.stdout).expect("a file");
    let applied = cli(&guarded, "vrd_operator", &["apply", "-f", path]).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert_eq!(revisions(&operator).await.len(), 1, "{applied:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g15_secrets_are_given_to_agents_alone() {
    let secrets = secrets();
    let guarded = GuardedServer::start_with(&staff(), |command| {
        command.env("VIRIDIAN_LOG", "trace");
        command.env("VIRIDIAN_SECRETS", secrets.path());
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let told = folder.path().join("told");
    let script = format!(
        "printf %s \"$PASSWORD\" > {}; exec sleep 600",
        told.display()
    );
    let created = cli(
        &guarded,
        "vrd_operator",
        &[
            "create",
            REFERENCE,
            "--resource-group",
            GROUP,
            "--env-from",
            "PASSWORD=db/password",
            "--",
            "sh",
            "-c",
            &script,
        ],
    )
    .await;
    assert_eq!(created.code, Some(0), "{created:?}");
    let agent = Agent::start(&guarded, "vrd_agent", folder.path());
    eventually("the replica's secret", async || {
        let told = fs::read_to_string(&told).ok()?;
        (told == SECRET).then_some(())
    })
    .await;
    let operator = guarded.client("vrd_operator").await;
    for revision in revisions(&operator).await {
        let spec = revision.spec.expect("a spec");
        let [EnvironSource { name, secret, key }] = &spec.environ_from[..] else {
            panic!("one secret: {spec:?}")
        };
        assert_eq!([name, secret, key], ["PASSWORD", "db", "password"]);
    }
    for token in ["vrd_operator", "vrd_viewer", "vrd_promoter"] {
        assert_silent(&guarded.client(token).await).await;
        for arguments in [
            &["export", REFERENCE] as &[_],
            &["revisions", REFERENCE, "-o", "json"],
            &["history", REFERENCE, "-o", "json"],
            &["routes", REFERENCE, "--all", "-o", "json"],
        ] {
            let shown = cli(&guarded, token, arguments).await;
            assert_eq!(shown.code, Some(0), "{shown:?}");
            assert!(!format!("{shown:?}").contains(SECRET), "{shown:?}");
        }
    }
    let log = agent.log(folder.path());
    assert!(!log.contains(SECRET), "{log}");
    assert!(!guarded.server.log().contains(SECRET));
    let database = guarded
        .server
        .database()
        .url()
        .trim_start_matches("sqlite:");
    for file in [database.to_owned(), format!("{database}-wal")] {
        let stored = fs::read(&file).unwrap_or_default();
        let mut parts = stored.windows(SECRET.len());
        assert!(!parts.any(|part| part == SECRET.as_bytes()), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g15_a_replica_without_its_secret_fails_to_start_and_says_why() {
    let secrets = secrets();
    let guarded = GuardedServer::start_with(&staff(), |command| {
        command.arg("--secrets").arg(secrets.path());
    })
    .await;
    let operator = guarded.client("vrd_operator").await;
    let agent = guarded.client("vrd_agent").await;
    for (key, sentence) in [
        ("user", "secret db has no key user on the server"),
        // Another project has it.
        ("pin", "secret db has no key pin on the server"),
    ] {
        let name = format!("shop/{key}");
        create_at(&operator, "shop", key, with_secret(key)).await;
        assert_eq!(assignments(&agent).await, [], "there is nothing to start");
        let route = failed(&operator, &name).await;
        assert_eq!(route.failure, sentence);
        let get = cli(&guarded, "vrd_viewer", &["routes", &name, "--all"]).await;
        assert!(get.stdout.contains(sentence), "{get:?}");
    }
    // A secret that comes later is found by the replica that replaces the failed one.
    fs::write(secrets.path().join("shop/db/user"), "alice").expect("a key");
    let start = eventually("the replacement", async || {
        let mut all = assignments(&agent).await.into_iter();
        all.find(|it| {
            it.secret_environ
                .get("PASSWORD")
                .is_some_and(|it| it == "alice")
        })
    })
    .await;
    let route = start.route.expect("a route");
    assert_eq!(route.status(), RouteStatus::Provisioning);
}

/// Who there is, by what each may do.
fn staff() -> Vec<String> {
    [
        ("viewer", &["viewer"] as &[&str]),
        ("promoter", &["promoter"]),
        ("operator", &["operator"]),
        ("second", &["operator"]),
        ("both", &["viewer", "operator"]),
        ("lookout", &["viewer", "agent", "proxy"]),
        ("agent", &["agent"]),
    ]
    .map(|(name, roles)| of_token(name, &format!("vrd_{name}"), roles, &["*"]))
    .into()
}

fn secrets() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (project, key, value) in [("shop", "password", SECRET), ("bank", "pin", "1234")] {
        let secret = folder.path().join(project).join("db");
        fs::create_dir_all(&secret).expect("a folder");
        fs::write(secret.join(key), value).expect("a key");
    }
    folder
}

fn with_value() -> RevisionSpec {
    RevisionSpec {
        image: "registry.test/web:1".to_owned(),
        environ: [("PLAIN".to_owned(), VALUE.to_owned())].into(),
        ..RevisionSpec::default()
    }
}

fn with_secret(key: &str) -> RevisionSpec {
    RevisionSpec {
        environ: [].into(),
        environ_from: vec![EnvironSource {
            name: "PASSWORD".to_owned(),
            secret: "db".to_owned(),
            key: key.to_owned(),
        }],
        ..with_value()
    }
}

async fn create(client: &Client, spec: RevisionSpec) {
    create_at(client, "shop", "web", spec).await;
}

async fn create_at(client: &Client, project: &str, name: &str, spec: RevisionSpec) {
    let request = CreateDeploymentRequest {
        project: project.to_owned(),
        name: name.to_owned(),
        initial_revision: Some(spec),
        ..creation(1, manual())
    };
    let created = client.deployments().create_deployment(request).await;
    created.expect("created");
}

async fn revisions(client: &Client) -> Vec<Revision> {
    let request = ListRevisionsRequest {
        deployment: REFERENCE.to_owned(),
        ..ListRevisionsRequest::default()
    };
    let reply = client.deployments().list_revisions(request).await;
    let mut revisions = reply.expect("a list").into_inner().revisions;
    let request = GetRevisionRequest {
        deployment: REFERENCE.to_owned(),
        revision: "1".to_owned(),
    };
    let reply = client.deployments().get_revision(request).await;
    let first = reply.expect("it is there").into_inner().revision;
    let first = first.expect("a revision");
    assert_eq!(revisions.last(), Some(&first), "one answer");
    revisions.dedup();
    revisions
}

async fn assignments(client: &Client) -> Vec<Assignment> {
    let request = ListAssignmentsRequest {
        resource_group: GROUP.to_owned(),
        ..ListAssignmentsRequest::default()
    };
    let reply = client.routes().list_assignments(request).await;
    reply.expect("a list").into_inner().assignments
}

async fn failed(client: &Client, deployment: &str) -> viridian_proto::v1::Route {
    let request = ListRoutesRequest {
        deployment: deployment.to_owned(),
        ..ListRoutesRequest::default()
    };
    let reply = client.deployments().list_routes(request).await;
    let routes = reply.expect("a list").into_inner().routes;
    let mut failed = routes
        .into_iter()
        .filter(|it| it.status() == RouteStatus::FailedToStart);
    failed.next().expect("one has failed")
}

fn assert_given(revision: Option<&Revision>, whom: &str) {
    let spec = revision.and_then(|it| it.spec.as_ref()).expect(whom);
    assert!(!spec.environ_redacted, "{whom}");
    assert_eq!(spec.environ["PLAIN"], VALUE, "{whom}");
}

/// Neither history nor events have a value.
async fn assert_silent(client: &Client) {
    let request = ListHistoryRequest {
        deployment: REFERENCE.to_owned(),
        ..ListHistoryRequest::default()
    };
    let reply = client.deployments().list_history(request).await;
    let history = format!("{:?}", reply.expect("a list").into_inner());
    let request = WatchDeploymentsRequest {
        deployments: vec![REFERENCE.to_owned()],
        ..WatchDeploymentsRequest::default()
    };
    let reply = client.deployments().watch_deployments(request).await;
    let mut events = reply.expect("a stream").into_inner();
    let first = within("an event", events.message()).await;
    let first = format!("{:?}", first.expect("a stream"));
    for shown in [history, first] {
        assert!(!shown.contains(VALUE) && !shown.contains(SECRET), "{shown}");
    }
}

async fn cli(guarded: &GuardedServer, token: &str, arguments: &[&str]) -> FinishedProgram {
    finish(command(
        guarded,
        token,
        &[&["deployment"], arguments].concat(),
    ))
    .await
}

fn command(guarded: &GuardedServer, token: &str, arguments: &[&str]) -> Command {
    let mut command = viridian(arguments);
    command.env("VIRIDIAN_SERVER", guarded.server.url());
    command.env("VIRIDIAN_TOKEN", token);
    command
}

/// `viridian agent`, which logs as much as it can to a file.
struct Agent {
    _process: Child,
}

impl Agent {
    fn start(guarded: &GuardedServer, token: &str, folder: &Path) -> Self {
        let mut command = command(guarded, token, &["agent", "--resource-group", GROUP]);
        let log = fs::File::create(folder.join("log")).expect("a file");
        command.arg("--state-dir").arg(folder.join("state"));
        command.env("VIRIDIAN_LOG", "trace").stderr(log);
        Self {
            _process: command.spawn().expect("the agent can be started"),
        }
    }

    fn log(&self, folder: &Path) -> String {
        fs::read_to_string(folder.join("log")).expect("a log")
    }
}

const VALUE: &str = "v4lue-of-the-environment";
const SECRET: &str = "s3cret-of-the-server";
