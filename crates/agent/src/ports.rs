use std::{
    collections::HashSet,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::net::TcpSocket;

/// The loopback ports that this agent has given to its routes.
///
/// A port is free when it is leased, and is not leased again while the lease lives.
/// Another program may still take it before the route listens on it. Then the route
/// ends, and the server asks for a replacement.
#[derive(Debug, Clone, Default)]
pub(crate) struct PortPool {
    leased: Arc<Mutex<HashSet<u16>>>,
}

impl PortPool {
    /// Leases a free port.
    pub(crate) fn lease(&self) -> io::Result<PortLease> {
        // Kept bound until one is found: the system would offer the same port again.
        let mut taken = Vec::new();
        for _ in 0..MAX_ATTEMPTS {
            // Without SO_REUSEADDR: with it the system offers ports that only a program
            // that sets it too can use.
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            let port = socket.local_addr()?.port();
            if self.insert(port) {
                let leased = Arc::clone(&self.leased);
                return Ok(PortLease { port, leased });
            }
            taken.push(socket);
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    fn insert(&self, port: u16) -> bool {
        self.leased
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(port)
    }
}

/// A port of one route. Free again when dropped.
#[derive(Debug)]
pub(crate) struct PortLease {
    port: u16,
    leased: Arc<Mutex<HashSet<u16>>>,
}

impl PortLease {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        self.leased
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.port);
    }
}

const MAX_ATTEMPTS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_port_is_leased_twice_at_a_time() {
        let ports = PortPool::default();
        let leases: Vec<_> = (0..200)
            .map(|_| ports.lease().expect("a free port"))
            .collect();
        let distinct: HashSet<_> = leases.iter().map(PortLease::port).collect();
        assert_eq!(distinct.len(), leases.len());
        drop(leases);
        assert!(ports.leased.lock().expect("not poisoned").is_empty());
    }
}
