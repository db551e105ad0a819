//! A table that forgets: it keeps what was used lately and never more than twice its limit.
//!
//! Two generations instead of a list of ages: each look-up costs at most two, and nothing ever walks the
//! table.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// A map from `K` to `V` of the most recently used entries.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    limit: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// A table that remembers at least the last `limit` different keys, and at most twice as many.
    pub(super) fn new(limit: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), limit }
    }

    /// What is known under `key`; `new` makes it if nothing is.
    pub(super) fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        if self.young.len() >= self.limit && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        let old = &mut self.old;
        self.young.entry(key).or_insert_with_key(|key| old.remove(key).unwrap_or_else(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lately_used_stays_and_the_table_stays_small() {
        let mut table = Recent::new(4);
        *table.entry(0, || 0) = 100;
        for key in 1..1_000 {
            *table.entry(key, || 0) += 1;
            assert_eq!(*table.entry(0, || 0), 100);
            assert!(table.young.len() + table.old.len() <= 8);
        }
        assert_eq!(*table.entry(1, || 0), 0, "long unused, so forgotten");
        assert_eq!(*table.entry(999, || 0), 1);
    }
}
