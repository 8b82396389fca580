use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use viridian_proto::v1::{Deployment, DeploymentEvent};

use crate::{
    CallError, DeploymentWatcher, MissReason, NeededAction, WaitGoal, WaitProgress, WaitTracker,
    WatchUpdate,
};

/// How a wait ended well.
#[derive(Clone, Debug, PartialEq)]
pub enum WaitOutcome {
    /// The deployment has come to the goal.
    Reached(Deployment),
    /// The deployment goes no further by itself: someone has to act.
    ActionNeeded(NeededAction, Deployment),
}

/// Why a wait ended without its goal.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The deployment will not come to the goal by itself.
    #[error("{reason}")]
    Missed {
        /// Why.
        reason: MissReason,
        /// The deployment at that moment.
        deployment: Box<Deployment>,
    },
    /// The time is over. The server goes on.
    #[error("timed out after {limit:?}, and the rollout goes on")]
    TimedOut {
        /// How long the goal was awaited.
        limit: Duration,
    },
    /// The watch failed. The server goes on.
    #[error(transparent)]
    Watch(#[from] CallError),
}

/// Follows a deployment until it has come to a goal, needs someone to act, or will
/// not come there by itself. `on_update` sees every update of the watch.
///
/// The watch must be of one deployment.
///
/// # Errors
///
/// In each of the ways of [`WaitError`]. Nothing on the server depends on the wait.
pub async fn wait_until(
    watch: &mut DeploymentWatcher,
    goal: &WaitGoal,
    limit: Option<Duration>,
    mut on_update: impl FnMut(&WatchUpdate<DeploymentEvent>),
) -> Result<WaitOutcome, WaitError> {
    let waiting = async {
        let mut tracker = WaitTracker::new(goal.clone());
        let mut seen = None;
        loop {
            let update = match next(watch, &tracker).await {
                Ok(update) => update?,
                Err(reason) => {
                    let deployment = Box::new(seen.unwrap_or_default());
                    return Err(WaitError::Missed { reason, deployment });
                }
            };
            on_update(&update);
            // The first event is the present state, so that a goal that is reached
            // already ends the wait at once.
            let WatchUpdate::Message(DeploymentEvent {
                deployment: Some(deployment),
                ..
            }) = update
            else {
                continue;
            };
            match tracker.observe(&deployment) {
                WaitProgress::InProgress => seen = Some(deployment),
                WaitProgress::Reached => return Ok(WaitOutcome::Reached(deployment)),
                WaitProgress::ActionNeeded(action) => {
                    return Ok(WaitOutcome::ActionNeeded(action, deployment));
                }
                WaitProgress::Missed(reason) => {
                    let deployment = Box::new(deployment);
                    return Err(WaitError::Missed { reason, deployment });
                }
            }
        }
    };
    // A limit that the clock cannot express is none.
    let end = limit.and_then(|limit| Some((limit, Instant::now().checked_add(limit)?)));
    match end {
        Some((limit, end)) => timeout_at(end, waiting)
            .await
            .unwrap_or(Err(WaitError::TimedOut { limit })),
        None => waiting.await,
    }
}

/// The next update, or why there is no more to wait for.
async fn next(
    watch: &mut DeploymentWatcher,
    tracker: &WaitTracker,
) -> Result<Result<WatchUpdate<DeploymentEvent>, CallError>, MissReason> {
    match tracker.stalls_at() {
        Some((at, reason)) => timeout_at(at, watch.next()).await.map_err(|_| reason),
        None => Ok(watch.next().await),
    }
}
