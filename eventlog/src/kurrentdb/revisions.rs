//! Which revision a stream of `KurrentDB` has at its ends that this process knows.
//!
//! Our version counts events and theirs counts commits, so one does not follow from the other. It is no
//! truth, only what spares a look.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bounded::Bounded;
use crate::commit::{Hash, Head};

/// How many ends are remembered; at most twice as many (about 10 MB).
const ENDS_MAX: usize = 40_000;

/// The end of a stream, as we and as `KurrentDB` count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) head: Head,
    /// The revision that the next commit gets.
    pub(super) next: u64,
}

impl End {
    pub(super) const EMPTY: Self = Self { head: Head::EMPTY, next: 0 };
}

pub(super) struct Revisions {
    known: Mutex<Bounded<Hash, End>>,
}

impl Default for Revisions {
    fn default() -> Self {
        Self { known: Mutex::new(Bounded::new(ENDS_MAX)) }
    }
}

impl Revisions {
    fn lock(&self) -> MutexGuard<'_, Bounded<Hash, End>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, end: End) {
        self.lock().insert(end.head.hash, end);
    }

    /// The end that somebody saw, when it is known and as it was seen.
    pub(super) fn at(&self, head: &Head) -> Option<End> {
        if *head == Head::EMPTY {
            return Some(End::EMPTY);
        }
        self.lock().get(&head.hash).copied().filter(|end| end.head == *head)
    }
}

#[cfg(test)]
mod tests {
    use domain::stream::{Position, Version};

    use super::*;

    #[test]
    fn an_end_is_known_only_as_it_was_seen() {
        let revisions = Revisions::default();
        let head = Head { version: Version(3), position: Position(700), hash: Hash([7; 32]) };
        revisions.note(End { head, next: 2 });
        assert_eq!(revisions.at(&head).map(|end| end.next), Some(2));
        assert_eq!(revisions.at(&Head { position: Position(701), ..head }), None);
        assert_eq!(revisions.at(&Head::EMPTY), Some(End::EMPTY));
    }
}
