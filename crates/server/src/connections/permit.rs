//! How many connections there may be: of each address and in all.

use std::net::IpAddr;

use metrics::{Gauge, gauge};

use crate::{
    keyed_semaphore::{KeyedPermit, KeyedSemaphore},
    metrics::CONNECTIONS,
    rpc_limits::RpcLimits,
};

/// Permits for connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct ConnectionPermits {
    of_address: KeyedSemaphore<IpAddr>,
    of_all: KeyedSemaphore<()>,
}

/// Counts a connection, for its address and in all, until it is dropped.
pub(super) struct ConnectionPermit {
    _of_address: KeyedPermit<IpAddr>,
    _of_all: KeyedPermit<()>,
    _open: OpenConnection,
}

impl ConnectionPermits {
    pub(super) fn new(limits: &RpcLimits) -> Self {
        Self {
            of_address: KeyedSemaphore::new(limits.connections_per_address),
            of_all: KeyedSemaphore::new(limits.connections),
        }
    }

    pub(super) fn try_acquire(&self, network: IpAddr) -> Option<ConnectionPermit> {
        Some(ConnectionPermit {
            _of_address: self.of_address.try_acquire(network)?,
            _of_all: self.of_all.try_acquire(())?,
            _open: OpenConnection::new(),
        })
    }
}

/// One in the gauge of open connections.
struct OpenConnection(Gauge);

impl OpenConnection {
    fn new() -> Self {
        let gauge = gauge!(CONNECTIONS);
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
