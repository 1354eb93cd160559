//! A map that forgets what was not used for long, so that it never grows beyond a limit.

use std::collections::HashMap;
use std::hash::Hash;

/// Keeps at least the `limit` entries used last, and at most twice as many.
///
/// Two generations: what is used goes to the young one; when that is full, it becomes the old one, and what
/// the old one had is forgotten.
#[derive(Debug)]
pub(crate) struct Bounded<K, V> {
    limit: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Copy + Eq + Hash, V> Bounded<K, V> {
    /// An empty map.
    #[must_use]
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, young: HashMap::new(), old: HashMap::new() }
    }

    /// What is known of a key.
    pub(crate) fn get(&mut self, key: &K) -> Option<&V> {
        if let Some(value) = self.old.remove(key) {
            self.insert(*key, value);
        }
        self.young.get(key)
    }

    /// Remembers a value.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.limit && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_falls_away() {
        let mut map = Bounded::new(2);
        for key in 0..6 {
            map.insert(key, key);
            assert_eq!(map.get(&0), Some(&0), "after {key}");
        }
        assert_eq!(map.get(&1), None);
        assert_eq!(map.get(&5), Some(&5));
    }
}
