//! How much one client does at once: a count for each, and a place in it for as long as the place is held.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// How many places each key holds.
#[derive(Debug)]
pub(crate) struct PerKey<K> {
    most: usize,
    held: Arc<Mutex<HashMap<K, usize>>>,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<K: Hash + Eq> {
    key: K,
    held: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Hash + Eq + Clone> PerKey<K> {
    /// At most `most` places for each key.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            held: Arc::default(),
        }
    }

    /// A place for `key`; `None` where it has as many as it may have.
    pub(crate) fn enter(&self, key: K) -> Option<Place<K>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(key.clone()).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place {
            key,
            held: self.held.clone(),
        })
    }
}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let left = held.get_mut(&self.key).map(|count| {
            *count -= 1;
            *count
        });
        // Keys come from clients, so none stays that holds nothing.
        if left == Some(0) {
            held.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_places_and_gets_back_what_it_gives_back() {
        let places = PerKey::new(2);
        let first = places.enter("a").unwrap();
        let second = places.enter("a").unwrap();
        assert!(places.enter("a").is_none());
        let other = places.enter("b").unwrap();
        drop(first);
        let third = places.enter("a").unwrap();
        assert!(places.enter("a").is_none());
        drop((second, third, other));
        assert!(places.held.lock().unwrap().is_empty(), "what is over is forgotten");
    }
}
