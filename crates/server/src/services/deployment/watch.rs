//! `WatchDeployments`.

mod question;

use std::{pin::Pin, sync::Arc};

use tokio::time::{Instant, sleep_until};
use tokio_stream::Stream;
use tonic::Status;
use viridian_proto::v1::{self, DeploymentEventKind, watch_deployments_response::Payload};
use viridian_store::ReadLogError;

use crate::{
    convert::time::timestamp,
    error::{resume_token_expired, shutting_down, slow_consumer, store},
    resume::{Question, Resume},
    state::Shared,
    watches::{
        HEARTBEAT,
        events::{SentEvent, Subscription},
        sent,
    },
};

/// The events of a watch.
pub(super) type EventStream =
    Pin<Box<dyn Stream<Item = Result<v1::WatchDeploymentsResponse, Status>> + Send>>;

/// `WatchDeployments`.
pub(super) async fn watch(
    shared: &Shared,
    message: &v1::WatchDeploymentsRequest,
) -> Result<EventStream, Status> {
    let start = question::parse(shared, message).await?;
    Ok(Box::pin(stream(shared.clone(), start)))
}

/// Where a watch is.
enum Phase {
    /// It waits until what was committed when it began is settled.
    Settling(i64),
    /// It tells how everything was at its position.
    Snapshots,
    /// It reads the log behind its position.
    Reading,
    /// It takes what the feed has for it.
    Following,
}

/// A watch that is under way.
struct Watch<'a> {
    shared: &'a Shared,
    feed: Subscription<'a>,
    phase: Phase,
    /// What the next token says.
    resume: Resume,
    /// Since when it takes what the feed has.
    following: Instant,
    quiet: Instant,
}

/// What a watch waits for.
enum Woken {
    Settled(i64),
    Fed,
    Silence,
}

fn stream(
    shared: Shared,
    (resume, phase): (Resume, Phase),
) -> impl Stream<Item = Result<v1::WatchDeploymentsResponse, Status>> {
    async_stream::try_stream! {
        let mut watch = Watch {
            shared: &shared,
            // Before the first look, so that nothing falls between.
            feed: shared.watches().events.subscribe(resume.question.topics()),
            phase,
            resume,
            following: Instant::now(),
            quiet: Instant::now(),
        };
        loop {
            for message in watch.next().await? {
                let offered = Instant::now();
                yield message;
                if watch.feed.is_full() {
                    watch.expect_taken_since(offered)?;
                }
                watch.quiet = Instant::now();
            }
        }
    }
}

