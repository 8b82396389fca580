//! Replies that nobody reads: what the server holds of them, and for how long. Measured by the
//! largest resident set of the real program. A tenth of the load; `scripts/full-counts` has it in
//! full.

use std::{fs, time::Duration};

use prost::Message;
use rstest::rstest;
use tokio::task::JoinSet;
use tonic::{Code, Status, Streaming};
use viridian_proto::v1::{
    CreateDeploymentRequest, CreateRevisionRequest, ListRevisionsRequest, RevisionSpec,
    RouteServiceListRoutesRequest, WatchRoutesRequest, WatchTrafficRequest,
};

use crate::harness::{
    Api, Engine, GROUP, REFERENCE, Server, count, creation, eventually, manual, of_project, pause,
    refused, within,
};

/// 200 lists of 3 MiB each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_lists_that_nobody_takes_are_bounded() {
    let flags = [
        "--max-reply-memory-per-caller",
        "4MiB",
        "--max-reply-memory",
        "8MiB",
        "--reply-timeout",
        "3s",
    ];
    let server = Server::start_with(Engine::Sqlite, &flags).await;
    let api = server.api().await;
    let created = CreateDeploymentRequest {
        revision_history_limit: 100,
        ..creation(0, manual())
    };
    api.create(created).await.expect("created");
    for _ in 0..50 {
        let large = ("LARGE".to_owned(), "x".repeat(60_000));
        let request = CreateRevisionRequest {
            deployment: REFERENCE.to_owned(),
            spec: Some(RevisionSpec {
                environ: [large].into(),
                image: "web:1".to_owned(),
                ..RevisionSpec::default()
            }),
            only_if_changed: false,
            ..CreateRevisionRequest::default()
        };
        api.deployments()
            .create_revision(request)
            .await
            .expect("recorded");
    }
    let bound = MemoryBound::of(&server);
    let list = ListRevisionsRequest {
        deployment: REFERENCE.to_owned(),
        page_size: 500,
        ..ListRevisionsRequest::default()
    };
    let unread = Unread::begin(&server, LIST_REVISIONS, &list, 6 * load()).await;
    bound.holds("lists that nobody takes");
    // What they held is free with their end.
    drop(unread);
    let revisions = eventually("a list", async || {
        let reply = api.deployments().list_revisions(list.clone()).await;
        reply.ok().map(|reply| reply.into_inner().revisions.len())
    })
    .await;
    assert!(revisions > 40, "{revisions}");
}

/// 999 watches of 200 deployments, and of all tables.
#[rstest]
#[case::g4_of_a_project(WATCH_DEPLOYMENTS, of_project("shop").encode_to_vec())]
#[case::g4_of_tables(WATCH_TRAFFIC, all_tables())]
#[case::d9_of_routes(WATCH_ROUTES, routes_of_group())]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_watches_that_nobody_takes_are_bounded_and_end(
    #[case] method: &str,
    #[case] message: Vec<u8>,
) {
    let server = Server::start_with(Engine::Sqlite, &["--reply-timeout", "3s"]).await;
    let api = server.api().await;
    let mut creating = JoinSet::new();
    for number in 0..200 {
        let request = CreateDeploymentRequest {
            name: format!("web-{number}"),
            labels: (0..20)
                .map(|it| (format!("label-{it}"), "x".repeat(60)))
                .collect(),
            ..creation(i32::from(method == WATCH_ROUTES), manual())
        };
        let api = api.clone();
        creating.spawn(async move { api.create(request).await.expect("created") });
    }
    creating.join_all().await;
    if method == WATCH_ROUTES {
        eventually("a route of each", async || {
            let list = RouteServiceListRoutesRequest {
                resource_group: GROUP.to_owned(),
                page_size: 500,
                ..RouteServiceListRoutesRequest::default()
            };
            let page = api.routes().list_routes(list).await.ok()?;
            (page.into_inner().routes.len() == 200).then_some(())
        })
        .await;
    }
    let bound = MemoryBound::of(&server);
    let calls = 10 * load() - 1;
    // Narrower than the tables of 200 deployments without replicas.
    let mut unread = Unread::begin_raw(&server, method, message, calls, NARROW).await;
    // By the server, while nobody reads: who reads on would be served again.
    eventually("the end of all", async || {
        let ended = server.log().matches("a reply is ended").count();
        (ended >= calls as usize).then_some(())
    })
    .await;
    bound.holds(method);
    let ended = unread.ends().await;
    assert_eq!(ended.len(), calls as usize, "each of them");
    for status in ended {
        refused(&status, Code::ResourceExhausted, "SLOW_CONSUMER");
    }
    // Who reads is served all the while.
    assert_eq!(api.get(REFERENCE_OF_FIRST).await.name, "web-0");
}

