//! Tails the log of events up to its first gap.
//!
//! PostgreSQL assigns positions in order, but transactions commit in any order: an event
//! may become visible after one with a higher position. A reader that continues after the
//! last event it saw would miss it. So the log is stable only up to the first gap in the
//! positions, and watches read no further.
//!
//! A gap closes when its events become visible, or when no transaction is left that could
//! fill it. A transaction that has taken a position holds PostgreSQL's lock on the table
//! `events` (ROW EXCLUSIVE, which blocks no other writer) until its end is visible. A missing
//! position below a visible one was taken before it. So the transactions that hold the lock
//! once the gap was seen are all that can fill it. If the gap is still there after they have
//! ended, its positions were rolled back.
//!
//! The locks are read instead of transaction ids, for two reasons. An endless transaction in
//! another database of the same server would hold up every watch. And the order in which a
//! transaction gets its id and its positions does not matter.
//!
//! SQLite has one writer: events become visible in order, and a gap never fills.

use std::collections::BTreeSet;

use viridian_strategy::DeploymentId;

use crate::{Store, connection::StoreConnection, error::StoreError};

/// Tails the log: returns each event once, and up to which position the log is stable.
pub struct LogTailer {
    database: Store,
    state: TailState,
}

/// The result of a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPoll {
    /// The position up to which no event can be added. None until it is known.
    pub stable: Option<i64>,
    /// The deployments with events that no earlier poll returned, stable or not. Events from
    /// before `stable` was known are left out.
    pub changed: Vec<DeploymentId>,
    /// Whether the next poll would find more at once.
    pub more: bool,
    /// Whether a gap holds back later events.
    pub held_back: bool,
}

enum TailState {
    Unknown,
    /// Stable up to a position when these transactions have ended.
    Waiting {
        last: i64,
        writers: Writers,
    },
    Known {
        seen: GapTracker,
        /// The transactions that can fill the gaps up to a position.
        pending: Option<(i64, Writers)>,
    },
}

type Writers = BTreeSet<String>;

/// The positions that were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct GapTracker {
    last: i64,
    /// Ranges below `last` that were not seen, ends included, in order.
    gaps: Vec<(i64, i64)>,
    /// The deployments of the positions seen since the last poll that succeeded.
    changed: Vec<DeploymentId>,
}

impl Store {
    /// Tails the log from its present end.
    pub fn tail_log(&self) -> LogTailer {
        LogTailer {
            database: self.clone(),
            state: TailState::Unknown,
        }
    }

    /// Returns the end of the log: every event that was committed before this call is at or
    /// before that position.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn log_end(&self) -> Result<i64, StoreError> {
        let mut reader = self.reader().await?;
        // In this order: an event that is pruned in between is counted by the horizon. Read first,
        // the horizon would miss it, and so would the last position.
        let last = reader.last_position().await?;
        let horizon = reader.horizon().await?;
        Ok(last.max(horizon.events).max(horizon.deployments))
    }
}

impl LogTailer {
    /// Polls for new events.
    ///
    /// # Errors
    ///
    /// When the database fails. The next poll returns what this one did not.
    pub async fn poll(&mut self) -> Result<LogPoll, StoreError> {
        let mut reader = self.database.reader().await?;
        if let TailState::Unknown = self.state {
            // In this order: a writer that begins later takes a position after `last`, so only
            // those listed here can fill a gap below it.
            let last = reader.last_position().await?;
            let writers = reader.event_writers().await?;
            let writers = writers.unwrap_or_default();
            self.state = TailState::Waiting { last, writers };
        }
        if let TailState::Waiting { last, writers } = &self.state {
            // Until then an event may appear below `last`, and no poll would ever return it.
            if !are_over(writers, &mut reader).await? {
                return Ok(LogPoll::waiting());
            }
            self.state = TailState::Known {
                seen: GapTracker {
                    last: *last,
                    ..GapTracker::default()
                },
                pending: None,
            };
        }
        let TailState::Known { seen, pending } = &mut self.state else {
            return Ok(LogPoll::waiting());
        };
        poll_from(&mut reader, seen, pending).await
    }
}

impl LogPoll {
    fn waiting() -> Self {
        Self {
            stable: None,
            changed: Vec::new(),
            more: false,
            held_back: true,
        }
    }
}

