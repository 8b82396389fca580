//! What watches cost, and how fast they are:
//! `scripts/with-postgres cargo bench -p viridian --bench watch`.
//!
//! - The CPU time of a server with a thousand watches of what does not change,
//!   heartbeats included, and of the same server without them.
//! - The time from the last report of HEALTHY to the new table on a stream, for
//!   an automatic promotion without delay.
//! - The same for the share that a canary takes, and from its abort to the table
//!   without it. These alone: `… --bench watch -- shares`.

#![expect(clippy::print_stdout, reason = "figures are its result")]

use std::{
    fs,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep};
use tonic::{Status, Streaming};
use viridian_proto::v1::{
    BlueGreenSpec, CanarySpec, CanaryStep, Deployment, DeploymentLifecycle, DeploymentPolicy,
    Route, RouteHealthStatus, RouteStatus, RouteStatusReport, WatchAssignmentsRequest,
    WatchTrafficRequest, deployment_policy::Strategy,
};

#[expect(dead_code, reason = "it is there for the tests")]
#[expect(unused_imports, reason = "it is there for the tests")]
mod harness;

use self::harness::{
    Api, Engine, REFERENCE, Server, TableStream, abort, blue_green, by_revision, creation,
    eventually, of_project,
};

#[tokio::main]
async fn main() {
    if std::env::args().any(|argument| argument == "shares") {
        for engine in [Engine::Sqlite, Engine::Postgres] {
            shares(engine).await;
        }
        return;
    }
    for engine in [Engine::Sqlite, Engine::Postgres] {
        idle(engine).await;
    }
    for (engine, across) in [
        (Engine::Sqlite, false),
        (Engine::Postgres, false),
        (Engine::Postgres, true),
    ] {
        latency(engine, across).await;
    }
    for engine in [Engine::Sqlite, Engine::Postgres] {
        shares(engine).await;
    }
}

/// Measures a server before, and while a thousand watch.
async fn idle(engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    for n in 0..DEPLOYMENTS {
        let mut request = creation(0, blue_green(BlueGreenSpec::default()));
        request.name = format!("d-{n}");
        request.initial_revision = None;
        api.create(request).await.expect("it is created");
    }
    let without = share_of_a_core(server.pid()).await;
    let mut open = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let api = server.api().await;
        for n in 0..WATCHES / CONNECTIONS {
            open_one(&mut open, &api, n).await;
        }
    }
    let with = share_of_a_core(server.pid()).await;
    assert!(open.try_join_next().is_none(), "none has ended");
    println!(
        "{engine:?}: {WATCHES} idle watches take {with:.2} % of a core, none take {without:.2} %"
    );
}

/// Opens a watch, of each kind in turn, and has it read.
async fn open_one(open: &mut JoinSet<Status>, api: &Api, n: usize) {
    match n % 3 {
        0 => {
            let events = api
                .deployments()
                .watch_deployments(of_project("shop"))
                .await;
            read(open, events.expect("a watch").into_inner(), DEPLOYMENTS).await;
        }
        1 => {
            let all = WatchTrafficRequest {
                deployments: Vec::new(),
                all: true,
                ..WatchTrafficRequest::default()
            };
            let tables = api.traffic().watch_traffic(all).await;
            read(open, tables.expect("a watch").into_inner(), DEPLOYMENTS).await;
        }
        _ => {
            let group = WatchAssignmentsRequest {
                resource_group: harness::GROUP.to_owned(),
            };
            let assignments = api.routes().watch_assignments(group).await;
            read(open, assignments.expect("a watch").into_inner(), 0).await;
        }
    }
}

/// Reads what is there at the beginning, and goes on in the background.
async fn read<T: Send + 'static>(open: &mut JoinSet<Status>, mut all: Streaming<T>, first: usize) {
    for _ in 0..first {
        all.message()
            .await
            .expect("it is there")
            .expect("it is open");
    }
    open.spawn(async move {
        loop {
            match all.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok("the end"),
                Err(status) => return status,
            }
        }
    });
}

/// The CPU time of a process over a while that has two heartbeats, in percent.
async fn share_of_a_core(pid: i32) -> f64 {
    let (begun, before) = (Instant::now(), cpu_time(pid));
    sleep(WHILE).await;
    (cpu_time(pid) - before).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0
}

fn cpu_time(pid: i32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // Behind the name, which is in brackets: the 12th and 13th, in hundredths.
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Measures promotions; with the report at one server and the stream at another
/// when that is asked for.
async fn latency(engine: Engine, across: bool) {
    let server = Server::start(engine).await;
    let beside = match across {
        true => Some(server.beside().await),
        false => None,
    };
    let api = server.api().await;
    let there = beside.as_ref().unwrap_or(&server).api().await;
    let automatic = BlueGreenSpec {
        auto_promote: true,
        ..BlueGreenSpec::default()
    };
    let created = api.create(creation(REPLICAS, blue_green(automatic))).await;
    let first = created.expect("it is created").current_revision_id;
    let mut tables = there.watch(REFERENCE).await;
    bring_up(&api, &mut tables, &first).await;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let is_ready = |it: &Deployment| it.lifecycle() == DeploymentLifecycle::Ready;
        api.until(REFERENCE, "READY", is_ready).await;
        end_what_is_drained(&api).await;
        let revision = api.create_revision(REFERENCE, true).await;
        let revision = revision.expect("it is activated").revision;
        times.push(bring_up(&api, &mut tables, &revision.expect("one").id).await);
    }
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    let how = if across { ", across two servers" } else { "" };
    println!(
        "{engine:?}{how}: last HEALTHY to new table p50 {:?}, p99 {:?}, most {:?} ({ROUNDS} rounds)",
        at(50),
        at(99),
        at(100)
    );
}

