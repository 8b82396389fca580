//! `TrafficService`.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::Arc,
};

use tokio::time::{Instant, sleep_until};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use viridian_proto::v1::{self, traffic_service_server::TrafficService};
use viridian_store::{Tables, TrafficTable};
use viridian_strategy::DeploymentId;

use crate::{
    convert::{Violations, reference::parse_deployment, time::timestamp, traffic::table},
    error::{Resource, not_found, shutting_down, store},
    scope::Scope,
    state::Shared,
    watches::HEARTBEAT,
};

/// `TrafficService`, on a database.
pub(crate) struct Traffic(pub(crate) Shared);

type TableStream = Pin<Box<dyn Stream<Item = Result<v1::WatchTrafficResponse, Status>> + Send>>;

#[tonic::async_trait]
impl TrafficService for Traffic {
    async fn get_traffic(
        &self,
        request: Request<v1::GetTrafficRequest>,
    ) -> Result<Response<v1::GetTrafficResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        let id = scope
            .resolve(&message.deployment, Violations::default())
            .await?;
        let found = tables(&scope, Tables::Of(vec![id])).await?.pop();
        let found = found.ok_or_else(|| not_found(Resource::Deployment, &message.deployment))?;
        Ok(Response::new(v1::GetTrafficResponse {
            table: Some(table(found)),
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
        let mut wanted = HashMap::new();
        for (reference, text) in references {
            wanted.insert(scope.resolve_reference(reference, text).await?, text);
        }
        let there = tables(&scope, Tables::Of(wanted.keys().copied().collect())).await?;
        let there: HashSet<_> = there.iter().map(|table| table.deployment).collect();
        if let Some((_, text)) = wanted.iter().find(|(id, _)| !there.contains(id)) {
            return Err(not_found(Resource::Deployment, text));
        }
        let wanted = (!message.all).then_some(there);
        Ok(Response::new(Box::pin(watch(scope, wanted))))
    }
}

/// The present tables first, then each new one. Epochs only rise.
fn watch(
    scope: Scope,
    wanted: Option<HashSet<DeploymentId>>,
) -> impl Stream<Item = Result<v1::WatchTrafficResponse, Status>> {
    async_stream::try_stream! {
        // Before the first look, so that nothing falls between.
        let feed = scope.watches().tables.subscribe(wanted.as_ref());
        let mut sent: HashMap<DeploymentId, i64> = HashMap::new();
        let mut present = Present::of(wanted.as_ref());
        while let Some(page) = present.next(&scope).await? {
            for found in page {
                sent.insert(found.deployment, found.epoch);
                yield payload(v1::watch_traffic_response::Payload::Table(table(found)));
            }
        }
        let mut quiet = Instant::now();
        loop {
            for (id, new) in scope.keep_visible(feed.take()).await? {
                if sent.get(&id).is_none_or(|epoch| *epoch < new.epoch) {
                    sent.insert(id, new.epoch);
                    let new = Arc::unwrap_or_clone(new);
                    yield payload(v1::watch_traffic_response::Payload::Table(new));
                    quiet = Instant::now();
                }
            }
            let silent = tokio::select! {
                () = scope.stopping() => Err(shutting_down()),
                () = feed.woken() => Ok(false),
                () = sleep_until(quiet + HEARTBEAT) => Ok(true),
            };
            if silent? {
                yield heartbeat(&scope).await?;
                quiet = Instant::now();
            }
        }
    }
}

/// The tables that are there at the beginning, page by page.
enum Present {
    Of(Vec<DeploymentId>),
    All { after: Option<DeploymentId> },
    Over,
}

impl Present {
    fn of(wanted: Option<&HashSet<DeploymentId>>) -> Self {
        match wanted {
            Some(ids) => Self::Of(ids.iter().copied().collect()),
            None => Self::All { after: None },
        }
    }

    async fn next(&mut self, scope: &Scope) -> Result<Option<Vec<TrafficTable>>, Status> {
        match std::mem::replace(self, Self::Over) {
            Self::Of(ids) => tables(scope, Tables::Of(ids)).await.map(Some),
            Self::All { after } => {
                let limit = CHUNK;
                let page = tables(scope, Tables::All { after, limit }).await?;
                if page.len() as i64 == limit {
                    let after = page.last().map(|table| table.deployment);
                    *self = Self::All { after };
                }
                Ok(Some(page))
            }
            Self::Over => Ok(None),
        }
    }
}

async fn heartbeat(scope: &Scope) -> Result<v1::WatchTrafficResponse, Status> {
    let now = scope.watches().clock.now().await;
    let heartbeat = v1::TrafficHeartbeat {
        time: Some(timestamp(now.map_err(|error| store(&error))?)),
    };
    let heartbeat = v1::watch_traffic_response::Payload::Heartbeat(heartbeat);
    Ok(payload(heartbeat))
}

async fn tables(scope: &Scope, which: Tables) -> Result<Vec<TrafficTable>, Status> {
    scope
        .database()
        .traffic_tables(which, scope.projects().clone())
        .await
        .map_err(|error| store(&error))
}

fn payload(payload: v1::watch_traffic_response::Payload) -> v1::WatchTrafficResponse {
    v1::WatchTrafficResponse {
        payload: Some(payload),
    }
}

const MAX_DEPLOYMENTS: usize = 1_000;
const CHUNK: i64 = 1_000;
