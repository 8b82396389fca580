//! Tails the log of events: one loop each process, as long as there is a subscription.

use std::time::Duration;

use tokio::{
    sync::{
        Notify,
        broadcast::{Receiver, error::RecvError},
    },
    time::{Instant, sleep, sleep_until},
};
use viridian_store::{LogPoll, LogTailer, Notification, ReadLogError, Store, StoreError};

use crate::{
    POLL_INTERVAL,
    events::{CommittedEvent, EventHub},
    routes::RouteHub,
    tables::{DirtyTables, TableHub},
};

/// Those who have what is in the log handed out.
#[derive(Clone, Copy)]
pub(crate) struct LogHubs<'a> {
    pub(crate) events: &'a EventHub,
    pub(crate) tables: &'a TableHub,
    pub(crate) routes: &'a RouteHub,
}

/// Tails the log for ever, and rests while there is no subscription.
pub(crate) async fn run(store: &Store, hubs: LogHubs<'_>, subscribed: &Notify) {
    loop {
        // A permit that is left from before costs one poll.
        subscribed.notified().await;
        tail(store, hubs, subscribed).await;
    }
}

/// Tails the log until there is no subscription.
async fn tail(store: &Store, hubs: LogHubs<'_>, subscribed: &Notify) {
    // Armed before the first poll: a commit between the two would be found only by the
    // next one.
    let mut commits = store.subscribe();
    let mut reader = LogReader {
        store,
        hubs,
        tailer: store.tail_log(),
        dirty: DirtyTables::none(),
        tables_read: None,
        gap_backoff: MIN_GAP_BACKOFF,
    };
    while !hubs.are_idle() {
        let begun = Instant::now();
        let polled = reader.poll().await;
        if let Err(error) = &polled {
            tracing::warn!(%error, "the log of events cannot be read");
        }
        let wait = polled
            .as_ref()
            .map_or(RETRY_INTERVAL, |poll| reader.wait_after(poll));
        tokio::select! {
            // Not after a failure: it would be tried again as fast as others commit.
            () = committed(&mut commits), if polled.is_ok() => {}
            () = subscribed.notified(), if polled.is_ok() => {}
            () = sleep(wait) => {}
        }
        // What is committed meanwhile is found by the same poll.
        sleep_until(begun + MIN_INTERVAL).await;
    }
}

impl LogHubs<'_> {
    fn are_idle(self) -> bool {
        // Each of them is asked: one without a subscription no longer knows the position.
        let idle = [
            self.tables.is_idle(),
            self.routes.is_idle(),
            self.events.is_idle(),
        ];
        idle.iter().all(|it| *it)
    }
}

struct LogReader<'a> {
    store: &'a Store,
    hubs: LogHubs<'a>,
    tailer: LogTailer,
    /// Tables that may be new and were not read yet.
    dirty: DirtyTables,
    /// Up to where all tables were handed out.
    tables_read: Option<i64>,
    /// How long to wait for what is held back.
    gap_backoff: Duration,
}

impl LogReader<'_> {
    async fn poll(&mut self) -> Result<LogPoll, StoreError> {
        let mut poll = self.tailer.poll().await?;
        // First, since the next poll does not return them again.
        self.hubs.routes.note(&poll.changed, poll.stable);
        self.dirty.add(std::mem::take(&mut poll.changed));
        if poll.stable.is_some() && self.hubs.events.stable().is_none() {
            // The log has just become known: the tailer may not have seen what was
            // committed before.
            self.dirty = DirtyTables::Any;
        }
        // Tables do not wait for the gaps before them: each is whole by itself. They
        // stay dirty if this fails.
        if !self.dirty.is_none() {
            // What the last refresh had, or at the first one all that is known by now.
            let since = self.tables_read.or(poll.stable);
            self.hubs.tables.refresh(&self.dirty, since).await?;
            self.dirty = DirtyTables::none();
        }
        self.tables_read = poll.stable.or(self.tables_read);
        if let Some(stable) = poll.stable {
            self.publish_up_to(stable).await?;
        }
        Ok(poll)
    }

    fn wait_after(&mut self, poll: &LogPoll) -> Duration {
        if poll.more {
            return Duration::ZERO;
        }
        if !poll.held_back {
            self.gap_backoff = MIN_GAP_BACKOFF;
            return POLL_INTERVAL;
        }
        // A transaction that is rolled back sends no notification, and its gap holds back
        // every event after it: so this polls much faster than when nothing is wrong.
        let wait = self.gap_backoff;
        self.gap_backoff = (wait * 2).min(MAX_GAP_BACKOFF);
        wait
    }

    /// Hands out what is stable now and was not before.
    async fn publish_up_to(&self, stable: i64) -> Result<(), StoreError> {
        let Some(mut after) = self.hubs.events.stable() else {
            self.hubs.events.publish(&[], stable);
            return Ok(());
        };
        while after < stable {
            // Read again before each page: a later subscription is marked as
            // lagged by `publish`.
            if !self.hubs.events.begin_page() {
                self.hubs.events.publish(&[], stable);
                return Ok(());
            }
            let page = self
                .store
                .reader()
                .await?
                .read_wanted_log(after, stable, PAGE_SIZE, |id, project| {
                    self.hubs.events.is_wanted(id, project)
                })
                .await;
            match page {
                Ok(page) => {
                    let entries = page.entries.into_iter();
                    let events: Vec<_> = entries.filter_map(CommittedEvent::from_log).collect();
                    self.hubs.events.publish(&events, page.read);
                    after = page.read;
                }
                Err(ReadLogError::Expired) => {
                    self.hubs.events.skip_to(stable);
                    return Ok(());
                }
                Err(ReadLogError::Store(error)) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Resolves when something was committed, here or elsewhere.
async fn committed(commits: &mut Receiver<Notification>) {
    // A lag counts as well: something was committed, and the poll finds what.
    if let Err(RecvError::Closed) = commits.recv().await {
        std::future::pending::<()>().await;
    }
    while commits.try_recv().is_ok() {}
}

const PAGE_SIZE: u32 = 500;
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// The least time from one poll to the next.
const MIN_INTERVAL: Duration = Duration::from_millis(5);

const MIN_GAP_BACKOFF: Duration = Duration::from_millis(5);
const MAX_GAP_BACKOFF: Duration = Duration::from_millis(200);
