//! Connections, from their arrival to their end: a task each. None waits for another one,
//! and each has a bound in time until its first frame.
//!
//! Not tonic's own loop: that has no bound on the time to the first frame, sends no GOAWAY
//! before it cuts off an old connection, and waits at the shutdown for peers that are silent.

mod admission;
mod handshakes;
mod permit;
mod secure;
mod stream;

use std::{
    convert::Infallible,
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt as _, Stream, StreamExt as _};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use metrics::counter;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep, sleep, sleep_until, timeout_at},
};
use tokio_rustls::rustls::ServerConfig;
use tonic::{body::Body, transport::server::TcpIncoming};
use tower::Service;

use self::{
    admission::{AcceptedConnection, Admission},
    stream::ConnectionStream,
};
use crate::{
    layers::LayeredService,
    live_connection::LiveConnection,
    log_throttle::{AdmittedLine, admit_line},
    metrics::CONNECTIONS_AGED,
    peer::{Peer, network},
    reload::ReloadedValue,
    rpc_limits::{RpcLimits, SEND_BUFFER},
    tasks::{Shutdown, panic_message},
};

/// Serves connections.
#[derive(Clone)]
pub(crate) struct ConnectionServer {
    pub(crate) http: auto::Builder<TokioExecutor>,
    pub(crate) service: LayeredService,
    pub(crate) limits: RpcLimits,
    pub(crate) tls: Option<ReloadedValue<ServerConfig>>,
    pub(crate) shutdown: Shutdown,
}

/// HTTP within the limits. HTTP/1.1 is for browsers, which speak it to servers without TLS.
pub(crate) fn http(limits: &RpcLimits, with_http1: bool) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    if !with_http1 {
        builder = builder.http2_only();
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        // Without pings, streams to a peer that vanished would stay open for hours.
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout)
        .max_header_list_size(limits.header_size)
        .initial_stream_window_size(STREAM_WINDOW)
        // Whatever window the peer announces: what it does not take stays with us.
        .max_send_buf_size(SEND_BUFFER)
        .max_concurrent_streams(limits.calls_per_connection);
    // Without a timer it has no bound on the time that a header takes.
    builder.http1().timer(TokioTimer::new());
    builder
}

impl ConnectionServer {
    /// Accepts connections until the intake ends. Those that are open go on after that, also
    /// when this panics.
    pub(crate) async fn accept(self, listener: TcpListener) {
        let admission = Admission::new(&self.limits);
        let mut incoming = pin!(self.incoming(listener));
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.calls.cancelled() => return,
                Some(stream) = incoming.next() => {
                    if let Some(accepted) = admission.admit(stream) {
                        let open = &self.shutdown.connections;
                        open.spawn(self.clone().run_guarded(accepted));
                    }
                }
            }
        }
    }

    /// One connection, until it ends or is cut off.
    async fn run_guarded(self, accepted: AcceptedConnection) {
        // A clone, because `run` takes the rest.
        let cut_off = self.shutdown.cut_off.clone();
        tokio::select! {
            () = cut_off.cancelled() => {}
            ended = AssertUnwindSafe(self.run(accepted)).catch_unwind() => {
                // A panic in a call is caught in the layers. This would be one in the HTTP library.
                if let Err(panic) = ended {
                    let error = panic_message(&*panic);
                    tracing::error!(error, "a connection failed");
                }
            }
        }
    }

    fn incoming(&self, listener: TcpListener) -> impl Stream<Item = TcpStream> + use<> {
        let incoming = TcpIncoming::from(listener)
            // Without this, a small reply waits for the caller's delayed ACK.
            .with_nodelay(Some(true))
            .with_keepalive(Some(self.limits.keepalive_interval))
            .with_keepalive_interval(Some(self.limits.keepalive_timeout));
        incoming.filter_map(async |accepted| match accepted {
            Ok(stream) => Some(stream),
            // It fails while too many files are open. Without the pause this would be a
            // busy loop, and the end of the stream would be the end of the server.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_RETRY).await;
                None
            }
        })
    }

    /// One connection, to its end.
    async fn run(self, accepted: AcceptedConnection) {
        let AcceptedConnection {
            stream,
            peer: address,
            handshake,
        } = accepted;
        // One bound for TLS and the first frame: with one each, a peer would have twice the time.
        let deadline = Instant::now() + self.limits.handshake_timeout;
        let secured = secure::secure(stream, address, self.tls.as_ref());
        let secured = tokio::select! {
            biased;
            () = self.shutdown.calls.cancelled() => return,
            () = handshake.evicted() => return,
            secured = timeout_at(deadline, secured) => secured,
        };
        let (stream, peer) = match secured.unwrap_or_else(|elapsed| Err(elapsed.into())) {
            Ok(secured) => secured,
            Err(error) => {
                if let Some(AdmittedLine { left_out }) =
                    admit_line("handshake", network(address.ip()))
                {
                    tracing::info!(peer = %address, %error, left_out, "a connection could not be secured");
                }
                return;
            }
        };
        let live = Arc::new(LiveConnection::new());
        let stream = ConnectionStream::new(stream, Arc::clone(&live));
        let service = RequestService {
            inner: self.service.clone(),
            peer,
            live: Arc::clone(&live),
        };
        let connection = self
            .http
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let mut connection = pin!(connection);
        // No GOAWAY before the first frame: a peer that says nothing would not answer it either.
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = self.shutdown.calls.cancelled() => return,
            () = handshake.evicted() => return,
            () = live.begun() => {}
            () = sleep_until(deadline) => return,
        }
        // None if it was evicted in the meantime: its place is another's already.
        let Some(_permit) = handshake.finish() else {
            return;
        };
        self.follow(connection, &live).await;
    }

    /// A connection that has begun, to its end.
    async fn follow(&self, mut connection: Pin<&mut HttpConnection<'_>>, live: &LiveConnection) {
        let mut stage = ConnectionStage::Open;
        let mut age = pin!(age(self.limits.connection_age));
        let mut stalled = pin!(stalled(live, self.limits.keepalive_timeout));
        loop {
            tokio::select! {
                biased;
                // An error is the peer's own: it went away, or broke the protocol.
                _ = connection.as_mut() => return,
                () = live.closed() => return,
                () = stalled.as_mut() => return,
                () = self.shutdown.calls.cancelled(), if !stage.is_last() => {
                    connection.as_mut().graceful_shutdown();
                    stage = ConnectionStage::Last;
                }
                // The peer may not answer the farewell. Nothing is under way, so the
                // connection is not missed.
                () = live.idle_for(FAREWELL), if !stage.is_open() => return,
                () = age.as_mut(), if stage.is_open() => {
                    counter!(CONNECTIONS_AGED).increment(1);
                    connection.as_mut().graceful_shutdown();
                    stage = ConnectionStage::aged(self.limits.connection_age_grace);
                }
                is_over = stage.next(self.limits.request_timeout) => {
                    live.expire();
                    if is_over {
                        return;
                    }
                }
            }
        }
    }
}

