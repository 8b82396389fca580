//! How many connections to PostgreSQL callers may have at once: as many as the limits say, or
//! as many as the server gives.
//!
//! A role, a database and a server each have a limit on connections. When the server refuses
//! one more, the caller waits for one of those that there are, as if the pool were that small.
//! After a while one more is tried: another program may have closed its own.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// The places of callers, in the order in which they came. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ConnectionSlots {
    free: Arc<Semaphore>,
    withheld: Arc<Mutex<VecDeque<Withheld>>>,
    most: usize,
}

/// One connection's place.
pub(crate) struct ConnectionSlot {
    permit: OwnedSemaphorePermit,
}

/// A place for which the server gave no connection.
struct Withheld {
    until: Instant,
    /// Given back when it is dropped.
    _slot: ConnectionSlot,
}

impl ConnectionSlots {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most)),
            withheld: Arc::default(),
            most,
        }
    }

    /// Waits for a place.
    pub(crate) async fn acquire(&self) -> ConnectionSlot {
        self.give_back();
        let permit = Arc::clone(&self.free).acquire_owned().await;
        let permit = permit.expect("it is never closed");
        ConnectionSlot { permit }
    }

    /// Withholds a place for which the server gave no connection. Returns it if it is the only
    /// one left: one caller has to go on trying.
    pub(crate) fn withhold(&self, slot: ConnectionSlot) -> Result<(), ConnectionSlot> {
        let mut withheld = self.withheld.lock().unwrap_or_else(PoisonError::into_inner);
        if withheld.len() + 1 >= self.most {
            return Err(slot);
        }
        // Later than the one before: so one is tried at a time.
        let after = withheld.back().map(|it| it.until);
        let until = after.unwrap_or_else(Instant::now).max(Instant::now()) + RETRY_INTERVAL;
        withheld.push_back(Withheld { until, _slot: slot });
        Ok(())
    }

    /// Gives back what has been withheld for long enough.
    fn give_back(&self) {
        let mut withheld = self.withheld.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while withheld.front().is_some_and(|it| it.until <= now) {
            withheld.pop_front();
        }
    }
}

impl ConnectionSlot {
    /// Keeps the place taken as long as what is returned exists.
    pub(crate) fn into_permit(self) -> OwnedSemaphorePermit {
        self.permit
    }
}

/// Between two attempts to get one more connection than the server gave.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn e4_what_the_server_does_not_give_is_withheld_and_tried_again_one_by_one() {
        let slots = ConnectionSlots::new(4);
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(slots.acquire().await);
        }
        for slot in taken.drain(2..) {
            assert!(slots.withhold(slot).is_ok());
        }
        assert!(slots.acquire().now_or_never().is_none(), "two are in use");
        taken.pop();
        let again = slots.acquire().now_or_never();
        taken.push(again.expect("one was returned"));
        tokio::time::advance(RETRY_INTERVAL).await;
        taken.push(slots.acquire().now_or_never().expect("one more is tried"));
        assert!(slots.acquire().now_or_never().is_none(), "and only one");
        tokio::time::advance(RETRY_INTERVAL).await;
        assert!(slots.acquire().now_or_never().is_some());
    }

    #[tokio::test]
    async fn e4_the_last_place_is_never_withheld() {
        let slots = ConnectionSlots::new(2);
        let (first, second) = (slots.acquire().await, slots.acquire().await);
        assert!(slots.withhold(first).is_ok());
        let second = slots.withhold(second).err();
        assert!(second.is_some(), "somebody has to try");
        let slots = ConnectionSlots::new(1);
        assert!(slots.withhold(slots.acquire().await).is_err());
    }
}
