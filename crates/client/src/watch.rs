//! Watches that outlive connections.
//!
//! A [`ResumableWatch`] opens a stream, opens it again whenever it ends, and
//! reports both. What comes after a reconnection depends on the stream: deployments
//! go on after the last event by its resume token, without gap or repeat;
//! assignments and traffic tables begin with the present ones again.

use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Status, Streaming};

use crate::{AuthChannel, Backoff, CallError, ServerTarget, unary};

mod method;

use self::method::{Received, WatchMethod};
pub use self::method::{WatchAssignments, WatchDeployments, WatchTraffic};

/// Follows deployments. Each [`WatchUpdate::Message`] is an event, in order,
/// without gap or repeat but for [`WatchUpdate::Restarted`].
pub type DeploymentWatcher = ResumableWatch<WatchDeployments>;

/// Follows the assignments of a resource group. Those that are still open come
/// again after each reconnection.
pub type AssignmentWatcher = ResumableWatch<WatchAssignments>;

/// Follows traffic tables. The present ones come again after each reconnection; a
/// table whose epoch is not newer than the one at hand is to be ignored.
pub type TrafficWatcher = ResumableWatch<WatchTraffic>;

/// What a watch brings.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WatchUpdate<T> {
    /// There is a stream.
    Connected,
    /// There is none any more, or none yet. The watch will connect again.
    Disconnected {
        /// Why.
        error: CallError,
        /// When it will try.
        retry_in: Duration,
    },
    /// The server has deleted the events after the last one that was seen, so there
    /// is a gap. The watch starts over: next come events of kind SNAPSHOT with the
    /// present state.
    Restarted {
        /// The refusal: OUT_OF_RANGE, RESUME_TOKEN_EXPIRED.
        error: CallError,
    },
    /// Nothing new. With the time by the server's clock.
    Heartbeat(Option<prost_types::Timestamp>),
    /// Something new.
    Message(T),
}

/// Which failures a watch survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconnectPolicy {
    /// Whether a refusal that will not pass by itself is retried too. For programs
    /// that run unattended, and whose credentials may be mended meanwhile.
    pub retry_refusals: bool,
    /// Whether a failure before the first message ends the watch.
    pub fail_fast: bool,
    /// How long the server may be away; `None` for any time. Counted from the last
    /// message, heartbeats included.
    pub max_outage: Option<Duration>,
}

impl ReconnectPolicy {
    /// Retries everything, for ever.
    pub const FOREVER: Self = Self {
        retry_refusals: true,
        fail_fast: false,
        max_outage: None,
    };
    /// Survives what passes by itself within 60 s.
    pub const TRANSIENT: Self = Self {
        retry_refusals: false,
        fail_fast: false,
        max_outage: Some(MAX_OUTAGE),
    };
    /// Like [`TRANSIENT`](Self::TRANSIENT), but a failure before the first message
    /// is final: a server that is not there is reported at once.
    pub const AFTER_FIRST_MESSAGE: Self = Self {
        fail_fast: true,
        ..Self::TRANSIENT
    };
}

/// Where a watch takes its connections from.
#[derive(Clone, Debug)]
pub enum ChannelSource {
    /// A connection for each stream, so that TLS files are read again.
    Target(Box<ServerTarget>),
    /// A channel that others use too.
    Shared(AuthChannel),
}

impl From<ServerTarget> for ChannelSource {
    fn from(target: ServerTarget) -> Self {
        Self::Target(Box::new(target))
    }
}

impl From<AuthChannel> for ChannelSource {
    fn from(channel: AuthChannel) -> Self {
        Self::Shared(channel)
    }
}

impl ChannelSource {
    async fn channel(self) -> Result<AuthChannel, CallError> {
        match self {
            Self::Target(target) => Ok(target.connect().await?),
            Self::Shared(channel) => Ok(channel),
        }
    }
}

