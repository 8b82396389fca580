//! Limits on what goes on at once: of each caller, and in all. What exceeds them is refused
//! at once: in a queue, calls would wait for others whose callers have given up.
//!
//! The order matters. First the caller's own share, which no other caller misses. Then the
//! message. Only a call whose message is there takes what others need too.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use tonic::Status;

use super::{
    call_info::CallInfo,
    client_key::ClientKey,
    message::{self, MissingMessage},
    refused::refuse,
    request_memory::{ExhaustedMemory, MemoryShare, RequestMemory},
    stream_ends::StreamEnds,
};
use crate::{
    error::limits::{message_too_slow, too_many_requests, too_many_streams},
    keyed_semaphore::{KeyedPermit, KeyedSemaphore},
    live_connection::LiveConnection,
    peer::Peer,
    rpc_limits::RpcLimits,
    rpc_method::{CallBudget, RpcMethod},
};

/// Limits on what goes on at once. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LoadShedder {
    limits: Arc<RpcLimits>,
    memory: RequestMemory,
    requests: ReservedSemaphore,
    requests_of_client: KeyedSemaphore<ClientKey>,
    streams: ReservedSemaphore,
    streams_of_client: KeyedSemaphore<ClientKey>,
    probes: ProbeLimits,
    health_watches: ProbeLimits,
}

/// A semaphore of which a part is for the calls of schedulers, checkers and proxies: what
/// serves goes on when all others call too much.
#[derive(Clone)]
struct ReservedSemaphore {
    all: KeyedSemaphore<()>,
    others: KeyedSemaphore<()>,
}

/// What monitors the server, by address: it needs no credentials.
#[derive(Clone)]
struct ProbeLimits {
    all: KeyedSemaphore<()>,
    of_network: KeyedSemaphore<Option<IpAddr>>,
}

/// A connection has no room for one more stream.
struct FullConnection;

type ReservedPermit = (KeyedPermit<()>, Option<KeyedPermit<()>>);

impl LoadShedder {
    pub(crate) fn new(limits: &RpcLimits) -> Self {
        Self {
            memory: RequestMemory::new(limits),
            requests: ReservedSemaphore::new(limits.requests),
            requests_of_client: KeyedSemaphore::new(limits.requests_per_caller),
            streams: ReservedSemaphore::new(limits.streams),
            streams_of_client: KeyedSemaphore::new(limits.streams_per_caller),
            probes: ProbeLimits::new(limits.probes, limits.probes_per_address),
            health_watches: ProbeLimits::new(
                limits.health_watches,
                limits.health_watches_per_address,
            ),
            limits: Arc::new(limits.clone()),
        }
    }
}

/// Refuses what exceeds the limits. A call counts until its reply, a stream until its end.
/// None takes the place of one of another kind.
pub(crate) async fn shed(
    State(load): State<LoadShedder>,
    request: Request,
    next: Next,
) -> Response {
    match CallInfo::of(&request).method.budget() {
        CallBudget::Requests => load.request(request, next).await,
        CallBudget::Streams => load.stream(request, next).await,
        CallBudget::Probes => load.probe(&load.probes, request, next).await,
        CallBudget::HealthWatches => load.probe(&load.health_watches, request, next).await,
    }
}

impl LoadShedder {
    async fn request(&self, request: Request, next: Next) -> Response {
        let key = ClientKey::of(&request);
        let method = CallInfo::of(&request).method;
        let Some(_of_caller) = self.requests_of_client.try_acquire(key) else {
            return refuse("requests_per_caller", &too_many_requests(OF_CALLER));
        };
        let (request, _memory) = match self.receive(request).await {
            Ok(received) => received,
            Err(refused) => return refused,
        };
        // Not `acquire`: a call that waits here would hold memory while its caller gives up.
        match self.requests.try_acquire(method) {
            // Bound to a name: `_` would give the permit back before the call.
            Some(_permit) => next.run(request).await,
            None => refuse("requests", &too_many_requests(OF_ALL)),
        }
    }

    async fn stream(&self, request: Request, next: Next) -> Response {
        let CallInfo { method, .. } = CallInfo::of(&request);
        let key = ClientKey::of(&request);
        let Some(of_caller) = self.streams_of_client.try_acquire(key) else {
            return refuse("streams_per_caller", &too_many_streams(STREAMS_OF_CALLER));
        };
        let Ok(of_connection) = self.on_connection(&request) else {
            let refused = too_many_streams(STREAMS_OF_CONNECTION);
            return refuse("streams_per_connection", &refused);
        };
        let (request, _memory) = match self.receive(request).await {
            Ok(received) => received,
            Err(refused) => return refused,
        };
        let Some(of_all) = self.streams.try_acquire(method) else {
            return refuse("streams", &too_many_streams(STREAMS_OF_ALL));
        };
        StreamEnds::of(&request).keep((of_caller, of_connection, of_all));
        next.run(request).await
    }

