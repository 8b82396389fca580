//! `WatchDeployments`.

mod names;
mod request;

use std::pin::{Pin, pin};

use tokio::time::Instant;
use tokio_stream::Stream;
use tonic::Status;
use viridian_feeds::{EventWatch, WatchError, WatchTarget, WatchedEvent};
use viridian_proto::v1::{self, DeploymentEventKind, watch_deployments_response::Payload};
use viridian_strategy::DeploymentId;

use self::names::FollowedNames;
#[cfg(any(test, fuzzing))]
pub(crate) use self::request::parse_watch;
use crate::{
    convert::event::event,
    error::{resume_token_expired, slow_consumer, store},
    resume::ResumeToken,
    scope::Scope,
    services::pacing::{StreamPacer, StreamTurn},
    token::TokenSeal,
};

/// The events of a watch.
pub(super) type EventStream =
    Pin<Box<dyn Stream<Item = Result<v1::WatchDeploymentsResponse, Status>> + Send>>;

/// `WatchDeployments`.
pub(super) async fn watch(
    scope: &Scope,
    message: &v1::WatchDeploymentsRequest,
) -> Result<EventStream, Status> {
    let (watch, token, followed) = request::begin(scope, message).await?;
    Ok(Box::pin(stream(scope.clone(), watch, token, followed)))
}

fn stream(
    scope: Scope,
    mut watch: EventWatch,
    mut token: ResumeToken,
    mut followed: FollowedNames,
) -> impl Stream<Item = Result<v1::WatchDeploymentsResponse, Status>> {
    async_stream::try_stream! {
        let seal = scope.seal().clone();
        let mut pacer = StreamPacer::new(scope);
        let mut gone = Vec::new();
        loop {
            // The block ends the borrow of the watch, and the future outlives the heartbeats in it.
            let news = {
                let mut next = pin!(next(&mut watch, &mut followed));
                loop {
                    match pacer.next(next.as_mut()).await? {
                        StreamTurn::Ready(news) => break news?,
                        StreamTurn::Heartbeat(time) => yield heartbeat(time),
                    }
                }
            };
            let events = match news {
                WatchNews::Events(events) => events,
                WatchNews::Holders(ids) => {
                    add(&mut watch, ids, &gone).await?;
                    continue;
                }
            };
            token.target = watch.target().clone();
            for watched in events {
                if watched.event.is_tombstone() {
                    // Without this, a token would grow with each time that a name is taken again.
                    gone.push(watched.event.event.deployment.id);
                }
                let offered_at = Instant::now();
                yield message(&watched, &token, &seal);
                // A stream goes on after `yield` once the message is
                // taken: the time since then is the consumer's.
                watch.check_progress(offered_at).map_err(status)?;
                pacer.note_sent();
            }
        }
    }
}

/// What comes next in a watch.
enum WatchNews {
    Events(Vec<WatchedEvent>),
    /// Deployments that may have got a name that the watch is about.
    Holders(Vec<DeploymentId>),
}

async fn next(watch: &mut EventWatch, followed: &mut FollowedNames) -> Result<WatchNews, Status> {
    tokio::select! {
        // First: the end of a deployment comes before another one that has its name.
        biased;
        events = watch.next() => Ok(WatchNews::Events(events.map_err(status)?)),
        ids = followed.next() => Ok(WatchNews::Holders(ids.map_err(|error| store(&error))?)),
    }
}

/// Watches those that are not watched yet. Their events come from the first one on.
async fn add(
    watch: &mut EventWatch,
    ids: Vec<DeploymentId>,
    gone: &[DeploymentId],
) -> Result<(), Status> {
    for id in ids {
        let is_watched = match watch.target() {
            WatchTarget::Deployments(watched) => watched.contains(&id) || gone.contains(&id),
            WatchTarget::Project(_) => true,
        };
        if !is_watched {
            watch.add(id, gone).await.map_err(status)?;
        }
    }
    Ok(())
}

fn message(
    watched: &WatchedEvent,
    token: &ResumeToken,
    seal: &TokenSeal,
) -> v1::WatchDeploymentsResponse {
    let mut event = event(&watched.event.event);
    if watched.is_snapshot {
        event.set_kind(DeploymentEventKind::Snapshot);
        event.commit_id.clear();
    }
    event.resume_token = token.at(watched.cursor, seal);
    response(Payload::Event(event))
}

fn heartbeat(time: prost_types::Timestamp) -> v1::WatchDeploymentsResponse {
    response(Payload::Heartbeat(v1::DeploymentHeartbeat {
        time: Some(time),
    }))
}

fn response(payload: Payload) -> v1::WatchDeploymentsResponse {
    v1::WatchDeploymentsResponse {
        payload: Some(payload),
    }
}

/// A watch that ended, as a status.
fn status(error: WatchError) -> Status {
    match error {
        WatchError::UnknownPosition => request::unknown_position(),
        WatchError::Expired => resume_token_expired(),
        WatchError::TooSlow => slow_consumer(),
        WatchError::Store(error) => store(&error),
    }
}