/// A stream that is opened again whenever it ends: [`DeploymentWatcher`],
/// [`AssignmentWatcher`], [`TrafficWatcher`].
pub struct ResumableWatch<M: WatchMethod> {
    source: ChannelSource,
    method: M,
    policy: ReconnectPolicy,
    backoff: Backoff,
    state: WatchState<M::Response>,
    received_any: bool,
    /// When the last message of any stream came, or the watch began.
    last_message: Instant,
}

enum WatchState<R> {
    Waiting {
        until: Instant,
    },
    Opening(OpenFuture<R>),
    Streaming {
        stream: Box<Streaming<R>>,
        opened: Instant,
    },
}

type OpenFuture<R> = Pin<Box<dyn Future<Output = Result<Streaming<R>, CallError>> + Send>>;

impl<M: WatchMethod> ResumableWatch<M> {
    fn new(source: ChannelSource, method: M, policy: ReconnectPolicy) -> Self {
        let now = Instant::now();
        Self {
            source,
            method,
            policy,
            backoff: Backoff::default(),
            state: WatchState::Waiting { until: now },
            received_any: false,
            last_message: now,
        }
    }

    /// Waits for what comes next. Cancel safe: nothing is lost and no attempt
    /// starts over when the future is dropped.
    ///
    /// # Errors
    ///
    /// With the failure that the [`ReconnectPolicy`] does not survive. A further
    /// call tries again all the same.
    pub async fn next(&mut self) -> Result<WatchUpdate<M::Item>, CallError> {
        loop {
            match &mut self.state {
                WatchState::Waiting { until } => {
                    sleep_until(*until).await;
                    self.state = WatchState::Opening(self.open());
                }
                // Kept in the state: a caller that drops this future at each tick of
                // a clock would otherwise never see a slow connection succeed.
                WatchState::Opening(opening) => match opening.await {
                    Ok(stream) => {
                        let (stream, opened) = (Box::new(stream), Instant::now());
                        self.last_message = opened;
                        self.state = WatchState::Streaming { stream, opened };
                        return Ok(WatchUpdate::Connected);
                    }
                    Err(error) => return self.disconnected(error),
                },
                WatchState::Streaming { stream, opened } => {
                    // A server that is gone without closing the connection looks like one
                    // without news. Only the missing heartbeats differ.
                    let silent_at = self.last_message + HEARTBEAT_TIMEOUT;
                    let message = match timeout_at(silent_at, stream.message()).await {
                        Ok(Ok(Some(message))) => message,
                        ended => {
                            if opened.elapsed() >= STABLE_STREAM {
                                self.backoff.reset();
                            }
                            return self.disconnected(end_of(ended));
                        }
                    };
                    if let Some(update) = self.receive(message) {
                        return Ok(update);
                    }
                }
            }
        }
    }

    /// Opens the stream in a future of its own.
    fn open(&self) -> OpenFuture<M::Response> {
        let (source, method) = (self.source.clone(), self.method.clone());
        Box::pin(async move {
            let channel = source.channel().await?;
            unary(method.open(channel)).await
        })
    }

    fn receive(&mut self, message: M::Response) -> Option<WatchUpdate<M::Item>> {
        self.last_message = Instant::now();
        self.received_any = true;
        match self.method.receive(message)? {
            Received::Heartbeat(time) => Some(WatchUpdate::Heartbeat(time)),
            Received::Item { item, progress } => {
                // A stream that only repeats what is known, and ends, must not be
                // opened again at full speed.
                if progress {
                    self.backoff.reset();
                }
                Some(WatchUpdate::Message(item))
            }
        }
    }

