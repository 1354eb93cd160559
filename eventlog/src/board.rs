//! The work queue as it stands in memory: which items wait, which are leased, which are parked.
//!
//! An item is in one place: `waiting → leased → waiting | parked | gone`. The adapter in memory is this and
//! nothing else; the one on `SQLite` also writes down what changed. No lease outlives the process: whoever
//! held it died with it.

mod lane;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::stream::Position;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::board::lane::Lane;
use crate::error::StoreError;
use crate::queue::{Item, Lease};

/// A worker that waits for an item looks again after this at the latest: the clock of the machine may have
/// been set.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// An item, and how it stands.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) item: Item,
    /// Items are numbered as they come.
    pub(crate) number: u64,
    pub(crate) deliveries: u32,
    pub(crate) state: State,
}

#[derive(Clone, Debug)]
pub(crate) enum State {
    /// It is given to a worker from this time on.
    Waiting(DateTime<Utc>),
    /// A worker has it.
    Leased { token: u64, until: Instant },
    /// An operator has to look at it.
    Parked(String),
}

/// What has changed since it was last written down.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    pub(crate) ids: HashSet<String>,
    /// Everything that was written down before is gone.
    pub(crate) is_cleared: bool,
    pub(crate) routed: Option<Position>,
    /// What changed since then belongs to this group; groups are numbered from 1.
    pub(crate) group: u64,
}

impl Dirty {
    /// Begins the next group, and answers with this one.
    pub(crate) fn take(&mut self) -> Self {
        let next = Self { group: self.group + 1, ..Self::default() };
        std::mem::replace(self, next)
    }

