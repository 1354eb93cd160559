//! What goes wrong on purpose.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What a node does wrong; nothing at first.
#[derive(Default)]
pub(crate) struct Faults {
    /// Of so many appends one is lost: by turns after it was done and before.
    pub(crate) loses_every: AtomicU32,
    appends: AtomicU32,
    /// So many appends from now on are done, and their answers lost.
    pub(crate) answers_lost: AtomicU32,
    /// So many appends from now on are done and never answered.
    pub(crate) answers_held: AtomicU32,
    /// So many appends from now on are done, and answered with nothing.
    pub(crate) answers_empty: AtomicU32,
    /// Appends are answered without a position.
    pub(crate) says_no_position: AtomicBool,
    /// It answers nothing but that it is not ready.
    pub(crate) is_unavailable: AtomicBool,
    /// It lets nobody in.
    pub(crate) denies: AtomicBool,
    /// It takes an event that it has for another: what was given twice is a race that was lost.
    pub(crate) forgets_ids: AtomicBool,
    /// Its checkpoints are far beyond what was looked at.
    pub(crate) checkpoints_lie: AtomicBool,
    /// Each subscription ends with an error after so many events.
    pub(crate) cuts_after: AtomicU32,
    /// Another node leads.
    pub(crate) leader: Mutex<Option<SocketAddr>>,
}

/// What happens to an append.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Succeeds,
    RequestLost,
    AnswerLost,
    AnswerHeld,
    AnswerEmpty,
}

impl Faults {
    pub(crate) fn fate_of_append(&self) -> Fate {
        for (left, fate) in [
            (&self.answers_lost, Fate::AnswerLost),
            (&self.answers_held, Fate::AnswerHeld),
            (&self.answers_empty, Fate::AnswerEmpty),
        ] {
            let one_less = |left: u32| left.checked_sub(1);
            if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
                return fate;
            }
        }
        let every = self.loses_every.load(Ordering::Relaxed);
        let number = self.appends.fetch_add(1, Ordering::Relaxed) + 1;
        match every {
            1.. if number.is_multiple_of(2 * every) => Fate::RequestLost,
            1.. if number.is_multiple_of(every) => Fate::AnswerLost,
            _ => Fate::Succeeds,
        }
    }
}
