//! The port to the work queue: items that wait for a worker, one lane for each kind of worker.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::StoreError;

/// The longest id of an item.
pub const MAX_ID_BYTES: usize = 200;

/// A piece of work.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What it is known by: letters, digits, `-`, `_` and `/`, at most 200 of them. While an item of this id
    /// is in the queue (waiting, leased or parked), another is not added.
    pub id: String,
    /// Which workers it is for: letters and digits.
    pub lane: String,
    /// What the worker needs to know; small.
    pub payload: serde_json::Value,
    /// Not given to a worker before this.
    pub not_before: Option<DateTime<Utc>>,
}

impl Item {
    /// Whether its id and its lane are made of what they may be made of.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let id = self.id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/'));
        let lane = self.lane.bytes().all(|b| b.is_ascii_alphanumeric());
        id && lane && (1..=MAX_ID_BYTES).contains(&self.id.len()) && !self.lane.is_empty()
    }
}

/// An item that a worker has leased.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    /// The item.
    pub item: Item,
    /// How often it was given to a worker, this time included.
    pub deliveries: u32,
    /// What the adapter knows this lease by; no other lease of the item has the same.
    pub token: String,
}

/// The work queue.
#[async_trait]
pub trait WorkQueue: Send + Sync {
    /// Adds an item, unless one of its id is there. Answers whether it was added.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn enqueue(&self, item: &Item) -> Result<bool, StoreError>;

    /// Waits for an item of a lane and leases it for `period`; when that is over and the lease was not
    /// extended, another worker gets it. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn lease(&self, lane: &str, period: Duration) -> Result<Lease, StoreError>;

    /// Keeps a lease for another `period` from now.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when it is not held any more.
    async fn extend(&self, lease: &Lease, period: Duration) -> Result<(), StoreError>;

    /// Gives the item back, to be given out again not before `until`.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    async fn delay(&self, lease: &Lease, until: DateTime<Utc>) -> Result<(), StoreError>;

    /// The work is done: the item is gone.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    async fn finish(&self, lease: &Lease) -> Result<(), StoreError>;

    /// The work cannot be done: the item is kept for an operator to see, and given to nobody.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    async fn park(&self, lease: &Lease, reason: &str) -> Result<(), StoreError>;

    /// The items that are parked, with their reasons.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn parked(&self) -> Result<Vec<(Item, String)>, StoreError>;

    /// How many items of a lane wait or are leased.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn depth(&self, lane: &str) -> Result<usize, StoreError>;

    /// Removes every item: what the log still asks for is derived from it again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn clear(&self) -> Result<(), StoreError>;

    /// The position up to which the router has turned events into items; zero when it never has. It is kept
    /// together with the items, so that losing them loses it too.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn routed(&self) -> Result<domain::stream::Position, StoreError>;

    /// Notes that everything up to a position was routed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn set_routed(&self, position: domain::stream::Position) -> Result<(), StoreError>;
}

/// A queue that several parts of a program share.
pub type SharedQueue = Arc<dyn WorkQueue>;
