//! Following the log of events.
//!
//! Positions are handed out in order, but transactions do not become visible in
//! that order: on PostgreSQL one that took a lower position may commit behind one
//! that took a higher. Whoever reads "all behind the last one I saw" would miss
//! it. So the log is stable only up to the first gap in the positions, and
//! that is as far as watches go.
//!
//! A gap is stable when it fills, or when nobody is left who could fill it.
//! Whoever has taken a position holds PostgreSQL's lock on the table `events`
//! (ROW EXCLUSIVE, which is in nobody's way) until it can be seen that its
//! transaction is over. A position that is missing below one that is seen was
//! taken before that one was. So those who hold the lock once the gap was seen
//! are all who may fill it; when they are gone, a look that finds the gap still
//! there finds a position that was rolled back.
//!
//! That is asked of the locks, and not of transaction ids, for two reasons: a
//! transaction without end in another database of the same server would hold up
//! every watch, and nothing has to be true of the order in which a transaction
//! gets its id and its positions.
//!
//! SQLite has one writer: there what is visible is in order, and a gap stays one.

use std::collections::BTreeSet;

use viridian_strategy::DeploymentId;

use crate::{Store, connection::StoreConnection, error::StoreError};

/// Follows the log: sees each event once, and knows how far it is stable.
pub struct LogTailer {
    database: Store,
    state: TailState,
}

/// What a look at the log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPoll {
    /// Up to where nothing can come any more; none as long as it is not known.
    pub stable: Option<i64>,
    /// Whose events were seen for the first time, stable or not. What a
    /// deployment was when `stable` became known counts as seen.
    pub changed: Vec<DeploymentId>,
    /// Whether there is more to be seen at once.
    pub more: bool,
    /// Whether something is held back.
    pub held_back: bool,
}

enum TailState {
    Unknown,
    /// Settled up to a position once these are over.
    Waiting {
        last: i64,
        writers: Writers,
    },
    Known {
        seen: GapTracker,
        /// Those who may fill the gaps up to a position.
        pending: Option<(i64, Writers)>,
    },
}

type Writers = BTreeSet<String>;

/// Which positions were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct GapTracker {
    last: i64,
    /// Ranges below it that were not, ends included, in order.
    gaps: Vec<(i64, i64)>,
    /// Whose they were since the last look that succeeded.
    changed: Vec<DeploymentId>,
}

impl Store {
    /// Follows the log from its present end.
    pub fn tail_log(&self) -> LogTailer {
        LogTailer {
            database: self.clone(),
            state: TailState::Unknown,
        }
    }

    /// Gives the position behind which there is nothing yet: every event that
    /// was committed before is at or before it.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn log_end(&self) -> Result<i64, StoreError> {
        let mut reader = self.reader().await?;
        // In this order: what is forgotten in between is in one of the two.
        let last = reader.last_position().await?;
        let horizon = reader.horizon().await?;
        Ok(last.max(horizon.events).max(horizon.deployments))
    }
}

impl LogTailer {
    /// Looks what is new.
    ///
    /// # Errors
    ///
    /// When the database fails; nothing is lost by that.
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

/// One look of a follower that knows where it is. What was seen before an error
/// is told by the next.
async fn poll_from(
    reader: &mut StoreConnection,
    seen: &mut GapTracker,
    pending: &mut Option<(i64, Writers)>,
) -> Result<LogPoll, StoreError> {
    let had_gaps = !seen.gaps.is_empty();
    if had_gaps {
        // Before the look at the gaps: what a writer left is visible to that.
        let nobody_left = match pending {
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
        if nobody_left
            && all
            && let Some((up_to, _)) = pending.take()
        {
            // Only up to there: those who may fill later gaps were not among these writers.
            seen.abandon(up_to);
        }
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
            // One that is new most often fills before the next look.
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

/// Whether all of these have ended.
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

    /// Notes one behind the last.
    fn see(&mut self, position: i64) {
        if position > self.last + 1 {
            self.gaps.push((self.last + 1, position - 1));
        }
        self.last = self.last.max(position);
    }

    /// Notes one in a gap.
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

    /// Notes that nothing comes any more up to a position.
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
