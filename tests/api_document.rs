//! docs/api.md: each of its commands works as it stands, one after the other.

use std::{env, path::Path, process::Stdio};

use tokio::process::Command;
use viridian_proto::v1::{
    BlockerCode, DeploymentLifecycle, DeploymentSubStep, RouteHealthReport, RouteHealthStatus,
    RouteStatus,
};

use crate::{
    documents::fence::{Kind, fences},
    harness::{
        Api, Engine, FinishedProgram, REFERENCE, ScriptedScheduler, Server, finish, methods, tool,
    },
};

/// A command of it comes when what the one before has begun is over.
pub(crate) async fn run(document: &str) {
    let server = Server::start(Engine::Sqlite).await;
    let api = server.api().await;
    let _fleet = ScriptedScheduler::start(&api, "default");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let commands = commands(document);
    for method in methods() {
        let name = format!("{}/{}", method.parent_service().full_name(), method.name());
        assert!(
            commands.iter().any(|it| it.ends_with(&name)),
            "{name} has no command"
        );
    }
    for command in commands {
        settle(&api).await;
        let command = command.replace("127.0.0.1:50051", &server.address().to_string());
        let command = match a_route(&api).await {
            Some(id) => command.replace("019a0000-0000-7000-8000-000000000001", &id),
            None => command,
        };
        let run = bash(&command, folder.path()).await;
        // A watch has no end but its deadline.
        let expected = if command.contains("-max-time") {
            64 + 4
        } else {
            0
        };
        assert_eq!(run.code, Some(expected), "{command}: {run:?}");
        let silent = command.contains("> ") || command.contains("\"idle\"");
        assert_eq!(run.stdout.is_empty(), silent, "{command}: {run:?}");
        assert!(!run.stdout.contains("\"error\""), "{command}: {run:?}");
    }
}

/// The lines of the code blocks for a shell.
fn commands(document: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for fence in fences(document) {
        match fence.kind {
            Kind::Run { code: 0 } => lines.extend(fence.text.lines().map(str::to_owned)),
            Kind::Shown { .. } | Kind::NotRun => {}
            kind => panic!("{}: {kind:?}", fence.place),
        }
    }
    lines
}

/// The deployment of the document that has a canary.
const CANARY: &str = "shop/search";

/// Waits until nothing moves by itself any more.
async fn settle(api: &Api) {
    for reference in [REFERENCE, CANARY] {
        if api.find(reference).await.is_ok() {
            settle_one(api, reference).await;
        }
    }
}

async fn settle_one(api: &Api, reference: &str) {
    // The reports of the document make a route unhealthy. Its checker finds it healthy again.
    let routes = api.list_routes(reference).await.into_iter();
    let unready = routes.filter(|it| {
        it.status() == RouteStatus::Running && it.health() != RouteHealthStatus::Healthy
    });
    let healthy = unready.map(|route| RouteHealthReport {
        route_id: route.id,
        health: RouteHealthStatus::Healthy.into(),
        ..RouteHealthReport::default()
    });
    // One that ended meanwhile has no health, which does not matter here.
    let reported = api.report_health(healthy.collect()).await;
    reported.expect("reports are taken");
    api.until(reference, "an end of what was begun", |it| {
        it.lifecycle() == DeploymentLifecycle::Ready
            && it.blue.unwrap_or_default().ready == it.target_replicas
            && it
                .blockers
                .iter()
                .all(|it| it.code() != BlockerCode::Restarting)
            || matches!(
                it.sub_step(),
                DeploymentSubStep::AwaitingPromotion | DeploymentSubStep::Shifting
            )
    })
    .await;
}

async fn a_route(api: &Api) -> Option<String> {
    api.find(REFERENCE).await.ok()?;
    let routes = api.table(REFERENCE).await.endpoints;
    routes.first().map(|it| it.route_id.clone())
}

async fn bash(line: &str, folder: &Path) -> FinishedProgram {
    let programs = Path::new(env!("CARGO_BIN_EXE_viridian")).parent();
    let grpcurl = tool("grpcurl");
    let mut path: Vec<_> = [programs, grpcurl.parent()]
        .into_iter()
        .flatten()
        .map(Path::to_owned)
        .collect();
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut command = Command::new("bash");
    command
        .args(["-c", line])
        .env("PATH", env::join_paths(path).expect("a PATH"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    finish(command).await
}
