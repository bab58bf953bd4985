//! What is named by its content is held once, however many runs have it: plans, submissions, locks.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use qflow_model::ids::Digest;

/// Entries beyond which those that nobody holds any more are looked for.
const FEW: usize = 64;

/// Values by the digest of their content, each for as long as somebody holds it.
pub(crate) struct Shared<T>(Mutex<Inside<T>>);

struct Inside<T> {
    held: HashMap<Digest, Weak<T>>,
    /// How many there may be before the dead are cleared away.
    most: usize,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::new(Inside { held: HashMap::new(), most: FEW }))
    }
}

impl<T> Shared<T> {
    /// The value, where somebody holds it.
    pub(crate) fn get(&self, digest: Digest) -> Option<Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).held.get(&digest)?.upgrade()
    }

    /// The value that is held already, else this one from now on.
    pub(crate) fn put(&self, digest: Digest, value: Arc<T>) -> Arc<T> {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = inside.held.get(&digest).and_then(Weak::upgrade) {
            return known;
        }
        if inside.held.len() >= inside.most {
            inside.held.retain(|_, value| value.strong_count() > 0);
            inside.most = FEW.max(2 * inside.held.len());
        }
        inside.held.insert(digest, Arc::downgrade(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_held_once_and_for_as_long_as_somebody_has_it() {
        let (shared, digest) = (Shared::default(), Digest::of(b"a"));
        let first = shared.put(digest, Arc::new(1));
        assert!(Arc::ptr_eq(&first, &shared.put(digest, Arc::new(1))));
        assert!(shared.get(digest).is_some_and(|again| Arc::ptr_eq(&again, &first)));
        drop(first);
        assert_eq!(shared.get(digest), None);
    }

    #[test]
    fn what_nobody_has_is_cleared_away() {
        let shared = Shared::default();
        for n in 0..1000_u32 {
            drop(shared.put(Digest::of(&n.to_be_bytes()), Arc::new(n)));
        }
        assert!(shared.0.lock().unwrap().held.len() <= FEW);
    }
}
