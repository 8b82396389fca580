//! The entries of the history that may still be added to.
//!
//! Most entries are facts and stay as they are. A wait that goes on, and routes that go on
//! failing, are one entry that grows: otherwise a crash loop would fill the history.

use std::time::Duration;

use viridian_strategy::{RevisionId, Timestamp};

use super::{HistoryOutcome, NewHistoryEntry, Operation, RouteEffects};

/// The entries since the last move or call that may still be added to, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenEntries(pub(crate) Vec<OpenEntry>);

/// An entry that may still be added to, with its numbers as they are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenEntry {
    pub(crate) kind: OpenKind,
    pub(crate) number: i64,
    pub(crate) revision: Option<RevisionId>,
    pub(crate) attempts: u32,
    pub(crate) count: u32,
    pub(crate) effects: RouteEffects,
    /// When it was last added to.
    pub(crate) at: Timestamp,
}

/// Which repeats an open entry takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenKind {
    /// It waits, as before.
    Waiting,
    /// Routes failed.
    RouteFailed,
    /// Routes were replaced.
    RouteReplaced,
    /// Routes were replaced because they hung.
    HungReplaced,
}

impl OpenEntries {
    /// Adds what happened to the history after the entry with number `last`, which moves on.
    /// Returns the new entries, and the new numbers of those that are there already.
    pub(crate) fn add_all(
        &mut self,
        entries: Vec<NewHistoryEntry>,
        last: &mut i64,
    ) -> (Vec<NewHistoryEntry>, Vec<OpenEntry>) {
        let (mut new, mut repeated) = (Vec::new(), Vec::new());
        for mut entry in entries {
            if let Some(open) = self.repeat(&entry, *last) {
                repeated.push(open);
                continue;
            }
            // Numbered from the locked row, so that numbers have no gap (I7).
            *last += 1;
            entry.number = *last;
            self.open(&entry);
            new.push(entry);
        }
        (new, repeated)
    }

    /// Adds to an open entry, if it is one that happens again.
    fn repeat(&mut self, entry: &NewHistoryEntry, last: i64) -> Option<OpenEntry> {
        if entry.is_step() {
            // What follows belongs to the new step.
            self.0.clear();
        }
        let open = self.find(OpenKind::of(entry)?, entry, last)?;
        open.repeat(entry);
        Some(*open)
    }

    /// Notes a new entry, if it may be added to.
    fn open(&mut self, entry: &NewHistoryEntry) {
        let Some(kind) = OpenKind::of(entry) else {
            // It acted and waits no more, so that a later wait is another one.
            self.0.retain(|open| open.kind != OpenKind::Waiting);
            return;
        };
        self.0
            .retain(|open| (open.kind, open.revision) != (kind, entry.revision));
        // The list is a document of the row, which is written with each change: it must stay short.
        if self.0.len() == MAX_OPEN {
            self.0.remove(0);
        }
        self.0.push(OpenEntry {
            kind,
            number: entry.number,
            revision: entry.revision,
            attempts: 1,
            count: entry.count,
            effects: entry.effects,
            at: entry.at,
        });
    }

    /// Whether a wait is open, to which another look that changed nothing is added.
    pub(crate) fn waits(&self) -> bool {
        self.0.iter().any(|open| open.kind == OpenKind::Waiting)
    }

    fn find(
        &mut self,
        kind: OpenKind,
        entry: &NewHistoryEntry,
        last: i64,
    ) -> Option<&mut OpenEntry> {
        let mut open = self.0.iter_mut();
        let open = open.find(|open| (open.kind, open.revision) == (kind, entry.revision))?;
        let lately = kind == OpenKind::Waiting || entry.at.since(open.at) <= MAX_QUIET;
        // The pruner keeps this many of the newest at least. One that it deleted cannot be updated.
        let is_kept = last - open.number < MAX_DISTANCE;
        (lately && is_kept).then_some(open)
    }
}

impl OpenEntry {
    fn repeat(&mut self, entry: &NewHistoryEntry) {
        let RouteEffects {
            created,
            promoted,
            drained,
        } = entry.effects;
        self.attempts = self.attempts.saturating_add(1);
        self.count = self.count.saturating_add(entry.count);
        self.effects.created = self.effects.created.saturating_add(created);
        self.effects.promoted = self.effects.promoted.saturating_add(promoted);
        self.effects.drained = self.effects.drained.saturating_add(drained);
        self.at = entry.at;
    }
}

impl OpenKind {
    fn of(entry: &NewHistoryEntry) -> Option<Self> {
        match (entry.phase, entry.outcome) {
            (Operation::RouteFailed, _) => Some(Self::RouteFailed),
            (Operation::RouteReplaced, _) if entry.hung => Some(Self::HungReplaced),
            (Operation::RouteReplaced, _) => Some(Self::RouteReplaced),
            (Operation::Evaluate, HistoryOutcome::Waiting) => Some(Self::Waiting),
            _ => None,
        }
    }
}

impl NewHistoryEntry {
    /// Whether a call made it, or the deployment moved.
    fn is_step(&self) -> bool {
        let by_itself = matches!(
            self.phase,
            Operation::Evaluate | Operation::RouteFailed | Operation::RouteReplaced
        );
        !by_itself || self.from != Some(self.to)
    }
}

