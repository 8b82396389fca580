//! What traffic watchers are sent: a table per change, not one per route.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep};
use tonic::Streaming;
use viridian_proto::v1::{WatchTrafficRequest, WatchTrafficResponse, watch_traffic_response};
use viridian_store::Store;

use crate::{
    harness::{Api, Server, eventually, promotion},
    part,
    process::{Spent, resident},
    spread,
    stage::{Side, Stage},
};

pub(crate) async fn run() {
    let [deployments, promotions, watchers] = [10_000, 1_000, 1_000].map(part);
    let mut stage = Stage::on_postgres().await;
    let database = Store::open(&stage.url).await.expect("it opens");
    stage.create(&database, deployments, ROUTES).await;
    // Only these have a revision that waits at its gate.
    let all = std::mem::take(&mut stage.ids);
    stage.ids = all.iter().copied().take(promotions).collect();
    stage.deploy(&database).await;
    drop(database);
    let all: Vec<String> = all.iter().map(|id| id.0.to_string()).collect();

    let server = Server::at(&stage.url, |_| {}).await;
    let mut apis = Vec::new();
    for _ in 0..CONNECTIONS {
        apis.push(server.api().await);
    }
    let seen = Arc::new(Seen::default());
    let begun = Instant::now();
    let mut watching = JoinSet::new();
    for number in 0..watchers {
        // The promoted ones are spread over all.
        let own = all.iter().skip(number).step_by(watchers).cloned();
        let request = WatchTrafficRequest {
            deployments: own.collect(),
            all: false,
            ..WatchTrafficRequest::default()
        };
        let api = &apis[number % CONNECTIONS];
        let stream = api.traffic().watch_traffic(request).await;
        let stream = stream.expect("a watch").into_inner();
        watching.spawn(follow(stream, Arc::clone(&seen)));
    }
    eventually("the present tables", async || {
        (seen.tables.load(Ordering::Relaxed) == deployments).then_some(())
    })
    .await;
    println!(
        "{watchers} watchers of {deployments} deployments have their tables after {:.1?}; \
         resident {:.0} MB",
        begun.elapsed(),
        resident(server.pid())
    );

    let Side::Postgres(client) = &stage.side else {
        panic!("it is in PostgreSQL")
    };
    let before = Spent::until_now(&[server.pid()], client).await;
    sleep(WHILE).await;
    let after = Spent::until_now(&[server.pid()], client).await;
    println!("idle for {WHILE:?}: {}", after.shares(&before));

    let before = Spent::until_now(&[server.pid()], client).await;
    let promoting = Instant::now();
    let mut callers = JoinSet::new();
    for (number, api) in apis.iter().take(CALLERS).enumerate() {
        let own = all[..promotions].iter().skip(number).step_by(CALLERS);
        callers.spawn(promote(api.clone(), own.cloned().collect()));
    }
    let replies: HashMap<String, Instant> =
        callers.join_all().await.into_iter().flatten().collect();
    let took = promoting.elapsed();
    eventually("the new tables", async || {
        (seen.tables.load(Ordering::Relaxed) >= deployments + promotions).then_some(())
    })
    .await;
    let after = Spent::until_now(&[server.pid()], client).await;
    // Whatever else is sent comes within the time of a poll.
    sleep(WHILE).await;
    let updates = seen.tables.load(Ordering::Relaxed) - deployments;
    println!(
        "{promotions} promotions of {ROUTES} + {ROUTES} routes in {took:.1?}: {updates} tables \
         were sent; {}",
        after.shares(&before)
    );
    let last = seen.last.lock().unwrap_or_else(PoisonError::into_inner);
    let behind = replies
        .iter()
        .map(|(id, replied)| last[id].saturating_duration_since(*replied));
    println!("table behind its reply: {}", spread(behind.collect()));
    assert_eq!(updates, promotions, "a table each change");
    assert!(watching.try_join_next().is_none(), "none has ended");
}

#[derive(Default)]
struct Seen {
    tables: AtomicUsize,
    /// When the last table of each came.
    last: Mutex<HashMap<String, Instant>>,
}

async fn follow(mut stream: Streaming<WatchTrafficResponse>, seen: Arc<Seen>) {
    while let Ok(Some(message)) = stream.message().await {
        if let Some(watch_traffic_response::Payload::Table(table)) = message.payload {
            let mut last = seen.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.insert(table.deployment_id, Instant::now());
            seen.tables.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Gives when each was answered.
async fn promote(api: Api, ids: Vec<String>) -> Vec<(String, Instant)> {
    let mut replies = Vec::new();
    for id in ids {
        api.promote(promotion(&id)).await.expect("it is promoted");
        replies.push((id, Instant::now()));
    }
    replies
}

const ROUTES: u32 = 4;
const CONNECTIONS: usize = 20;
const CALLERS: usize = 8;
const WHILE: Duration = Duration::from_secs(10);
