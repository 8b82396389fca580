use std::{
    collections::HashMap,
    error::Error as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::sleep;
use tonic::{Code, Status};
use viridian_proto::v1::{
    DeploymentEvent, DeploymentEventKind as Kind, WatchDeploymentsRequest,
    watch_deployments_response::Payload,
};

use super::{Api, ServerUrls, of_project};

/// Someone who watches a project, and goes on from its token at another server
/// when a watch ends: it misses nothing, and receives nothing twice.
pub(crate) struct EventFollower {
    project: String,
    server_urls: ServerUrls,
    rng: StdRng,
    token: String,
    seen: SharedEvents,
}

pub(crate) type SharedEvents = Arc<Mutex<SeenEvents>>;

#[derive(Default)]
pub(crate) struct SeenEvents {
    /// The last sequence of each deployment.
    pub(crate) last: HashMap<String, i64>,
    pub(crate) events: usize,
    /// How often it began, or went on.
    pub(crate) watches: usize,
}

impl EventFollower {
    pub(crate) fn new(project: &str, server_urls: ServerUrls, seed: u64) -> Self {
        Self {
            project: project.to_owned(),
            server_urls,
            rng: StdRng::seed_from_u64(seed),
            token: String::new(),
            seen: Arc::default(),
        }
    }

    pub(crate) fn seen(&self) -> SharedEvents {
        Arc::clone(&self.seen)
    }

    /// Watches for ever. Panics when something was missed or is repeated, or when
    /// a watch ends as none should.
    pub(crate) async fn work(mut self) {
        loop {
            if let Ok(api) = self.server_urls.any(&mut self.rng).await {
                let end = self.follow(&api).await.err();
                if let Some(end) = end {
                    // Either the connection broke, or the server says that it
                    // cannot go on now.
                    let is_told = matches!(end.code(), Code::Unavailable | Code::ResourceExhausted);
                    assert!(is_told || end.source().is_some(), "{end:?}");
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn follow(&mut self, api: &Api) -> Result<(), Status> {
        let request = WatchDeploymentsRequest {
            resume_token: self.token.clone(),
            ..of_project(&self.project)
        };
        let mut stream = api.deployments().watch_deployments(request).await?;
        let stream = stream.get_mut();
        lock_events(&self.seen).watches += 1;
        for _ in 0..self.rng.random_range(100..2_000) {
            let message = stream.message().await?;
            let message = message.expect("a watch does not end by itself");
            if let Some(Payload::Event(event)) = message.payload {
                self.take(event);
            }
        }
        Ok(())
    }

    fn take(&mut self, event: DeploymentEvent) {
        let mut seen = lock_events(&self.seen);
        let kind = event.kind();
        let deployment = event.deployment.expect("an event is about a deployment");
        let last = seen.last.insert(deployment.id.clone(), deployment.sequence);
        let expected = match (last, kind) {
            // As long as it has no token.
            (None, Kind::Snapshot) => deployment.sequence,
            (last, _) => last.unwrap_or(0) + 1,
        };
        let (name, sequence) = (&deployment.name, deployment.sequence);
        assert_eq!(sequence, expected, "{name} of {}: {kind:?}", self.project);
        seen.events += 1;
        self.token = event.resume_token;
    }
}

pub(crate) fn lock_events(seen: &SharedEvents) -> MutexGuard<'_, SeenEvents> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

const PAUSE: Duration = Duration::from_millis(20);
