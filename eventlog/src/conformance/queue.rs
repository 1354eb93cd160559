//! What every work queue promises.
//!
//! `items` what is in it; `leases` who has it, and when.

mod items;
mod leases;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use crate::error::StoreError;
use crate::queue::{Item, Lease, SharedQueue};

pub use items::*;
pub use leases::*;

/// A queue to be tried, empty at first.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The queue.
    fn queue(&self) -> SharedQueue;

    /// Ends every process that has the queue open, as far as the adapter can have it, and opens it again.
    async fn reopen(&mut self);
}

/// Makes a test of each case, for the fixture that the expression gives (it may await).
#[macro_export]
macro_rules! queue_suite {
    ($fixture:expr) => {
        $crate::cases!(
            queue,
            $fixture,
            an_item_is_leased_as_it_was_added,
            items_are_leased_in_the_order_they_came,
            a_lane_has_only_its_own_items,
            an_item_is_there_once,
            an_item_may_come_again_when_it_is_finished,
            a_worker_that_waits_gets_what_comes,
            a_worker_that_stops_waiting_loses_nothing,
            an_item_whose_lease_is_over_is_given_out_again,
            a_lease_that_is_extended_holds,
            a_lease_that_is_lost_is_told,
            a_delayed_item_comes_when_it_was_said,
            an_item_with_a_time_comes_at_that_time,
            a_parked_item_is_kept_and_given_to_nobody,
            two_workers_never_hold_one_item,
            what_waits_is_there_after_a_restart,
            a_delay_holds_after_a_restart,
            a_cleared_queue_is_empty_and_knows_no_position,
            the_routed_position_is_kept
        );
    };
}

/// A lease that nothing in a test outlives. A test uses one period for a lane only: adapters may keep it with
/// the lane.
const LONG: Duration = Duration::from_secs(20);
/// A lease that a test waits for to be over.
const SHORT: Duration = Duration::from_secs(1);
/// In this time nothing comes that should not.
const QUIET: Duration = Duration::from_millis(200);
/// A test that waits longer than this for an item fails.
const LIMIT: Duration = Duration::from_secs(30);

fn item(lane: &str, id: &str) -> Item {
    Item {
        id: id.to_owned(),
        lane: lane.to_owned(),
        payload: json!({ "of": id, "n": [1, null] }),
        not_before: None,
    }
}

async fn lease(queue: &SharedQueue, lane: &str, period: Duration) -> Lease {
    let lease = tokio::time::timeout(LIMIT, queue.lease(lane, period)).await;
    lease.expect("no item came").unwrap()
}

async fn must_be_quiet(queue: &SharedQueue, lane: &str, period: Duration) {
    let lease = tokio::time::timeout(QUIET, queue.lease(lane, period)).await;
    assert!(lease.is_err(), "{lease:?}");
}

fn must_be_lost(result: Result<(), StoreError>) {
    assert!(matches!(result, Err(StoreError::LeaseLost { .. })), "{result:?}");
}
