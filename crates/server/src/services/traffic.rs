//! `TrafficService`.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    time::Duration,
};

use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep_until},
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use viridian_proto::v1::{self, traffic_service_server::TrafficService};
use viridian_store::{Tables, Touched, TrafficTable};
use viridian_strategy::DeploymentId;

use crate::{
    convert::{Violations, reference::parse_deployment, time::timestamp, traffic::table},
    error::{Resource, not_found, shutting_down, store},
    state::Shared,
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
        let message = request.into_inner();
        let id = self
            .0
            .resolve(&message.deployment, Violations::default())
            .await?;
        let found = tables(&self.0, Tables::Of(vec![id])).await?.pop();
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
        let message = request.into_inner();
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
            wanted.insert(self.0.resolve_reference(reference, text).await?, text);
        }
        let there = tables(&self.0, Tables::Of(wanted.keys().copied().collect())).await?;
        let there: HashSet<_> = there.iter().map(|table| table.deployment).collect();
        if let Some((_, text)) = wanted.iter().find(|(id, _)| !there.contains(id)) {
            return Err(not_found(Resource::Deployment, text));
        }
        let wanted = (!message.all).then_some(there);
        Ok(Response::new(Box::pin(watch(self.0.clone(), wanted))))
    }
}

/// The present tables first, then each new one. Woken by commits of this
/// process; the slow poll finds those of others. Epochs only rise.
fn watch(
    shared: Shared,
    wanted: Option<HashSet<DeploymentId>>,
) -> impl Stream<Item = Result<v1::WatchTrafficResponse, Status>> {
    async_stream::try_stream! {
        // Armed before the first look, so that nothing falls between.
        let mut commits = shared.database().subscribe();
        let mut sent: HashMap<DeploymentId, i64> = HashMap::new();
        let mut look = Look::Everything;
        let mut quiet = Instant::now();
        let mut poll = Instant::now() + POLL;
        loop {
            for found in look.load(&shared, wanted.as_ref()).await? {
                let newer = sent.get(&found.deployment).is_none_or(|epoch| *epoch < found.epoch);
                if newer {
                    sent.insert(found.deployment, found.epoch);
                    yield payload(v1::watch_traffic_response::Payload::Table(table(found)));
                    quiet = Instant::now();
                }
            }
            look = tokio::select! {
                () = shared.stopping() => Look::NoMore,
                changed = changed(&mut commits, wanted.as_ref()) => changed,
                () = sleep_until(poll) => Look::Everything,
            };
            match look {
                Look::NoMore => Err(shutting_down())?,
                Look::Everything => poll = Instant::now() + POLL,
                Look::At(_) => {}
            }
            if quiet.elapsed() >= HEARTBEAT {
                let now = shared.database().now().await.map_err(|error| store(&error))?;
                let heartbeat = v1::TrafficHeartbeat { time: Some(timestamp(now)) };
                yield payload(v1::watch_traffic_response::Payload::Heartbeat(heartbeat));
                quiet = Instant::now();
            }
        }
    }
}

/// Where new tables may be.
enum Look {
    Everything,
    At(Vec<DeploymentId>),
    /// Nowhere: the server stops.
    NoMore,
}

impl Look {
    async fn load(
        self,
        shared: &Shared,
        wanted: Option<&HashSet<DeploymentId>>,
    ) -> Result<Vec<TrafficTable>, Status> {
        match (self, wanted) {
            (Self::NoMore, _) => Ok(Vec::new()),
            (Self::At(ids), _) => tables(shared, Tables::Of(ids)).await,
            (Self::Everything, Some(wanted)) => {
                tables(shared, Tables::Of(wanted.iter().copied().collect())).await
            }
            (Self::Everything, None) => {
                let mut all = Vec::new();
                loop {
                    let after = all.last().map(|table: &TrafficTable| table.deployment);
                    let page = tables(
                        shared,
                        Tables::All {
                            after,
                            limit: CHUNK,
                        },
                    )
                    .await?;
                    let last = (page.len() as i64) < CHUNK;
                    all.extend(page);
                    if last {
                        return Ok(all);
                    }
                }
            }
        }
    }
}

/// Waits for commits that changed a wanted table, and takes all that are there.
async fn changed(commits: &mut Receiver<Touched>, wanted: Option<&HashSet<DeploymentId>>) -> Look {
    let relevant = |touched: &Touched| {
        touched.epoch.is_some() && wanted.is_none_or(|ids| ids.contains(&touched.deployment))
    };
    loop {
        let mut ids = match commits.recv().await {
            Ok(touched) if relevant(&touched) => vec![touched.deployment],
            Ok(_) => continue,
            Err(RecvError::Lagged(_)) => return Look::Everything,
            Err(RecvError::Closed) => std::future::pending().await,
        };
        while let Ok(touched) = commits.try_recv() {
            if relevant(&touched) && !ids.contains(&touched.deployment) {
                ids.push(touched.deployment);
            }
        }
        return Look::At(ids);
    }
}

async fn tables(shared: &Shared, which: Tables) -> Result<Vec<TrafficTable>, Status> {
    shared
        .database()
        .traffic_tables(which)
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
const POLL: Duration = Duration::from_secs(2);
const HEARTBEAT: Duration = Duration::from_secs(15);
