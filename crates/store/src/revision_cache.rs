//! Revisions that were read: they never change, and many routes run the same one.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use viridian_strategy::RevisionId;

use crate::record::{Revision, RevisionOutline, RevisionSpec};

/// Revisions by id, within a bound in bytes; and outlines, which are small, of many more.
#[derive(Debug, Default)]
pub(crate) struct RevisionCache(Mutex<CachedRevisions>);

#[derive(Debug, Default)]
struct CachedRevisions {
    whole: HashMap<RevisionId, Arc<Revision>>,
    /// Those of `whole`, in the order in which they came.
    order: VecDeque<RevisionId>,
    bytes: usize,
    outlines: HashMap<RevisionId, Arc<RevisionOutline>>,
}

impl RevisionCache {
    pub(crate) fn whole(&self, id: RevisionId) -> Option<Arc<Revision>> {
        self.lock().whole.get(&id).cloned()
    }

    pub(crate) fn outline(&self, id: RevisionId) -> Option<Arc<RevisionOutline>> {
        self.lock().outlines.get(&id).cloned()
    }

    /// Keeps a revision, and returns it as it is shared.
    pub(crate) fn keep(&self, revision: Revision) -> Arc<Revision> {
        let mut cached = self.lock();
        // Another task may have read it meanwhile: one copy is enough.
        if let Some(same) = cached.whole.get(&revision.id) {
            return Arc::clone(same);
        }
        let revision = Arc::new(revision);
        cached.bytes += size(&revision.spec);
        cached.order.push_back(revision.id);
        cached.whole.insert(revision.id, Arc::clone(&revision));
        while cached.bytes > MAX_BYTES
            && let Some(oldest) = cached.order.pop_front()
        {
            if let Some(oldest) = cached.whole.remove(&oldest) {
                cached.bytes -= size(&oldest.spec);
            }
        }
        revision
    }

    /// Keeps an outline, and returns it as it is shared.
    pub(crate) fn keep_outline(&self, outline: RevisionOutline) -> Arc<RevisionOutline> {
        let mut cached = self.lock();
        // All at once: what is left out costs one look-up.
        if cached.outlines.len() >= MAX_OUTLINES {
            cached.outlines.clear();
        }
        let kept = cached.outlines.entry(outline.id);
        Arc::clone(kept.or_insert_with(|| Arc::new(outline)))
    }

    fn lock(&self) -> MutexGuard<'_, CachedRevisions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About how many bytes a spec takes.
fn size(spec: &RevisionSpec) -> usize {
    let texts = [&spec.image, &spec.model, &spec.runtime_variant];
    let texts = texts.into_iter().chain(&spec.command).map(String::len);
    let maps = [&spec.environ, &spec.resource_slots].into_iter().flatten();
    let entries = maps.map(|(name, value)| name.len() + value.len() + ENTRY_OVERHEAD);
    size_of::<Revision>() + texts.chain(entries).sum::<usize>()
}

/// What two strings and their place in a map take besides their bytes.
const ENTRY_OVERHEAD: usize = 64;

/// Room for a hundred of the largest specs. A rollout of many replicas has one or two.
const MAX_BYTES: usize = 8 * 1024 * 1024;
const MAX_OUTLINES: usize = 20_000;

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use viridian_strategy::{DeploymentId, Timestamp};

    use super::*;

    fn revision(number: u128, bytes: usize) -> Revision {
        Revision {
            id: RevisionId(Uuid::from_u128(number)),
            deployment: DeploymentId(Uuid::nil()),
            number: 1,
            spec: RevisionSpec {
                environ: [("LARGE".to_owned(), "x".repeat(bytes))].into(),
                ..RevisionSpec::default()
            },
            created_at: Timestamp::from_micros(0),
            created_by: String::new(),
        }
    }

    #[test]
    fn g8_a_revision_is_held_once_and_all_within_a_bound() {
        let cache = RevisionCache::default();
        let first = cache.keep(revision(1, 60_000));
        assert!(Arc::ptr_eq(&first, &cache.keep(revision(1, 60_000))));
        for number in 2..=1_000 {
            cache.keep(revision(number, 60_000));
        }
        assert!(cache.whole(first.id).is_none(), "the oldest is gone");
        let last = RevisionId(Uuid::from_u128(1_000));
        assert!(cache.whole(last).is_some());
        let cached = cache.lock();
        assert_eq!(cached.order.len(), cached.whole.len());
        assert!(cached.bytes <= MAX_BYTES, "{}", cached.bytes);
        let held: usize = cached.whole.values().map(|it| size(&it.spec)).sum();
        assert_eq!(cached.bytes, held);
    }
}