impl Watch<'_> {
    /// Does the next step. It may bring nothing.
    async fn next(&mut self) -> Result<Vec<v1::WatchDeploymentsResponse>, Status> {
        if self.shared.is_stopping() {
            return Err(shutting_down());
        }
        match self.phase {
            Phase::Settling(end) => match self.wait(Some(end)).await? {
                Woken::Settled(position) => {
                    self.resume.position = position;
                    self.phase = Phase::Snapshots;
                    Ok(Vec::new())
                }
                Woken::Fed => Ok(Vec::new()),
                Woken::Silence => self.heartbeat().await,
            },
            Phase::Snapshots => self.snapshots().await,
            Phase::Reading => self.read().await,
            Phase::Following => self.follow().await,
        }
    }

    async fn wait(&self, end: Option<i64>) -> Result<Woken, Status> {
        let settles = async {
            match end {
                Some(end) => self.shared.watches().events.settles(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.shared.stopping() => Err(shutting_down()),
            position = settles => Ok(Woken::Settled(position)),
            () = self.feed.woken(), if end.is_none() => Ok(Woken::Fed),
            () = sleep_until(self.quiet + HEARTBEAT) => Ok(Woken::Silence),
        }
    }

    async fn snapshots(&mut self) -> Result<Vec<v1::WatchDeploymentsResponse>, Status> {
        let filter = self.resume.question.filter();
        let page = self.shared.database().read_snapshots(
            &filter,
            self.resume.position,
            self.resume.snapshots_behind,
            PAGE,
        );
        let page = page.await.map_err(status)?;
        let by_project = matches!(self.resume.question, Question::Project(_));
        let mut messages = Vec::new();
        for found in page.entries.into_iter().filter_map(sent) {
            self.resume.snapshots_behind = Some(found.deployment);
            if by_project && found.is_over() {
                continue;
            }
            let mut event = found.message.clone();
            event.set_kind(DeploymentEventKind::Snapshot);
            messages.push(self.message(event));
        }
        self.resume.snapshots_behind = page.next;
        if page.next.is_none() {
            self.phase = Phase::Reading;
        }
        Ok(messages)
    }

    async fn read(&mut self) -> Result<Vec<v1::WatchDeploymentsResponse>, Status> {
        let from = self.resume.position;
        // Not known, it will be told that it is behind.
        let up_to = self.shared.watches().events.settled().unwrap_or(from);
        if up_to <= from {
            self.phase = Phase::Following;
            self.following = Instant::now();
            return Ok(Vec::new());
        }
        let filter = self.resume.question.filter();
        let page = self.shared.database().read_log(&filter, from, up_to, PAGE);
        let page = page.await.map_err(status)?;
        let events = page.entries.into_iter().filter_map(sent);
        let messages = events.map(|event| self.event(&event)).collect();
        self.resume.position = page.read;
        Ok(messages)
    }

    async fn follow(&mut self) -> Result<Vec<v1::WatchDeploymentsResponse>, Status> {
        let untaken = self.feed.take();
        if let Some(at) = untaken.full_since {
            // It would have taken them, had it been asked for more.
            self.expect_taken_since(at.max(self.following))?;
        }
        if untaken.events.is_empty() && untaken.behind.is_none() {
            return match self.wait(None).await? {
                Woken::Silence => self.heartbeat().await,
                Woken::Fed | Woken::Settled(_) => Ok(Vec::new()),
            };
        }
        let mut messages = Vec::new();
        for event in untaken.events {
            if event.position > self.resume.position {
                messages.push(self.event(&event));
            }
        }
        if let Some(behind) = untaken.behind {
            self.resume.position = self.resume.position.max(behind);
            self.phase = Phase::Reading;
        }
        Ok(messages)
    }

    /// Ends it if its consumer has taken nothing for too long. There is more for
    /// it than there is room for.
    fn expect_taken_since(&self, at: Instant) -> Result<(), Status> {
        if at.elapsed() <= self.shared.watches().limits.patience {
            return Ok(());
        }
        tracing::info!("a watch is ended whose consumer is too slow");
        Err(slow_consumer())
    }

    fn event(&mut self, event: &Arc<SentEvent>) -> v1::WatchDeploymentsResponse {
        self.resume.position = event.position;
        self.message(event.message.clone())
    }

    fn message(&self, mut event: v1::DeploymentEvent) -> v1::WatchDeploymentsResponse {
        event.resume_token = self.resume.token();
        v1::WatchDeploymentsResponse {
            payload: Some(Payload::Event(event)),
        }
    }

    /// Says that there is nothing new, which the clock vouches for.
    async fn heartbeat(&mut self) -> Result<Vec<v1::WatchDeploymentsResponse>, Status> {
        let now = self.shared.watches().clock.now().await;
        let heartbeat = v1::DeploymentHeartbeat {
            time: Some(timestamp(now.map_err(|error| store(&error))?)),
        };
        Ok(vec![v1::WatchDeploymentsResponse {
            payload: Some(Payload::Heartbeat(heartbeat)),
        }])
    }
}

fn status(error: ReadLogError) -> Status {
    match error {
        ReadLogError::Forgotten => resume_token_expired(),
        ReadLogError::Store(error) => store(&error),
    }
}

const PAGE: u32 = 200;