    /// A probe has no share of anything else: it is answered when nothing else is.
    async fn probe(&self, limits: &ProbeLimits, request: Request, next: Next) -> Response {
        let method = CallInfo::of(&request).method;
        let network = request.extensions().get::<Peer>().map(Peer::network);
        let Some(of_network) = limits.of_network.try_acquire(network) else {
            return refuse("probes_per_address", &too_many_requests(OF_ADDRESS));
        };
        let Some(of_all) = limits.all.try_acquire(()) else {
            return refuse("probes", &too_many_requests(PROBES));
        };
        // Reflection takes one question after the other.
        if !method.takes_one_message() {
            StreamEnds::of(&request).keep((of_network, of_all));
            return next.run(request).await;
        }
        let (request, _memory) = match self.receive(request).await {
            Ok(received) => received,
            Err(refused) => return refused,
        };
        if method.streams {
            StreamEnds::of(&request).keep((of_network, of_all));
            return next.run(request).await;
        }
        next.run(request).await
    }

    /// Counts a stream of a connection, and leaves room for its calls. Otherwise these would
    /// wait, at the caller, for a stream to end.
    fn on_connection(
        &self,
        request: &Request,
    ) -> Result<Option<impl Send + use<>>, FullConnection> {
        let Some(connection) = request.extensions().get::<Arc<LiveConnection>>() else {
            return Ok(None);
        };
        let limit = self.limits.streams_per_connection();
        let permit = connection.try_count_stream(limit);
        permit.map(Some).ok_or(FullConnection)
    }

    /// The same request once its message is there, with the memory that it takes.
    async fn receive(&self, request: Request) -> Result<(Request, MemoryShare), Response> {
        let key = ClientKey::of(&request);
        let CallInfo { at, method, .. } = CallInfo::of(&request);
        let mut share = self
            .memory
            .begin(key, request.headers())
            .map_err(no_memory)?;
        let max_size = self.max_message_size(method);
        let deadline = at + self.limits.message_timeout;
        let (head, body) = request.into_parts();
        let received = message::receive(body, &mut share, max_size, deadline).await;
        match received {
            Ok(body) => Ok((Request::from_parts(head, body), share)),
            Err(MissingMessage::TooSlow) => Err(refuse("message_time", &message_too_slow())),
            Err(MissingMessage::NoMemory(exhausted)) => Err(no_memory(exhausted)),
            Err(MissingMessage::TooLarge) => Err(MissingMessage::too_large().into_http()),
            Err(MissingMessage::Broken) => {
                Err(Status::cancelled("the caller gave up").into_http::<Body>())
            }
        }
    }

    fn max_message_size(&self, method: &RpcMethod) -> usize {
        let limit = usize::try_from(self.limits.message_size).unwrap_or(usize::MAX);
        match method.budget() {
            CallBudget::Requests | CallBudget::Streams => limit,
            CallBudget::Probes | CallBudget::HealthWatches => limit.min(MAX_PROBE_MESSAGE),
        }
    }
}

impl ReservedSemaphore {
    fn new(limit: u32) -> Self {
        Self {
            all: KeyedSemaphore::new(limit),
            others: KeyedSemaphore::new(limit - limit / RESERVED_PART),
        }
    }

    fn try_acquire(&self, method: &RpcMethod) -> Option<ReservedPermit> {
        let of_others = match method.is_for_replicas {
            true => None,
            false => Some(self.others.try_acquire(())?),
        };
        Some((self.all.try_acquire(())?, of_others))
    }
}

impl ProbeLimits {
    fn new(of_all: u32, of_network: u32) -> Self {
        Self {
            all: KeyedSemaphore::new(of_all),
            of_network: KeyedSemaphore::new(of_network),
        }
    }
}

fn no_memory(exhausted: ExhaustedMemory) -> Response {
    match exhausted {
        ExhaustedMemory::OfClient => {
            refuse("memory_per_caller", &too_many_requests(MEMORY_OF_CALLER))
        }
        ExhaustedMemory::OfAll => refuse("memory", &too_many_requests(OF_ALL)),
    }
}

/// One part in this many is for the calls of schedulers, checkers and proxies.
const RESERVED_PART: u32 = 8;
/// Bytes of a message of a probe: the name of a service, or of a type.
const MAX_PROBE_MESSAGE: usize = 4 * 1_024;

const OF_CALLER: &str = "too many requests of yours are under way";
const OF_ADDRESS: &str = "too many probes of your address are under way";
const OF_ALL: &str = "too many requests are under way";
const PROBES: &str = "too many probes are under way";
const MEMORY_OF_CALLER: &str = "the requests of yours that are under way are too large";
const STREAMS_OF_CALLER: &str = "you have too many streams open";
const STREAMS_OF_CONNECTION: &str =
    "this connection has too many streams open; use another connection as well";
const STREAMS_OF_ALL: &str = "too many streams are open";
