//! The memory that requests take, in bytes: of each caller and in all. A number of calls is
//! no bound on it, since a call may have 16 KiB of headers and a message of 1 MiB.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::HeaderMap;

use super::client_key::ClientKey;
use crate::rpc_limits::RpcLimits;

/// Budgets of bytes. Cheap to clone.
#[derive(Clone)]
pub(super) struct RequestMemory {
    taken: Arc<Mutex<TakenMemory>>,
    of_client: usize,
    of_all: usize,
}

#[derive(Default)]
struct TakenMemory {
    of_client: HashMap<ClientKey, usize>,
    of_all: usize,
}

/// What one call takes, until it is dropped.
pub(super) struct MemoryShare {
    memory: RequestMemory,
    client: ClientKey,
    bytes: usize,
}

/// A budget that has no more bytes: of the caller, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExhaustedMemory {
    OfClient,
    OfAll,
}

impl RequestMemory {
    pub(super) fn new(limits: &RpcLimits) -> Self {
        let bytes = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            taken: Arc::default(),
            of_client: bytes(limits.request_memory_per_caller),
            of_all: bytes(limits.request_memory),
        }
    }

    /// Begins a share with what a call takes before its message has come.
    pub(super) fn begin(
        &self,
        client: ClientKey,
        headers: &HeaderMap,
    ) -> Result<MemoryShare, ExhaustedMemory> {
        let mut share = MemoryShare {
            memory: self.clone(),
            client,
            bytes: 0,
        };
        share.grow(CALL_OVERHEAD + size_of_headers(headers))?;
        Ok(share)
    }

    fn taken(&self) -> MutexGuard<'_, TakenMemory> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryShare {
    /// Takes more bytes, or none if a budget does not have them.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), ExhaustedMemory> {
        let mut taken = self.memory.taken();
        let of_client = taken.of_client.get(&self.client).copied();
        // Both are looked at before either is changed: a refused call takes nothing.
        let of_client = of_client.unwrap_or_default() + bytes;
        if of_client > self.memory.of_client {
            return Err(ExhaustedMemory::OfClient);
        }
        if taken.of_all + bytes > self.memory.of_all {
            return Err(ExhaustedMemory::OfAll);
        }
        taken.of_all += bytes;
        taken.of_client.insert(self.client.clone(), of_client);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        let mut taken = self.memory.taken();
        taken.of_all -= self.bytes;
        match taken.of_client.get_mut(&self.client) {
            Some(of_client) if *of_client > self.bytes => *of_client -= self.bytes,
            // Without this, the map would keep an entry for each caller that ever came.
            _ => {
                taken.of_client.remove(&self.client);
            }
        }
    }
}

/// As HTTP/2 counts them.
fn size_of_headers(headers: &HeaderMap) -> usize {
    let fields = headers.iter();
    fields
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD)
        .sum()
}

const FIELD_OVERHEAD: usize = 32;
/// What a call takes besides what it sent: its task, its span, its place in the connection.
const CALL_OVERHEAD: usize = 16 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g2_a_caller_has_a_budget_and_so_have_all() {
        let memory = RequestMemory::new(&RpcLimits {
            request_memory_per_caller: 64 * 1_024,
            request_memory: 96 * 1_024,
            ..RpcLimits::default()
        });
        let [one, other] = ["one", "other"].map(|name| ClientKey::Principal(name.into()));
        let headers = HeaderMap::new();
        let mut first = memory.begin(one.clone(), &headers).expect("the first");
        first.grow(40 * 1_024).expect("there is room");
        assert_eq!(first.grow(10 * 1_024), Err(ExhaustedMemory::OfClient));
        let again = memory.begin(one.clone(), &headers).map(drop);
        assert_eq!(again, Err(ExhaustedMemory::OfClient));
        let mut second = memory.begin(other, &headers).expect("another's");
        assert_eq!(second.grow(30 * 1_024), Err(ExhaustedMemory::OfAll));
        second.grow(20 * 1_024).expect("there is room");
        drop(first);
        second.grow(20 * 1_024).expect("there is room again");
        drop(second);
        let taken = memory.taken();
        assert_eq!((taken.of_all, taken.of_client.len()), (0, 0));
    }

    #[test]
    fn g1_headers_count() {
        let memory = RequestMemory::new(&RpcLimits {
            request_memory_per_caller: 64 * 1_024,
            ..RpcLimits::default()
        });
        let mut headers = HeaderMap::new();
        let filler = "x".repeat(60 * 1_024).parse().expect("a value");
        headers.insert("x-filler", filler);
        let refused = memory.begin(ClientKey::Unknown, &headers).map(drop);
        assert_eq!(refused, Err(ExhaustedMemory::OfClient));
    }
}
