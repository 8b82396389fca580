//! Connections that have not sent their first frame: bounded for each address. The oldest
//! makes room for a new one, so that those who only hold them lock no other caller out.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use metrics::counter;
use tokio_util::sync::CancellationToken;

use super::permit::ConnectionPermit;
use crate::metrics::HANDSHAKES_EVICTED;

/// The handshakes under way. Cheap to clone.
#[derive(Clone)]
pub(super) struct Handshakes {
    pending: Arc<Mutex<PendingHandshakes>>,
    limit: usize,
}

#[derive(Default)]
struct PendingHandshakes {
    of_network: HashMap<IpAddr, BTreeMap<u64, PendingHandshake>>,
    count: usize,
    next: u64,
}

struct PendingHandshake {
    begun_at: Instant,
    evicted: CancellationToken,
    /// Here, so that it is free for the next connection once this one is evicted, and not
    /// some time later when its task ends.
    connection: ConnectionPermit,
}

/// A handshake under way, until it is dropped.
pub(super) struct HandshakePermit {
    pending: Arc<Mutex<PendingHandshakes>>,
    network: IpAddr,
    number: u64,
    evicted: CancellationToken,
}

impl Handshakes {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            pending: Arc::default(),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        }
    }

    /// Begins one. Ends the oldest of the same address if that has too many, and the oldest
    /// of the address that has most if there are too many in all.
    pub(super) fn begin(&self, network: IpAddr, connection: ConnectionPermit) -> HandshakePermit {
        let mut pending = lock(&self.pending);
        let of_network = pending.of_network.get(&network).map_or(0, BTreeMap::len);
        if of_network >= self.limit {
            pending.evict_of(network);
        } else if pending.count >= MAX_HANDSHAKES {
            pending.evict_of_most();
        }
        let number = pending.next;
        pending.next += 1;
        let evicted = CancellationToken::new();
        let of_network = pending.of_network.entry(network).or_default();
        let handshake = PendingHandshake {
            begun_at: Instant::now(),
            evicted: evicted.clone(),
            connection,
        };
        of_network.insert(number, handshake);
        pending.count += 1;
        HandshakePermit {
            pending: Arc::clone(&self.pending),
            network,
            number,
            evicted,
        }
    }

    /// Makes room for a connection from an address, by the end of one that has not sent its
    /// first frame for longer than a client takes: of the same address if it has any, else
    /// of the one that has most.
    pub(super) fn make_room(&self, network: IpAddr) {
        let mut pending = lock(&self.pending);
        let of_network = match pending.of_network.contains_key(&network) {
            true => Some(network),
            false => pending.network_with_most(),
        };
        if let Some(network) = of_network
            && pending.oldest_age_of(network) >= Some(USUAL_HANDSHAKE)
        {
            pending.evict_of(network);
        }
    }
}

impl PendingHandshakes {
    fn evict_of_most(&mut self) {
        if let Some(network) = self.network_with_most() {
            self.evict_of(network);
        }
    }

    fn network_with_most(&self) -> Option<IpAddr> {
        let most = self.of_network.iter().max_by_key(|(_, all)| all.len());
        most.map(|(network, _)| *network)
    }

    fn oldest_age_of(&self, network: IpAddr) -> Option<Duration> {
        let (_, oldest) = self.of_network.get(&network)?.first_key_value()?;
        Some(oldest.begun_at.elapsed())
    }

    fn evict_of(&mut self, network: IpAddr) {
        let of_network = self.of_network.get(&network);
        let oldest = of_network.and_then(|all| all.keys().next().copied());
        if let Some(handshake) = oldest.and_then(|number| self.remove(network, number)) {
            handshake.evicted.cancel();
            counter!(HANDSHAKES_EVICTED).increment(1);
        }
    }

    /// None for one that was evicted.
    fn remove(&mut self, network: IpAddr, number: u64) -> Option<PendingHandshake> {
        let of_network = self.of_network.get_mut(&network)?;
        let removed = of_network.remove(&number)?;
        if of_network.is_empty() {
            self.of_network.remove(&network);
        }
        self.count -= 1;
        Some(removed)
    }
}

impl HandshakePermit {
    /// Resolves when the handshake is to make room for a newer one.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Ends it: the connection goes on. None if it was evicted.
    pub(super) fn finish(self) -> Option<ConnectionPermit> {
        let removed = lock(&self.pending).remove(self.network, self.number);
        removed.map(|handshake| handshake.connection)
    }
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        lock(&self.pending).remove(self.network, self.number);
    }
}

fn lock(pending: &Mutex<PendingHandshakes>) -> MutexGuard<'_, PendingHandshakes> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client on a slow line takes less.
const USUAL_HANDSHAKE: Duration = Duration::from_secs(1);
/// Handshakes under way in all.
const MAX_HANDSHAKES: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{connections::permit::ConnectionPermits, rpc_limits::RpcLimits};

    #[test]
    fn g5_the_oldest_of_the_same_address_makes_room() {
        let handshakes = Handshakes::new(2);
        let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let first = begin(&handshakes, one);
        let second = begin(&handshakes, one);
        let beside = begin(&handshakes, other);
        let third = begin(&handshakes, one);
        assert!(first.evicted.is_cancelled());
        for kept in [&second, &beside, &third] {
            assert!(!kept.evicted.is_cancelled());
        }
        drop((first, second, third));
        assert_eq!(lock(&handshakes.pending).count, 1);
        assert_eq!(lock(&handshakes.pending).of_network.len(), 1);
    }

    #[test]
    fn g5_when_all_are_taken_the_address_that_has_most_makes_room() {
        let handshakes = Handshakes::new(u32::MAX);
        let greedy = [192, 0, 2, 1].into();
        let mut held: Vec<_> = (0..MAX_HANDSHAKES - 1)
            .map(|_| begin(&handshakes, greedy))
            .collect();
        let modest = begin(&handshakes, [192, 0, 2, 2].into());
        held.push(begin(&handshakes, [192, 0, 2, 3].into()));
        assert!(held[0].evicted.is_cancelled());
        assert!(!held[1].evicted.is_cancelled() && !modest.evicted.is_cancelled());
        assert_eq!(lock(&handshakes.pending).count, MAX_HANDSHAKES);
    }

    fn begin(handshakes: &Handshakes, network: IpAddr) -> HandshakePermit {
        let permits = ConnectionPermits::new(&RpcLimits::default());
        handshakes.begin(network, permits.try_acquire(network).expect("the first"))
    }
}