/// Who reads what comes is not ended, however long it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_a_watch_that_is_read_outlives_the_reply_timeout() {
    let flags = ["--reply-timeout", "1s"];
    let server = Server::start_with(Engine::Sqlite, &flags).await;
    let api = server.api().await;
    api.create(creation(0, manual())).await.expect("created");
    let message = of_project("shop").encode_to_vec();
    let narrow = Api::connect_narrow(&server.url(), NARROW).await;
    let mut read = narrow
        .raw_stream(WATCH_DEPLOYMENTS, message, None)
        .await
        .expect("a watch");
    within("the snapshot", read.message())
        .await
        .expect("it is there");
    // More than the timeout and a look of the sweep, with nothing to send.
    tokio::time::sleep(Duration::from_secs(3)).await;
    api.pause(pause(REFERENCE)).await.expect("paused");
    let event = within("the pause", read.message())
        .await
        .expect("it goes on");
    assert!(event.is_some());
}

/// Calls of which nobody takes anything.
struct Unread {
    calls: JoinSet<Result<Streaming<Vec<u8>>, Status>>,
}

impl Unread {
    async fn begin(server: &Server, method: &str, message: &impl Message, calls: u32) -> Self {
        Self::begin_raw(server, method, message.encode_to_vec(), calls, WINDOW).await
    }

    async fn begin_raw(
        server: &Server,
        method: &str,
        message: Vec<u8>,
        calls: u32,
        window: u32,
    ) -> Self {
        let mut begun = JoinSet::new();
        for first in (0..calls).step_by(CALLS_PER_CONNECTION as usize) {
            let api = Api::connect_narrow(&server.url(), window).await;
            for _ in first..calls.min(first + CALLS_PER_CONNECTION) {
                let (api, method, message) = (api.clone(), method.to_owned(), message.clone());
                // Without a deadline, which would end them as well.
                begun.spawn(async move { api.raw_stream(&method, message, None).await });
            }
        }
        // Their windows fill.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Self { calls: begun }
    }

    /// How those ended that the server ended, once their consumers read on.
    async fn ends(&mut self) -> Vec<Status> {
        let mut ended = Vec::new();
        let calls = std::mem::take(&mut self.calls);
        let calls = within("the calls to begin", calls.join_all()).await;
        for call in calls {
            match call {
                Ok(mut replies) => loop {
                    match within("a message or the end", replies.message()).await {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(status) => {
                            ended.push(status);
                            break;
                        }
                    }
                },
                Err(status) => ended.push(status),
            }
        }
        assert!(!ended.is_empty(), "none was ended");
        ended
    }
}

/// The largest resident set that a server may come to.
struct MemoryBound {
    pid: u32,
    before: u64,
}

impl MemoryBound {
    fn of(server: &Server) -> Self {
        let pid = server.id();
        let before = peak(pid);
        Self { pid, before }
    }

    fn holds(&self, what: &str) {
        let (before, peak) = (self.before, peak(self.pid));
        report(&format!("{what}: {before} → {peak} KiB"));
        assert!(peak <= before + MAX_GROWTH, "{what}: {before} → {peak} KiB");
    }
}

/// The largest resident set so far, in KiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs on Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line
        .expect("a line of the peak")
        .trim()
        .trim_end_matches(" kB");
    number.parse().expect("a number")
}

fn all_tables() -> Vec<u8> {
    let request = WatchTrafficRequest {
        all: true,
        ..WatchTrafficRequest::default()
    };
    request.encode_to_vec()
}

fn routes_of_group() -> Vec<u8> {
    let request = WatchRoutesRequest {
        resource_group: GROUP.to_owned(),
        ..WatchRoutesRequest::default()
    };
    request.encode_to_vec()
}

/// Ten with a tenth of the load.
fn load() -> u32 {
    10 * count("VIRIDIAN_ATTACK_TENTHS", 1)
}

/// Shown with `--nocapture`.
#[expect(
    clippy::print_stderr,
    reason = "figures are for those who ask for them"
)]
fn report(figures: &str) {
    eprintln!("{figures}");
}

const LIST_REVISIONS: &str = "viridian.deployment.v1.DeploymentService/ListRevisions";
const WATCH_DEPLOYMENTS: &str = "viridian.deployment.v1.DeploymentService/WatchDeployments";
const WATCH_TRAFFIC: &str = "viridian.deployment.v1.TrafficService/WatchTraffic";
const WATCH_ROUTES: &str = "viridian.deployment.v1.RouteService/WatchRoutes";
const CALLS_PER_CONNECTION: u32 = 100;
/// That of most libraries.
const WINDOW: u32 = 65_535;
const NARROW: u32 = 8_192;
const REFERENCE_OF_FIRST: &str = "shop/web-0";
/// In KiB, with any load: an idle server has less than 100 MiB.
const MAX_GROWTH: u64 = 96 * 1_024;
