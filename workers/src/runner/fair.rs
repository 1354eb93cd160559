//! Fair shares of the build lane: one organisation with many deployments does not keep the others waiting.
//!
//! An organisation may have half of a worker's slots. More it gets only when nobody else's work waits: what it
//! wants beyond is put off for a moment, until somebody else's has come up or nothing has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use commands::clock::SharedClock;
use domain::deployment::step::Lane;
use domain::id::OrganizationId;
use eventlog::error::StoreError;
use eventlog::queue::{Lease, SharedQueue};
use uuid::Uuid;

use crate::router::Job;

/// How long somebody else's work has to come up.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long what is put off waits.
const PUT_OFF: TimeDelta = TimeDelta::seconds(1);
/// How much is put off before what there is is taken.
const PUT_OFF_MAX: usize = 200;

/// How many slots each organisation has.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    taken: Arc<Mutex<HashMap<OrganizationId, usize>>>,
    /// How many it may have while others wait.
    fair: usize,
}

/// A slot that an organisation has, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    taken: Arc<Mutex<HashMap<OrganizationId, usize>>>,
    organization: OrganizationId,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = taken.get_mut(&self.organization) {
            *number -= 1;
            if *number == 0 {
                taken.remove(&self.organization);
            }
        }
    }
}

impl Shares {
    pub(super) fn new(slots: usize) -> Self {
        Self { taken: Arc::default(), fair: (slots / 2).max(1) }
    }

    /// Leases what is next.
    pub(super) async fn lease(
        &self,
        queue: &SharedQueue,
        clock: &SharedClock,
        period: Duration,
    ) -> Result<(Lease, Share), StoreError> {
        let lane = Lane::Build.as_str();
        let first = queue.lease(lane, period).await?;
        let organization = owner(&first);
        if let Some(share) = self.take(organization, self.fair) {
            return Ok((first, share));
        }
        // Dropped here, as when the platform stops, the lease runs out and another worker has it.
        for _ in 0..PUT_OFF_MAX {
            let Ok(next) = tokio::time::timeout(PATIENCE, queue.lease(lane, period)).await else {
                break; // Nobody else waits.
            };
            let next = next?;
            match self.take(owner(&next), self.fair) {
                Some(share) => {
                    queue.delay(&first, clock.now() + PUT_OFF).await?;
                    return Ok((next, share));
                }
                None => queue.delay(&next, clock.now() + PUT_OFF).await?,
            }
        }
        let share = self.take(organization, usize::MAX).unwrap_or_else(|| self.share(organization));
        Ok((first, share))
    }

    /// A slot, when the organisation has fewer than `most`.
    fn take(&self, organization: OrganizationId, most: usize) -> Option<Share> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let number = taken.entry(organization).or_default();
        if *number >= most {
            return None;
        }
        *number += 1;
        drop(taken);
        Some(self.share(organization))
    }

    fn share(&self, organization: OrganizationId) -> Share {
        Share { taken: Arc::clone(&self.taken), organization }
    }
}

/// Whose it is. What is not understood is nobody's, and is parked by whoever takes it up.
fn owner(lease: &Lease) -> OrganizationId {
    let job: Result<Job, _> = serde_json::from_value(lease.item.payload.clone());
    job.map_or(OrganizationId(Uuid::nil()), |job| job.organization)
}

#[cfg(test)]
mod tests {
    use commands::clock::SystemClock;
    use domain::deployment::Work;
    use domain::deployment::step::Step;
    use domain::id::{CorrelationId, DeploymentId};
    use eventlog::memory::MemoryQueue;
    use eventlog::queue::Item;

    use super::*;

    const PERIOD: Duration = Duration::from_secs(30);

    struct Lanes {
        queue: SharedQueue,
        clock: SharedClock,
        shares: Shares,
    }

    impl Lanes {
        fn new(slots: usize) -> Self {
            let queue = Arc::new(MemoryQueue::new());
            Self { queue, clock: Arc::new(SystemClock), shares: Shares::new(slots) }
        }

        async fn enqueue(&self, organization: u128, number: u128) {
            let job = Job {
                organization: OrganizationId(Uuid::from_u128(organization)),
                deployment: DeploymentId(Uuid::from_u128(number)),
                work: Work::Do(Step::Build),
                attempt: 1,
                on_behalf_of: None,
                correlation: CorrelationId(Uuid::from_u128(number)),
                trace: None,
            };
            let payload = serde_json::json!(job);
            let lane = Lane::Build.as_str().to_owned();
            let item = Item { id: job.item_id(), lane, payload, not_before: None };
            assert!(self.queue.enqueue(&item).await.expect("added"));
        }

        async fn lease(&self) -> (u128, Share) {
            let (lease, share) = self.shares.lease(&self.queue, &self.clock, PERIOD).await.expect("leased");
            (owner(&lease).0.as_u128(), share)
        }
    }

    #[tokio::test]
    async fn who_came_later_is_not_kept_waiting_by_a_long_queue_of_another() {
        let lanes = Lanes::new(2);
        for number in 1..=50 {
            lanes.enqueue(1, number).await;
        }
        lanes.enqueue(2, 100).await;
        let (first, _kept) = lanes.lease().await;
        let (second, _too) = lanes.lease().await;
        assert_eq!((first, second), (1, 2));
    }

    #[tokio::test]
    async fn where_nobody_else_waits_one_has_all_slots() {
        let lanes = Lanes::new(2);
        for number in 1..=3 {
            lanes.enqueue(1, number).await;
        }
        let (first, kept) = lanes.lease().await;
        let (second, too) = lanes.lease().await;
        assert_eq!((first, second), (1, 1));
        drop((kept, too));
        assert!(lanes.shares.taken.lock().expect("not poisoned").is_empty());
    }
}