/// How far a connection has come.
enum ConnectionStage {
    Open,
    /// It takes no further calls. Those under way have this time.
    Aged(Pin<Box<Sleep>>),
    /// Its streams are ended. Calls have the time that every call has.
    Expired(Pin<Box<Sleep>>),
    /// The server stops.
    Last,
}

impl ConnectionStage {
    fn aged(grace: Duration) -> Self {
        Self::Aged(Box::pin(sleep(grace)))
    }

    fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Last)
    }

    /// Resolves when the time of a stage is over, with whether that was the last one.
    async fn next(&mut self, call_timeout: Duration) -> bool {
        match self {
            Self::Open | Self::Last => std::future::pending().await,
            Self::Aged(grace) => {
                grace.await;
                *self = Self::Expired(Box::pin(sleep(call_timeout)));
                false
            }
            Self::Expired(rest) => {
                rest.await;
                true
            }
        }
    }
}

/// Resolves when a connection is as old as it may be.
async fn age(limit: Duration) {
    if limit.is_zero() {
        return std::future::pending().await;
    }
    // Spread: those that began together would all come again together.
    let random = getrandom::u32().unwrap_or_default();
    let spread = f64::from(random) / f64::from(u32::MAX) / 5.0;
    sleep(limit.mul_f64(0.9 + spread)).await;
}

/// Resolves when the peer has taken nothing of what is to be sent for this long. Sooner if
/// no call is under way: then what waits are refusals.
async fn stalled(live: &LiveConnection, patience: Duration) {
    let mut timer = pin!(sleep(Duration::ZERO));
    // Polled with the connection, in whose turn the time may have changed.
    poll_fn(|context| {
        let Some(since) = live.stalled_since() else {
            return Poll::Pending;
        };
        let patience = match live.has_calls() {
            true => patience,
            false => patience.min(REFUSALS_PATIENCE),
        };
        // Only then: to set a timer costs more than to look at it, and this is polled often.
        if timer.deadline() != since + patience {
            timer.as_mut().reset(since + patience);
        }
        timer.as_mut().poll(context)
    })
    .await;
}

/// What a connection serves its requests with: the layers, with the connection in the
/// extensions.
#[derive(Clone)]
struct RequestService {
    inner: LayeredService,
    peer: Peer,
    live: Arc<LiveConnection>,
}

type HttpConnection<'a> = auto::Connection<
    'a,
    TokioIo<ConnectionStream>,
    TowerToHyperService<RequestService>,
    TokioExecutor,
>;

impl Service<Request<Incoming>> for RequestService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <LayeredService as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        let extensions = request.extensions_mut();
        extensions.insert(self.peer.clone());
        extensions.insert(Arc::clone(&self.live));
        self.inner.call(request)
    }
}

/// Bytes of one call that may come before they are read. A call whose bytes are
/// not read holds this many.
const STREAM_WINDOW: u32 = 256 * 1_024;
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long a peer may take to answer that the connection ends.
const FAREWELL: Duration = Duration::from_millis(500);
/// How long refusals may wait to be taken.
const REFUSALS_PATIENCE: Duration = Duration::from_secs(2);
