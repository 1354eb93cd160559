//! When the engine was away. What ended then was ended by it, as it does when it stops, and not by itself.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// How many are remembered.
const KEPT: usize = 16;
/// An engine that stops ends its containers about when it is seen to go, and one that was killed ends what it
/// finds when it is back.
const MARGIN: TimeDelta = TimeDelta::seconds(2);

#[derive(Debug, Default)]
pub(super) struct Outages(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Since when it is away.
    open: Option<DateTime<Utc>>,
    past: VecDeque<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Outages {
    /// It does not answer any more.
    pub(super) fn begin(&self, now: DateTime<Utc>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).open.get_or_insert(now);
    }

    /// It answers. Whether it was away before.
    pub(super) fn end(&self, now: DateTime<Utc>) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(begin) = known.open.take() else { return false };
        known.past.push_back((begin, now));
        if known.past.len() > KEPT {
            known.past.pop_front();
        }
        true
    }

    /// Whether it was away at a moment, or came or went.
    pub(super) fn cover(&self, at: DateTime<Utc>) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let covers = |begin: DateTime<Utc>, end: DateTime<Utc>| at >= begin - MARGIN && at <= end + MARGIN;
        known.open.is_some_and(|begin| at >= begin - MARGIN)
            || known.past.iter().any(|(begin, end)| covers(*begin, *end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_covered_while_it_was_away_and_a_little_longer() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let outages = Outages::default();
        assert!(!outages.end(at(1)) && !outages.cover(at(1)));
        outages.begin(at(100));
        outages.begin(at(105));
        assert!(outages.cover(at(99)) && outages.cover(at(1000)) && !outages.cover(at(90)));
        assert!(outages.end(at(110)));
        assert!(outages.cover(at(104)) && outages.cover(at(111)) && !outages.cover(at(120)));
    }
}
