//! Watches of tables that get what a set changed in one message: a proxy that applies one
//! message after the other never has the new table of one member beside the old one of another.

use std::{collections::HashMap, time::Duration};

use rstest::rstest;
use rstest_reuse::apply;
use tokio::{sync::watch, task::JoinHandle};
use tonic::Streaming;
use viridian_proto::v1::{
    DeploymentLifecycle, DeploymentSubStep, PromoteDeploymentsRequest, PromoteMember,
    RouteHealthStatus, TrafficTable, WatchTrafficRequest, WatchTrafficResponse,
    watch_traffic_response::Payload,
};

use crate::{
    engines::both_engines,
    harness::{Api, Engine, GROUP, ScriptedScheduler, Server, creation, manual, within},
};

/// Each in another order than their ids.
const MEMBERS: [&str; 3] = ["shop/c", "shop/a", "shop/b"];
const ROUNDS: i64 = 12;

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_never_sees_a_part_of_a_set(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let beside = match engine {
        // Notifications and tables by way of the database only.
        Engine::Postgres => Some(server.beside().await),
        Engine::Sqlite => None,
    };
    let api = server.api().await;
    let there = beside.as_ref().unwrap_or(&server).api().await;
    let _scheduler = ScriptedScheduler::start(&api, GROUP);
    for member in MEMBERS {
        let mut request = creation(2, manual());
        request.name = member.trim_start_matches("shop/").to_owned();
        api.create(request).await.expect("it can be created");
    }
    for member in MEMBERS {
        let is_ready =
            |it: &viridian_proto::v1::Deployment| it.lifecycle() == DeploymentLifecycle::Ready;
        api.until(member, "READY", is_ready).await;
    }
    let mut seen = Follower::start(&there).await;
    let flapping = tokio::spawn(flap(api.clone()));
    for round in 0..ROUNDS {
        for member in MEMBERS {
            api.create_revision(member, true).await.expect("activated");
        }
        for member in MEMBERS {
            let at_gate = |it: &viridian_proto::v1::Deployment| {
                it.sub_step() == DeploymentSubStep::AwaitingPromotion
            };
            api.until(member, "the gate", at_gate).await;
        }
        let members = MEMBERS.map(|member| PromoteMember {
            deployment: member.to_owned(),
            ..PromoteMember::default()
        });
        let request = PromoteDeploymentsRequest {
            members: members.to_vec(),
            ..PromoteDeploymentsRequest::default()
        };
        let promoted = api.deployments().promote_deployments(request).await;
        let promoted = promoted.expect("all are at the gate").into_inner();
        let wanted: HashMap<_, _> = promoted
            .members
            .into_iter()
            .filter_map(|it| it.deployment)
            .map(|it| (it.id, it.current_revision_id))
            .collect();
        assert_eq!(wanted.len(), MEMBERS.len());
        seen.until_switched(&wanted, &promoted.commit_id, round)
            .await;
    }
    flapping.abort();
}

/// Makes tables of members change one by one, so that a later change may be in a message.
async fn flap(api: Api) {
    loop {
        for member in MEMBERS {
            let Ok(deployment) = api.find(member).await else {
                continue;
            };
            let routes = api.list_routes(member).await;
            let of_blue = routes.into_iter();
            let mut of_blue = of_blue.filter(|it| it.revision_id == deployment.current_revision_id);
            let Some(route) = of_blue.next() else {
                continue;
            };
            let route = [route];
            for health in [RouteHealthStatus::Unhealthy, RouteHealthStatus::Healthy] {
                let reports = route
                    .iter()
                    .map(|it| viridian_proto::v1::RouteHealthReport {
                        route_id: it.id.clone(),
                        health: health.into(),
                        ..viridian_proto::v1::RouteHealthReport::default()
                    });
                // One that was drained meanwhile has no health.
                let _ = api.report_health(reports.collect()).await;
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    }
}

/// The messages of a watch, one applied after the other.
struct Follower {
    states: watch::Receiver<Vec<AppliedMessage>>,
    task: JoinHandle<()>,
}

/// The revisions that a proxy has after a message, and the units that the message names.
#[derive(Clone, Debug)]
struct AppliedMessage {
    revisions: HashMap<String, String>,
    tables: usize,
    commit_id: String,
}

impl Follower {
    async fn start(api: &Api) -> Self {
        let request = WatchTrafficRequest {
            deployments: MEMBERS.map(str::to_owned).to_vec(),
            together: true,
            ..WatchTrafficRequest::default()
        };
        let mut client = api.traffic();
        let stream = within("a watch", client.watch_traffic(request)).await;
        let stream = stream.expect("tables can be watched").into_inner();
        let (sender, states) = watch::channel(Vec::new());
        let task = tokio::spawn(follow(stream, sender));
        Self { states, task }
    }

    /// Waits until all have switched, and checks that they did so in one message.
    async fn until_switched(&mut self, wanted: &HashMap<String, String>, commit: &str, round: i64) {
        let is_there =
            |states: &Vec<AppliedMessage>| states.last().is_some_and(|it| it.revisions == *wanted);
        let states = within("the switch", self.states.wait_for(is_there)).await;
        let states = states.expect("it follows").clone();
        for state in &states {
            let switched = state.revisions.iter();
            let switched = switched.filter(|(id, revision)| wanted.get(*id) == Some(revision));
            let count = switched.count();
            // The first tables of all come one by one.
            let is_whole = state.revisions.len() == MEMBERS.len();
            assert!(
                !is_whole || count == 0 || count == MEMBERS.len(),
                "round {round}: {count} of {} have switched: {states:#?}",
                MEMBERS.len()
            );
        }
        let is_switched = |state: &&AppliedMessage| state.revisions == *wanted;
        let first = states.iter().find(is_switched).expect("it has switched");
        assert_eq!(first.tables, MEMBERS.len(), "{first:?}");
        assert!(first.commit_id.is_empty() || first.commit_id == commit);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    mut stream: Streaming<WatchTrafficResponse>,
    sender: watch::Sender<Vec<AppliedMessage>>,
) {
    let mut revisions = HashMap::new();
    while let Ok(Some(message)) = stream.message().await {
        let (tables, commit_id): (Vec<TrafficTable>, String) = match message.payload {
            Some(Payload::Table(table)) => (vec![table], String::new()),
            Some(Payload::Tables(tables)) => (tables.tables, tables.commit_id),
            Some(Payload::Heartbeat(_)) | None => continue,
        };
        let count = tables.len();
        for table in tables {
            assert_ne!(table.endpoints, [], "never empty: {table:?}");
            revisions.insert(table.deployment_id, table.revision_id);
        }
        let applied = AppliedMessage {
            revisions: revisions.clone(),
            tables: count,
            commit_id,
        };
        sender.send_modify(|states| states.push(applied));
    }
}
