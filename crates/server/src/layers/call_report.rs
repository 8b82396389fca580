//! Counts a call, times it, and logs how it ended.

use std::{net::IpAddr, sync::Arc};

use metrics::{Gauge, counter, gauge, histogram};
use tonic::{Code, Status};
use tracing::Span;

use super::call_info::CallInfo;
use crate::{
    error::code_name,
    live_connection::{ConnectionCall, LiveConnection},
    log_throttle::admit_line,
    metrics::{RPC_DURATION, RPC_HANDLED, RPC_IN_FLIGHT, RPC_STARTED, RPC_STREAMS},
    peer::Peer,
    rpc_method::RpcMethod,
};

/// Reports how a call ends, once. A call that is dropped before its end is cancelled.
pub(crate) struct CallReport {
    call: CallInfo,
    /// In which the call happens.
    pub(crate) span: Span,
    under_way: Gauge,
    /// Whether a failure is worth a line in the log.
    pub(crate) is_logged: bool,
    has_ended: bool,
    /// Where the call comes from. None in tests without a connection.
    network: Option<IpAddr>,
    _on_connection: Option<ConnectionCall>,
}

impl CallReport {
    pub(crate) fn begin(
        call: CallInfo,
        connection: Option<&Arc<LiveConnection>>,
        peer: Option<&Peer>,
    ) -> Self {
        let method = call.method;
        counter!(RPC_STARTED, "method" => method.full_name()).increment(1);
        let under_way = match method.streams {
            true => gauge!(RPC_STREAMS, "method" => method.full_name()),
            false => gauge!(RPC_IN_FLIGHT),
        };
        under_way.increment(1.0);
        Self {
            call,
            // Kept, since the body is polled after this span was left.
            span: Span::current(),
            under_way,
            is_logged: true,
            has_ended: false,
            network: peer.map(Peer::network),
            _on_connection: connection.map(LiveConnection::count_call),
        }
    }

    pub(crate) fn method(&self) -> &'static RpcMethod {
        self.call.method
    }

    /// Reports the end, unless it was reported.
    pub(crate) fn end(&mut self, status: &Status) {
        // The trailers, the end of the body and the drop all come here: only the first one counts.
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let CallInfo { method, at, .. } = self.call;
        let (name, code) = (method.full_name(), code_name(status.code()));
        self.under_way.decrement(1.0);
        counter!(RPC_HANDLED, "method" => name, "code" => code).increment(1);
        // How long a stream lasts says nothing about the server.
        if !method.streams {
            histogram!(RPC_DURATION, "method" => name).record(at.elapsed());
        }
        if self.is_logged {
            self.span.in_scope(|| log(self.call, self.network, status));
            #[cfg(feature = "otlp")]
            super::otlp::end(&self.span, status);
        }
    }
}

impl Drop for CallReport {
    fn drop(&mut self) {
        self.end(&Status::cancelled("the caller has gone"));
    }
}

/// Logs how a call ended. A call that went well is worth no line.
fn log(call: CallInfo, network: Option<IpAddr>, status: &Status) {
    let (code, message) = (code_name(status.code()), status.message());
    let seconds = call.at.elapsed().as_secs_f64();
    if status.code() == Code::Ok {
        return tracing::debug!(code, seconds, "done");
    }
    if call.method.is_probe {
        return tracing::debug!(code, seconds, reason = message, "failed");
    }
    let Some(line) = admit_line("failed", (network, code)) else {
        return;
    };
    let left_out = line.left_out;
    match status.code() {
        Code::Internal | Code::Unknown | Code::DataLoss => {
            tracing::warn!(code, seconds, reason = message, left_out, "failed");
        }
        _ => tracing::info!(code, seconds, reason = message, left_out, "failed"),
    }
}
