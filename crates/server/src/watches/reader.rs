//! The reader of the log: one each process, as long as someone follows.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep, sleep_until},
};
use viridian_store::{
    Database, LogEntry, LogPoll, LogTailer, Notification, ReadLogError, StoreError,
};

use super::{
    POLL, Watches,
    events::{EventFeed, SentEvent},
    tables::Changed,
};
use crate::convert::event::event;

/// Follows the log for ever, and rests while nobody wants to know.
pub(super) async fn run(watches: &Watches, database: &Database) {
    loop {
        // A permit that is left from before costs one look.
        watches.follower.notified().await;
        follow(watches, database).await;
    }
}

/// Follows the log until nobody wants to know.
async fn follow(watches: &Watches, database: &Database) {
    // Armed before the first look, so that nothing falls between.
    let mut commits = database.subscribe();
    let mut reader = Reader {
        watches,
        database,
        log: database.tail_log(),
        changed: Changed::none(),
        patience: SHORTEST,
    };
    while !(watches.tables.rests() && watches.events.rests()) {
        let begun = Instant::now();
        let looked = reader.look().await;
        if let Err(error) = &looked {
            tracing::warn!(%error, "the log of events cannot be read");
        }
        let wait = looked
            .as_ref()
            .map_or(RETRY, |look| reader.wait_behind(look));
        tokio::select! {
            () = committed(&mut commits), if looked.is_ok() => {}
            () = watches.follower.notified(), if looked.is_ok() => {}
            () = sleep(wait) => {}
        }
        // What comes in the meantime is found by the same look.
        sleep_until(begun + PACE).await;
    }
}

struct Reader<'a> {
    watches: &'a Watches,
    database: &'a Database,
    log: LogTailer,
    /// Tables that may be new and were not read yet.
    changed: Changed,
    /// How long to wait for what is held back.
    patience: Duration,
}

impl Reader<'_> {
    async fn look(&mut self) -> Result<LogPoll, StoreError> {
        let mut look = self.log.poll().await?;
        self.changed.add(std::mem::take(&mut look.changed));
        if look.stable.is_some() && self.watches.events.settled().is_none() {
            // What was committed before that may not have been seen.
            self.changed = Changed::Any;
        }
        if !self.changed.is_none() {
            let tables = &self.watches.tables;
            tables.refresh(self.database, &self.changed).await?;
            self.changed = Changed::none();
        }
        if let Some(settled) = look.stable {
            advance(&self.watches.events, self.database, settled).await?;
        }
        Ok(look)
    }

    fn wait_behind(&mut self, look: &LogPoll) -> Duration {
        if look.more {
            return Duration::ZERO;
        }
        if !look.held_back {
            self.patience = SHORTEST;
            return POLL;
        }
        // Nobody says so when a transaction is rolled back.
        let wait = self.patience;
        self.patience = (wait * 2).min(LONGEST);
        wait
    }
}

/// Hands out what is settled now and was not.
async fn advance(feed: &EventFeed, database: &Database, settled: i64) -> Result<(), StoreError> {
    let Some(mut after) = feed.settled() else {
        feed.publish(&[], settled);
        return Ok(());
    };
    while after < settled {
        let interest = feed.interest();
        if interest.deployments.is_empty() && interest.projects.is_empty() {
            feed.publish(&[], settled);
            return Ok(());
        }
        match database.read_log(&interest, after, settled, PAGE).await {
            Ok(page) => {
                let events: Vec<_> = page.entries.into_iter().filter_map(sent).collect();
                feed.publish(&events, page.read);
                after = page.read;
            }
            Err(ReadLogError::Forgotten) => {
                feed.skip(settled);
                return Ok(());
            }
            Err(ReadLogError::Store(error)) => return Err(error),
        }
    }
    Ok(())
}

/// An event, made ready to be sent. One that cannot be read is left out: it must
/// not end all watches of its project, now and for ever.
pub(crate) fn sent(entry: LogEntry) -> Option<Arc<SentEvent>> {
    let read = entry.event.inspect_err(|error| {
        tracing::error!(%error, position = entry.position, "an event is left out of watches");
    });
    let read = read.ok()?;
    Some(Arc::new(SentEvent {
        position: entry.position,
        deployment: entry.deployment,
        project: read.deployment.project.clone(),
        message: event(read),
    }))
}

/// Resolves when something was committed, by whomever.
async fn committed(commits: &mut Receiver<Notification>) {
    if let Err(RecvError::Closed) = commits.recv().await {
        std::future::pending::<()>().await;
    }
    while commits.try_recv().is_ok() {}
}

const PAGE: u32 = 500;
const RETRY: Duration = Duration::from_millis(500);

/// How long at least from one look to the next.
const PACE: Duration = Duration::from_millis(5);

const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(200);
