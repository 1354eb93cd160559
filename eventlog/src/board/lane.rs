//! The items of one lane, in the order in which they are given out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::board::{Entry, State};

#[derive(Debug, Default)]
pub(super) struct Lane {
    waiting: BTreeSet<(DateTime<Utc>, u64, String)>,
    leased: BTreeSet<(Instant, String)>,
    /// Rung when an item comes or comes back.
    pub(super) bell: Arc<Notify>,
}

impl Lane {
    pub(super) fn insert(&mut self, entry: &Entry) {
        let id = || entry.item.id.clone();
        match entry.state {
            State::Waiting(due) => {
                self.waiting.insert((due, entry.number, id()));
            }
            State::Leased { until, .. } => {
                self.leased.insert((until, id()));
            }
            State::Parked(_) => {}
        }
    }

    pub(super) fn remove(&mut self, entry: &Entry) {
        let id = || entry.item.id.clone();
        match entry.state {
            State::Waiting(due) => {
                self.waiting.remove(&(due, entry.number, id()));
            }
            State::Leased { until, .. } => {
                self.leased.remove(&(until, id()));
            }
            State::Parked(_) => {}
        }
    }

    /// Takes out an item whose lease is over.
    pub(super) fn pop_over(&mut self, now: Instant) -> Option<String> {
        if self.leased.first()?.0 > now {
            return None;
        }
        self.leased.pop_first().map(|(_, id)| id)
    }

    /// The item that has waited longest, if its time has come.
    pub(super) fn first_due(&self, now: DateTime<Utc>) -> Option<String> {
        self.waiting.first().filter(|(due, ..)| *due <= now).map(|(_, _, id)| id.clone())
    }

    /// How long it takes until an item may be given out, as far as is known now.
    pub(super) fn wait(&self, now: Instant, clock: DateTime<Utc>) -> Option<Duration> {
        let over = self.leased.first().map(|(until, _)| until.saturating_duration_since(now));
        let due = self.waiting.first().map(|(due, ..)| (*due - clock).to_std().unwrap_or_default());
        match (over, due) {
            (Some(over), Some(due)) => Some(over.min(due)),
            (over, due) => over.or(due),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.leased.len()
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.leased.clear();
    }
}
