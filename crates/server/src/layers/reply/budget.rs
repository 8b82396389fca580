//! How many bytes of replies are under way.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{fair_share::FairShare, layers::client_key::ClientKey};

/// Bytes of replies under way, in all and of each caller. Cheap to clone.
#[derive(Clone)]
pub(super) struct ReplyBudget {
    of_all: Arc<Semaphore>,
    of_callers: FairShare<ClientKey>,
    kib_of_page: u32,
}

/// A part of the budget, until it is dropped.
#[derive(Debug)]
pub(super) struct ReplyPermit {
    of_caller: Option<OwnedSemaphorePermit>,
    of_all: Option<OwnedSemaphorePermit>,
}

impl ReplyBudget {
    pub(super) fn new(bytes: u32, bytes_per_caller: u32) -> Self {
        let (kib, kib_per_caller) = (bytes / KIB, bytes_per_caller / KIB);
        Self {
            of_all: Arc::new(Semaphore::new(
                usize::try_from(kib).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            of_callers: FairShare::new(kib_per_caller),
            // One page fits, whatever the limits are.
            kib_of_page: KIB_OF_PAGE.min(kib).min(kib_per_caller),
        }
    }

    /// Waits for room for a page, first in the caller's own part: a caller that waits
    /// there keeps no other out.
    pub(super) async fn reserve(&self, key: ClientKey) -> ReplyPermit {
        let of_caller = self.of_callers.acquire(key, self.kib_of_page).await;
        let of_all = Arc::clone(&self.of_all);
        let of_all = of_all.acquire_many_owned(self.kib_of_page).await;
        ReplyPermit {
            of_caller,
            of_all: of_all.ok(),
        }
    }
}

impl ReplyPermit {
    /// Gives back what the reply does not need.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        let kib = bytes.div_ceil(KIB as usize);
        for permit in [&mut self.of_caller, &mut self.of_all]
            .into_iter()
            .flatten()
        {
            let excess = permit.num_permits().saturating_sub(kib);
            drop(permit.split(excess));
        }
    }
}

const KIB: u32 = 1_024;
/// A page ends at about 3 MiB, and a row may be larger.
const KIB_OF_PAGE: u32 = 4 * 1_024;