/// Measures the shares of canaries: each takes a half, and is aborted.
async fn shares(engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let created = api.create(creation(REPLICAS, half())).await;
    let first = created.expect("it is created").current_revision_id;
    let mut tables = api.watch(REFERENCE).await;
    bring_up(&api, &mut tables, &first).await;
    let (mut rises, mut aborts) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let is_ready = |it: &Deployment| it.lifecycle() == DeploymentLifecycle::Ready;
        api.until(REFERENCE, "READY", is_ready).await;
        end_what_is_drained(&api).await;
        let revision = api.create_revision(REFERENCE, true).await;
        let revision = revision.expect("it is activated").revision.expect("one");
        let green = eventually("the canary", async || {
            let routes = by_revision(&api.list_routes(REFERENCE).await, &revision.id);
            (!routes.is_empty()).then_some(routes)
        })
        .await;
        report(&api, &green, RouteStatus::Running).await;
        let seen = api.see(&green, RouteHealthStatus::Healthy);
        rises.push(until_split(&mut tables, true, seen).await);
        let mut client = api.deployments();
        let aborted = async {
            let aborted = client.abort_deployment(abort(REFERENCE)).await;
            aborted.expect("it is aborted");
        };
        aborts.push(until_split(&mut tables, false, aborted).await);
    }
    for (what, mut times) in [
        ("last HEALTHY to a share", rises),
        ("abort to none", aborts),
    ] {
        times.sort();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        println!(
            "{engine:?}: {what} in the table p50 {:?}, p99 {:?}, most {:?} ({ROUNDS} rounds)",
            at(50),
            at(99),
            at(100)
        );
    }
}

/// The time from the begin of a call to a table that is split, or is not.
async fn until_split(
    tables: &mut TableStream,
    is_split: bool,
    call: impl Future<Output = ()>,
) -> Duration {
    let begun = Instant::now();
    let table = async {
        loop {
            let table = tables.next().await.expect("a table");
            if table.weights.is_empty() != is_split {
                return begun.elapsed();
            }
        }
    };
    tokio::join!(call, table).1
}

/// A canary that has half of the traffic until it is advanced.
fn half() -> DeploymentPolicy {
    let step = CanaryStep {
        weight_permille: 500,
        manual: true,
        ..CanaryStep::default()
    };
    DeploymentPolicy {
        strategy: Some(Strategy::Canary(CanarySpec {
            steps: vec![step],
            ..CanarySpec::default()
        })),
        ..blue_green(BlueGreenSpec::default())
    }
}

/// Reports the routes of a revision RUNNING and HEALTHY. Gives the time from the
/// last report to the table that has them.
async fn bring_up(api: &Api, tables: &mut TableStream, revision: &str) -> Duration {
    let routes = eventually("the new routes", async || {
        let routes = by_revision(&api.list_routes(REFERENCE).await, revision);
        (routes.len() == REPLICAS as usize).then_some(routes)
    })
    .await;
    report(api, &routes, RouteStatus::Running).await;
    let (last, others) = routes.split_last().expect("there are some");
    api.see(others, RouteHealthStatus::Healthy).await;
    let begun = Instant::now();
    let seen = api.see(std::slice::from_ref(last), RouteHealthStatus::Healthy);
    let table = async {
        loop {
            let table = tables.next().await.expect("a table");
            let all = table.endpoints.iter().any(|it| it.route_id == last.id);
            if table.revision_id == revision && all {
                return begun.elapsed();
            }
        }
    };
    tokio::join!(seen, table).1
}

async fn end_what_is_drained(api: &Api) {
    let routes = api.list_routes(REFERENCE).await;
    let drained = routes.into_iter();
    let drained: Vec<Route> = drained
        .filter(|route| route.status() == RouteStatus::Terminating)
        .collect();
    report(api, &drained, RouteStatus::Terminated).await;
}

async fn report(api: &Api, routes: &[Route], status: RouteStatus) {
    let report = |route: &Route| RouteStatusReport {
        route_id: route.id.clone(),
        status: status.into(),
        address: format!("{}.test:80", route.id),
        ..RouteStatusReport::default()
    };
    let results = api.report(routes.iter().map(report).collect()).await;
    results.expect("reports are taken");
}

const WATCHES: usize = 1_000;
const CONNECTIONS: usize = 20;
const DEPLOYMENTS: usize = 10;
const WHILE: Duration = Duration::from_secs(30);
const REPLICAS: i32 = 2;
const ROUNDS: usize = 200;