/// Polls from a known position. What was seen before an error is returned by the next poll.
async fn poll_from(
    reader: &mut StoreConnection,
    seen: &mut GapTracker,
    pending: &mut Option<(i64, Writers)>,
) -> Result<LogPoll, StoreError> {
    let had_gaps = !seen.gaps.is_empty();
    if had_gaps {
        fill_gaps(reader, seen, pending).await?;
    }
    let new = reader.list_positions(seen.last, MAX_POSITIONS).await?;
    let more = new.len() as i64 == MAX_POSITIONS;
    for (position, deployment) in new {
        seen.see(position);
        seen.changed.push(deployment);
    }
    if seen.gaps.is_empty() {
        *pending = None;
    } else {
        match reader.commits_in_order() {
            // With one writer, nothing appears below what is visible.
            true => seen.abandon(seen.last),
            // A new gap usually fills before the next poll.
            false if had_gaps && pending.is_none() => {
                let writers = reader.event_writers().await?;
                *pending = Some((seen.last, writers.unwrap_or_default()));
            }
            false => {}
        }
    }
    Ok(LogPoll {
        stable: Some(seen.stable()),
        // Taken after all that can fail, so that an error loses nothing that was seen.
        changed: std::mem::take(&mut seen.changed),
        more,
        held_back: !seen.gaps.is_empty(),
    })
}

/// Records what has become visible in the gaps, and closes the gaps that nothing can fill.
async fn fill_gaps(
    reader: &mut StoreConnection,
    seen: &mut GapTracker,
    pending: &mut Option<(i64, Writers)>,
) -> Result<(), StoreError> {
    // Before the gaps are read: what an ended writer committed is visible then. Checked after
    // them, a writer could end in between, and its events would be given up for lost.
    let all_ended = match pending {
        Some((_, writers)) => are_over(writers, reader).await?,
        None => false,
    };
    let filled = reader
        .list_positions_within(&seen.gaps, MAX_POSITIONS)
        .await?;
    // A full page may leave out a position, whose gap must not be abandoned.
    let all = (filled.len() as i64) < MAX_POSITIONS;
    for (position, deployment) in filled {
        seen.fill(position);
        seen.changed.push(deployment);
    }
    if all_ended
        && all
        && let Some((up_to, _)) = pending.take()
    {
        // Only up to there: other transactions may fill the later gaps.
        seen.abandon(up_to);
    }
    Ok(())
}

/// Returns whether all of these transactions have ended.
async fn are_over(writers: &Writers, reader: &mut StoreConnection) -> Result<bool, StoreError> {
    if writers.is_empty() {
        return Ok(true);
    }
    let now = reader.event_writers().await?;
    Ok(now.is_none_or(|now| now.is_disjoint(writers)))
}

impl GapTracker {
    fn stable(&self) -> i64 {
        self.gaps.first().map_or(self.last, |(first, _)| first - 1)
    }

    /// Records a position after the last one.
    fn see(&mut self, position: i64) {
        if position > self.last + 1 {
            self.gaps.push((self.last + 1, position - 1));
        }
        self.last = self.last.max(position);
    }

    /// Records a position in a gap.
    fn fill(&mut self, position: i64) {
        let Some(at) = self
            .gaps
            .iter()
            .position(|(first, last)| (*first..=*last).contains(&position))
        else {
            return;
        };
        let (first, last) = self.gaps[at];
        let rest = [(first, position - 1), (position + 1, last)];
        let rest = rest.into_iter().filter(|(first, last)| first <= last);
        self.gaps.splice(at..=at, rest);
    }

    /// Closes all gaps up to a position.
    fn abandon(&mut self, up_to: i64) {
        self.gaps.retain_mut(|(first, last)| {
            *first = (*first).max(up_to + 1);
            first <= last
        });
    }
}

// After a long pause the log is read in parts: `more` has the caller poll again at once.
const MAX_POSITIONS: i64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_holds_back_until_it_fills_or_is_given_up() {
        let mut seen = GapTracker::default();
        for position in [1, 2, 6, 9] {
            seen.see(position);
        }
        assert_eq!(seen.gaps, [(3, 5), (7, 8)]);
        assert_eq!(seen.stable(), 2);
        seen.fill(4);
        assert_eq!(seen.gaps, [(3, 3), (5, 5), (7, 8)]);
        seen.fill(3);
        assert_eq!(seen.stable(), 4);
        seen.abandon(7);
        assert_eq!(seen.gaps, [(8, 8)]);
        assert_eq!(seen.stable(), 7);
        seen.fill(8);
        assert_eq!(seen.stable(), 9);
    }

    #[test]
    fn what_was_seen_before_fills_nothing() {
        let mut seen = GapTracker::default();
        seen.see(1);
        seen.see(3);
        seen.fill(1);
        seen.fill(9);
        assert_eq!((seen.stable(), seen.gaps.len()), (1, 1));
    }
}