    /// Plans the next attempt, or gives up with the error.
    fn disconnected(&mut self, error: CallError) -> Result<WatchUpdate<M::Item>, CallError> {
        // A server that is overloaded knows better than the back-off.
        let asked = error.retry_delay().unwrap_or_default();
        let retry_in = self.backoff.next_delay().max(asked.min(MAX_RETRY_DELAY));
        let until = Instant::now() + retry_in;
        // Also before an error is returned: a caller that goes on must not find the
        // broken stream again.
        self.state = WatchState::Waiting { until };
        // Once: without a token the same refusal is final.
        if error.reason().as_deref() == Some(EXPIRED) && self.method.restart() {
            return Ok(WatchUpdate::Restarted { error });
        }
        if self.is_final(&error) {
            return Err(error);
        }
        Ok(WatchUpdate::Disconnected { error, retry_in })
    }

    fn is_final(&self, error: &CallError) -> bool {
        let outage = self.last_message.elapsed();
        (self.policy.fail_fast && !self.received_any)
            || (!self.policy.retry_refusals && !error.is_transient())
            || self.policy.max_outage.is_some_and(|max| outage > max)
    }
}

/// Why there is no further message.
fn end_of<R>(ended: Result<Result<Option<R>, Status>, tokio::time::error::Elapsed>) -> CallError {
    match ended {
        Ok(Err(status)) => status.into(),
        Ok(Ok(_)) => Status::unavailable("the server ended the stream").into(),
        Err(_) => Status::unavailable("the server has sent no heartbeat").into(),
    }
}

impl<M: WatchMethod> std::fmt::Debug for ResumableWatch<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.state {
            WatchState::Waiting { .. } => "waiting",
            WatchState::Opening(_) => "opening",
            WatchState::Streaming { .. } => "streaming",
        };
        f.debug_struct("ResumableWatch")
            .field("policy", &self.policy)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

const EXPIRED: &str = "RESUME_TOKEN_EXPIRED";
/// Three heartbeats.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(45);
/// A stream that lasted this long was no failed attempt.
const STABLE_STREAM: Duration = Duration::from_secs(5);
/// How long a server may be away from someone who waits.
const MAX_OUTAGE: Duration = Duration::from_secs(60);
/// The longest pause that a server can ask for.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::{ErrorDetails, StatusExt as _};
    use viridian_proto::v1::{
        DeploymentHeartbeat, WatchDeploymentsResponse, watch_deployments_response::Payload,
    };

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn watch(policy: ReconnectPolicy) -> DeploymentWatcher {
        let target = ServerTarget::new("127.0.0.1:1").expect("a URL");
        DeploymentWatcher::of(target, "shop/cart", policy)
    }

    fn lost() -> CallError {
        Status::unavailable("lost").into()
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_counts_from_the_last_heartbeat() {
        let mut watch = watch(ReconnectPolicy::TRANSIENT);
        tokio::time::advance(MAX_OUTAGE + SECOND).await;
        watch.receive(WatchDeploymentsResponse {
            payload: Some(Payload::Heartbeat(DeploymentHeartbeat::default())),
        });
        tokio::time::advance(MAX_OUTAGE).await;
        let update = watch.disconnected(lost());
        assert!(
            matches!(update, Ok(WatchUpdate::Disconnected { .. })),
            "{update:?}"
        );
        tokio::time::advance(SECOND).await;
        let update = watch.disconnected(lost());
        assert!(matches!(update, Err(CallError::Refused(_))), "{update:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_asks_for_a_pause_gets_it_within_bounds() {
        let pause_after = |asked: Duration| {
            let details = ErrorDetails::with_retry_info(Some(asked));
            let status = Status::with_error_details(Code::ResourceExhausted, "", details);
            let update = watch(ReconnectPolicy::FOREVER).disconnected(status.into());
            match update.expect("it goes on") {
                WatchUpdate::Disconnected { retry_in, .. } => retry_in,
                update => panic!("{update:?}"),
            }
        };
        assert_eq!(pause_after(7 * SECOND), 7 * SECOND);
        assert_eq!(pause_after(3600 * SECOND), MAX_RETRY_DELAY);
        let short = pause_after(Duration::from_millis(1));
        assert!(short >= Duration::from_millis(50), "{short:?}");
    }
}