/// A failure this long after the last one is another story. Longer than the longest
/// back-off with the start of a replica after it, or a crash loop would be many stories.
const MAX_QUIET: Duration = Duration::from_secs(10 * 60);
/// Kinds times the revisions that a deployment may have routes of, and some more.
const MAX_OPEN: usize = 12;
/// Half of what the pruner keeps.
const MAX_DISTANCE: i64 = 500;

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use viridian_strategy::{DeploymentId, Lifecycle, LifecyclePhase};

    use super::*;
    use crate::record::Status;

    /// A history of one deployment: what the database would hold.
    #[derive(Default)]
    struct WrittenHistory {
        open: OpenEntries,
        rows: Vec<(Operation, HistoryOutcome, u32, u32)>,
    }

    impl WrittenHistory {
        fn add(&mut self, entry: NewHistoryEntry) {
            let mut last = i64::try_from(self.rows.len()).expect("a few");
            let (new, repeated) = self.open.add_all(vec![entry], &mut last);
            for entry in new {
                self.rows.push((entry.phase, entry.outcome, 1, entry.count));
                assert_eq!(i64::try_from(self.rows.len()), Ok(entry.number));
            }
            for open in repeated {
                let row = usize::try_from(open.number - 1).expect("a row");
                let (.., attempts, count) = &mut self.rows[row];
                (*attempts, *count) = (open.attempts, open.count);
            }
            assert_eq!(i64::try_from(self.rows.len()), Ok(last));
        }
    }

    fn entry(phase: Operation, outcome: HistoryOutcome, seconds: u64) -> NewHistoryEntry {
        let ready = LifecyclePhase {
            lifecycle: Lifecycle::Ready,
            sub_step: None,
        };
        let routes = matches!(phase, Operation::RouteFailed | Operation::RouteReplaced);
        NewHistoryEntry {
            deployment: DeploymentId(Uuid::nil()),
            number: 0,
            phase,
            outcome,
            from: Some(ready),
            to: ready,
            revision: Some(RevisionId(Uuid::from_u128(1))),
            actor: String::new(),
            reason: String::new(),
            request: None,
            commit: None,
            status: Status::default(),
            changes: Vec::new(),
            effects: RouteEffects::default(),
            count: u32::from(routes),
            failure: String::new(),
            weight_permille: None,
            at: Timestamp::default() + Duration::from_secs(seconds),
            hung: false,
        }
    }

    fn written(
        entries: impl IntoIterator<Item = NewHistoryEntry>,
    ) -> Vec<(Operation, HistoryOutcome, u32, u32)> {
        let mut history = WrittenHistory::default();
        entries.into_iter().for_each(|entry| history.add(entry));
        history.rows
    }

    use HistoryOutcome::{Failed, RolledBack, Success, Waiting};

    #[test]
    fn c4_only_a_wait_is_repeated() {
        for (phase, outcome) in [
            (Operation::Create, Success),
            (Operation::Activate, Success),
            (Operation::RollBack, RolledBack),
            (Operation::Evaluate, Success),
        ] {
            let rows = written([
                entry(phase, outcome, 0),
                entry(Operation::Evaluate, Waiting, 1),
            ]);
            assert_eq!(rows[0], (phase, outcome, 1, 0));
            assert_eq!(rows[1], (Operation::Evaluate, Waiting, 1, 0));
        }
        let rows = written((0..5).map(|at| entry(Operation::Evaluate, Waiting, at)));
        assert_eq!(rows, [(Operation::Evaluate, Waiting, 5, 0)]);
    }

    #[test]
    fn c4_a_crash_loop_is_two_entries_for_as_long_as_it_lasts() {
        // As far apart as the longest back-off makes them.
        let rounds = (0..1_000).flat_map(|round| {
            let at = round * 330;
            [
                entry(Operation::RouteFailed, Failed, at),
                entry(Operation::RouteReplaced, Waiting, at + 300),
            ]
        });
        let rows = written(rounds);
        assert_eq!(
            rows,
            [
                (Operation::RouteFailed, Failed, 1_000, 1_000),
                (Operation::RouteReplaced, Waiting, 1_000, 1_000),
            ]
        );
    }

    #[test]
    fn c4_another_revision_another_day_or_a_call_between_is_another_entry() {
        let failed = |at| entry(Operation::RouteFailed, Failed, at);
        let mut other = failed(1);
        other.revision = Some(RevisionId(Uuid::from_u128(2)));
        let rows = written([failed(0), other, failed(2)]);
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert_eq!(rows[0].3, 2);
        assert_eq!(written([failed(0), failed(601)]).len(), 2);
        assert_eq!(written([failed(0), failed(600)]).len(), 1);
        let paused = entry(Operation::Pause, Success, 1);
        assert_eq!(written([failed(0), paused, failed(2)]).len(), 3);
    }

    /// One that the pruner may have deleted is not added to.
    #[test]
    fn an_entry_that_is_far_behind_is_closed() {
        let waits = |at| entry(Operation::Evaluate, Waiting, at);
        let failures = (1..=600).map(|at| entry(Operation::RouteFailed, Failed, at * 1_000));
        let rows = written(
            std::iter::once(waits(0))
                .chain(failures)
                .chain([waits(700_000)]),
        );
        assert_eq!(rows.len(), 602);
        assert_eq!(rows[0].2, 1);
    }

    #[test]
    fn the_open_ones_are_few() {
        let mut history = WrittenHistory::default();
        for revision in 0..100 {
            let mut failed = entry(Operation::RouteFailed, Failed, 0);
            failed.revision = Some(RevisionId(Uuid::from_u128(revision)));
            history.add(failed);
        }
        assert_eq!(history.open.0.len(), MAX_OPEN);
    }
}