    /// Puts back a group that could not be written, before what has changed since.
    pub(crate) fn put_back(&mut self, group: Self) {
        if self.is_cleared {
            return;
        }
        self.ids.extend(group.ids);
        self.is_cleared = group.is_cleared;
        self.routed = self.routed.or(group.routed);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty() && !self.is_cleared && self.routed.is_none()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Board {
    entries: HashMap<String, Entry>,
    lanes: HashMap<String, Lane>,
    numbers: u64,
    tokens: u64,
    routed: Position,
    /// Tracked only when somebody writes it down.
    pub(crate) dirty: Option<Dirty>,
}

impl Board {
    /// Puts back what was written down, before anybody asks for anything.
    pub(crate) fn restore(&mut self, entries: Vec<Entry>, routed: Position) {
        self.routed = routed;
        for entry in entries {
            self.numbers = self.numbers.max(entry.number);
            self.put(entry);
        }
    }

    pub(crate) fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    fn lane(&mut self, name: &str) -> &mut Lane {
        self.lanes.entry(name.to_owned()).or_default()
    }

    /// Puts an entry where its state says.
    fn put(&mut self, entry: Entry) {
        let id = entry.item.id.clone();
        self.lane(&entry.item.lane).insert(&entry);
        if let Some(dirty) = &mut self.dirty {
            dirty.ids.insert(id.clone());
        }
        self.entries.insert(id, entry);
    }

    fn take(&mut self, id: &str) -> Option<Entry> {
        let entry = self.entries.remove(id)?;
        self.lane(&entry.item.lane).remove(&entry);
        if let Some(dirty) = &mut self.dirty {
            dirty.ids.insert(id.to_owned());
        }
        Some(entry)
    }

    fn is_held(&self, lease: &Lease) -> bool {
        self.entries.get(&lease.item.id).is_some_and(|entry| match entry.state {
            State::Leased { token, .. } => token.to_string() == lease.token,
            State::Waiting(_) | State::Parked(_) => false,
        })
    }

    fn take_leased(&mut self, lease: &Lease) -> Result<Entry, StoreError> {
        let entry = if self.is_held(lease) { self.take(&lease.item.id) } else { None };
        entry.ok_or_else(|| StoreError::LeaseLost { item: lease.item.id.clone() })
    }

    /// What is written down does not change by it.
    fn extend(&mut self, lease: &Lease, period: Duration) -> Result<(), StoreError> {
        if !self.is_held(lease) {
            return Err(StoreError::LeaseLost { item: lease.item.id.clone() });
        }
        if let Some(entry) = self.entries.get_mut(&lease.item.id)
            && let Some(lane) = self.lanes.get_mut(&entry.item.lane)
        {
            lane.remove(entry);
            if let State::Leased { until, .. } = &mut entry.state {
                *until = Instant::now() + period;
            }
            lane.insert(entry);
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, item: &Item) -> bool {
        debug_assert!(item.is_well_formed(), "{item:?}");
        if self.entries.contains_key(&item.id) {
            return false;
        }
        self.numbers += 1;
        let due = item.not_before.unwrap_or_else(Utc::now);
        self.put(Entry {
            item: item.clone(),
            number: self.numbers,
            deliveries: 0,
            state: State::Waiting(due),
        });
        true
    }

    /// Leases the item of a lane that has waited longest.
    fn lease(&mut self, lane: &str, period: Duration) -> Option<Lease> {
        let (now, clock) = (Instant::now(), Utc::now());
        while let Some(id) = self.lane(lane).pop_over(now) {
            // Not by `take`: the lane has forgotten it already.
            if let Some(mut entry) = self.entries.remove(&id) {
                entry.state = State::Waiting(clock);
                self.put(entry);
            }
        }
        let id = self.lane(lane).first_due(clock)?;
        let mut entry = self.take(&id)?;
        self.tokens += 1;
        entry.deliveries += 1;
        entry.state = State::Leased { token: self.tokens, until: now + period };
        let lease =
            Lease { item: entry.item.clone(), deliveries: entry.deliveries, token: self.tokens.to_string() };
        self.put(entry);
        Some(lease)
    }
}

/// A worker that waits. It may be the only one that knows when the next item is due, so when it goes, with an
/// item or because it was dropped, another is woken to look.
struct Turn(Arc<Notify>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A board that many use.
#[derive(Debug, Default)]
pub(crate) struct SharedBoard {
    board: Mutex<Board>,
}

impl SharedBoard {
    pub(crate) fn new(board: Board) -> Self {
        Self { board: Mutex::new(board) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, item: &Item) -> bool {
        let mut board = self.lock();
        let is_added = board.add(item);
        if is_added {
            board.lane(&item.lane).bell.notify_one();
        }
        is_added
    }

    /// Waits for an item of a lane.
    pub(crate) async fn lease(&self, lane: &str, period: Duration) -> Lease {
        let turn = Turn(Arc::clone(&self.lock().lane(lane).bell));
        loop {
            let rung = turn.0.notified();
            tokio::pin!(rung);
            // From here on no ring is missed.
            rung.as_mut().enable();
            let wait = {
                let mut board = self.lock();
                let lease = board.lease(lane, period);
                let wait = board.lane(lane).wait(Instant::now(), Utc::now()).unwrap_or(LOOK_AGAIN);
                if let Some(lease) = lease {
                    return lease;
                }
                wait
            };
            // Whether it rang or the time has come: look again.
            let _ = tokio::time::timeout(wait.min(LOOK_AGAIN), rung).await;
        }
    }

    pub(crate) fn extend(&self, lease: &Lease, period: Duration) -> Result<(), StoreError> {
        self.lock().extend(lease, period)
    }

    pub(crate) fn delay(&self, lease: &Lease, until: DateTime<Utc>) -> Result<(), StoreError> {
        let mut board = self.lock();
        let mut entry = board.take_leased(lease)?;
        let bell = Arc::clone(&board.lane(&entry.item.lane).bell);
        entry.state = State::Waiting(until);
        board.put(entry);
        bell.notify_one();
        Ok(())
    }

    pub(crate) fn finish(&self, lease: &Lease) -> Result<(), StoreError> {
        self.lock().take_leased(lease).map(drop)
    }

    pub(crate) fn park(&self, lease: &Lease, reason: &str) -> Result<(), StoreError> {
        let mut board = self.lock();
        let mut entry = board.take_leased(lease)?;
        entry.state = State::Parked(reason.to_owned());
        board.put(entry);
        Ok(())
    }

    pub(crate) fn parked(&self) -> Vec<(Item, String)> {
        let board = self.lock();
        let parked = board.entries.values().filter_map(|entry| match &entry.state {
            State::Parked(reason) => Some((entry.number, entry.item.clone(), reason.clone())),
            State::Waiting(_) | State::Leased { .. } => None,
        });
        let mut parked: Vec<_> = parked.collect();
        parked.sort_unstable_by_key(|(number, ..)| *number);
        parked.into_iter().map(|(_, item, reason)| (item, reason)).collect()
    }

    pub(crate) fn depth(&self, lane: &str) -> usize {
        self.lock().lane(lane).len()
    }

    pub(crate) fn clear(&self) {
        let mut board = self.lock();
        board.entries.clear();
        for lane in board.lanes.values_mut() {
            lane.clear();
        }
        board.routed = Position::ZERO;
        if let Some(dirty) = &mut board.dirty {
            let (is_cleared, routed) = (true, Some(Position::ZERO));
            *dirty = Dirty { ids: HashSet::new(), is_cleared, routed, group: dirty.group };
        }
    }

    pub(crate) fn routed(&self) -> Position {
        self.lock().routed
    }

    pub(crate) fn set_routed(&self, position: Position) {
        let mut board = self.lock();
        board.routed = position;
        if let Some(dirty) = &mut board.dirty {
            dirty.routed = Some(position);
        }
    }
}
