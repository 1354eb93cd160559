//! The work queue in memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::stream::Position;

use crate::board::SharedBoard;
use crate::error::StoreError;
use crate::queue::{Item, Lease, WorkQueue};

/// A queue that is gone with the process. Clones are the same queue.
#[derive(Clone, Debug, Default)]
pub struct MemoryQueue {
    board: Arc<SharedBoard>,
}

impl MemoryQueue {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl WorkQueue for MemoryQueue {
    async fn enqueue(&self, item: &Item) -> Result<bool, StoreError> {
        Ok(self.board.add(item))
    }

    async fn lease(&self, lane: &str, period: Duration) -> Result<Lease, StoreError> {
        Ok(self.board.lease(lane, period).await)
    }

    async fn extend(&self, lease: &Lease, period: Duration) -> Result<(), StoreError> {
        self.board.extend(lease, period)
    }

    async fn delay(&self, lease: &Lease, until: DateTime<Utc>) -> Result<(), StoreError> {
        self.board.delay(lease, until)
    }

    async fn finish(&self, lease: &Lease) -> Result<(), StoreError> {
        self.board.finish(lease)
    }

    async fn park(&self, lease: &Lease, reason: &str) -> Result<(), StoreError> {
        self.board.park(lease, reason)
    }

    async fn parked(&self) -> Result<Vec<(Item, String)>, StoreError> {
        Ok(self.board.parked())
    }

    async fn depth(&self, lane: &str) -> Result<usize, StoreError> {
        Ok(self.board.depth(lane))
    }

    async fn clear(&self) -> Result<(), StoreError> {
        self.board.clear();
        Ok(())
    }

    async fn routed(&self) -> Result<Position, StoreError> {
        Ok(self.board.routed())
    }

    async fn set_routed(&self, position: Position) -> Result<(), StoreError> {
        self.board.set_routed(position);
        Ok(())
    }
}
