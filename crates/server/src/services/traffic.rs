//! `TrafficService`.

use std::{
    collections::{HashMap, HashSet},
    pin::{Pin, pin},
    sync::Arc,
};

use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use viridian_feeds::{TableGroup, TableTarget, TableWatch};
use viridian_proto::v1::{
    self, traffic_service_server::TrafficService, watch_traffic_response::Payload,
};
use viridian_store::{Tables, TrafficTable};
use viridian_strategy::DeploymentId;

use crate::{
    convert::{
        Violations,
        reference::{DeploymentReference, parse_deployment},
        traffic::table,
    },
    error::{ResourceKind, not_found, store},
    scope::Scope,
    services::pacing::{StreamPacer, StreamTurn},
    state::ServerState,
};

/// `TrafficService`, on a database.
pub(crate) struct TrafficApi(pub(crate) ServerState);

type TableStream = Pin<Box<dyn Stream<Item = Result<v1::WatchTrafficResponse, Status>> + Send>>;

#[tonic::async_trait]
impl TrafficService for TrafficApi {
    async fn get_traffic(
        &self,
        request: Request<v1::GetTrafficRequest>,
    ) -> Result<Response<v1::GetTrafficResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        let id = scope
            .resolve(&message.deployment, Violations::default())
            .await?;
        let found = tables(&scope, Tables::Of(vec![id])).await?.pop();
        let found =
            found.ok_or_else(|| not_found(ResourceKind::Deployment, &message.deployment))?;
        Ok(Response::new(v1::GetTrafficResponse {
            table: Some(table(&found)),
        }))
    }

    type WatchTrafficStream = TableStream;

    async fn watch_traffic(
        &self,
        request: Request<v1::WatchTrafficRequest>,
    ) -> Result<Response<TableStream>, Status> {
        let (scope, message) = self.0.open(request)?;
        let mut violations = Violations::default();
        let one_of_two = message.all == message.deployments.is_empty();
        violations.check(
            one_of_two,
            "deployments",
            "either these or `all` must be set",
        );
        violations.count("deployments", message.deployments.len(), MAX_DEPLOYMENTS);
        let mut references = Vec::new();
        for (index, text) in message.deployments.iter().take(MAX_DEPLOYMENTS).enumerate() {
            let field = format!("deployments[{index}]");
            references.push((parse_deployment(&field, text, &mut violations), text));
        }
        violations.finish()?;
        let projects = scope.projects().clone();
        let feed = scope.feeds().tables();
        let begin = |target, projects| match message.together {
            true => feed.watch_together(target, projects),
            false => feed.watch(target, projects),
        };
        if message.all {
            let watch = begin(TableTarget::All, projects);
            return Ok(Response::new(Box::pin(stream(scope, watch))));
        }
        let names = references.iter().filter_map(|(it, _)| it.as_ref()?.name());
        let target = TableTarget::Deployments {
            ids: HashSet::new(),
            names: names.collect(),
        };
        // Before the names are looked up: a deployment that gets one after that is followed.
        let mut watch = begin(target, projects);
        watch.add(find_watched(&scope, references).await?);
        Ok(Response::new(Box::pin(stream(scope, watch))))
    }
}

/// The ids of the deployments to watch. All of them exist.
async fn find_watched(
    scope: &Scope,
    references: Vec<(Option<DeploymentReference>, &String)>,
) -> Result<HashSet<DeploymentId>, Status> {
    let mut wanted = HashMap::new();
    for (reference, text) in references {
        wanted.insert(scope.resolve_reference(reference, text).await?, text);
    }
    let there = tables(scope, Tables::Of(wanted.keys().copied().collect())).await?;
    let there: HashSet<_> = there.iter().map(|table| table.deployment).collect();
    match wanted.iter().find(|(id, _)| !there.contains(id)) {
        Some((_, text)) => Err(not_found(ResourceKind::Deployment, text)),
        None => Ok(there),
    }
}

/// The present tables first, then each new one. Epochs only rise.
fn stream(
    scope: Scope,
    mut watch: TableWatch,
) -> impl Stream<Item = Result<v1::WatchTrafficResponse, Status>> {
    async_stream::try_stream! {
        let mut pacer = StreamPacer::new(scope);
        loop {
            let mut next = pin!(watch.next());
            let tables = loop {
                match pacer.next(next.as_mut()).await? {
                    StreamTurn::Ready(tables) => break tables,
                    StreamTurn::Heartbeat(time) => yield heartbeat(time),
                }
            };
            for group in tables.map_err(|error| store(&error))? {
                yield response(payload(&group));
                pacer.note_sent();
            }
        }
    }
}

fn payload(group: &TableGroup) -> Payload {
    // Also of a watch that asks for `together`: nearly every change concerns one deployment.
    match &group[..] {
        [one] => Payload::Table(table(one)),
        several => Payload::Tables(tables_message(several)),
    }
}

fn tables_message(group: &[Arc<TrafficTable>]) -> v1::TrafficTables {
    let mut tables = group.iter();
    let commit = tables.next().and_then(|first| first.commit);
    // A later change of one of them may be in it.
    let commit = commit.filter(|_| tables.all(|other| other.commit == commit));
    v1::TrafficTables {
        tables: group.iter().map(|it| table(it)).collect(),
        commit_id: commit.map(|id| id.0.to_string()).unwrap_or_default(),
    }
}

fn heartbeat(time: prost_types::Timestamp) -> v1::WatchTrafficResponse {
    response(Payload::Heartbeat(v1::TrafficHeartbeat {
        time: Some(time),
    }))
}

async fn tables(scope: &Scope, which: Tables) -> Result<Vec<TrafficTable>, Status> {
    let projects = scope.projects().clone();
    let found = scope.reader().await?.traffic_tables(which, projects).await;
    found.map_err(|error| store(&error))
}

fn response(payload: Payload) -> v1::WatchTrafficResponse {
    v1::WatchTrafficResponse {
        payload: Some(payload),
    }
}

const MAX_DEPLOYMENTS: usize = 1_000;
