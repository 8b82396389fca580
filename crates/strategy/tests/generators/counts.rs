//! What the runs came across. A simulation that never gets there proves nothing.

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    fmt::{self, Debug},
};

/// How often each thing happened.
pub(crate) struct OccurrenceCounts<K>(BTreeMap<K, u64>);

impl<K: Ord> OccurrenceCounts<K> {
    pub(crate) fn add(&mut self, key: K, times: u64) {
        *self.0.entry(key).or_default() += times;
    }

    /// Fails unless all of them have happened.
    pub(crate) fn require<'a, Q: Ord + Debug + ?Sized + 'a>(
        &self,
        expected: impl IntoIterator<Item = &'a Q>,
    ) where
        K: Borrow<Q>,
    {
        for key in expected {
            assert!(self.0.contains_key(key), "never came across {key:?}");
        }
    }
}

impl<K> Default for OccurrenceCounts<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Debug> fmt::Display for OccurrenceCounts<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, times) in &self.0 {
            write!(f, "\n  {times:>8} {key:?}")?;
        }
        Ok(())
    }
}
