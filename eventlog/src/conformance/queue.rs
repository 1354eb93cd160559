//! What every work queue promises.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{TimeDelta, Utc};
use domain::stream::Position;
use serde_json::json;

use crate::error::StoreError;
use crate::queue::{Item, Lease, SharedQueue};

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

/// A lease that nothing in a test outlives.
const LONG: Duration = Duration::from_secs(20);
/// A lease that a test waits for to be over.
const SHORT: Duration = Duration::from_millis(600);
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

async fn must_be_quiet(queue: &SharedQueue, lane: &str) {
    let lease = tokio::time::timeout(QUIET, queue.lease(lane, LONG)).await;
    assert!(lease.is_err(), "{lease:?}");
}

fn must_be_lost(result: Result<(), StoreError>) {
    assert!(matches!(result, Err(StoreError::LeaseLost { .. })), "{result:?}");
}

/// With its payload, and as its first delivery.
pub async fn an_item_is_leased_as_it_was_added(fixture: impl Fixture) {
    let queue = fixture.queue();
    let given = item("build", "saga/0191-a_b/build");
    assert!(queue.enqueue(&given).await.unwrap());
    assert_eq!(queue.depth("build").await.unwrap(), 1);
    let lease = lease(&queue, "build", LONG).await;
    assert_eq!((&lease.item, lease.deliveries), (&given, 1));
    assert_eq!(queue.depth("build").await.unwrap(), 1);
    queue.finish(&lease).await.unwrap();
    assert_eq!(queue.depth("build").await.unwrap(), 0);
    must_be_quiet(&queue, "build").await;
}

/// First come, first served.
pub async fn items_are_leased_in_the_order_they_came(fixture: impl Fixture) {
    let queue = fixture.queue();
    for number in 0..10 {
        queue.enqueue(&item("build", &format!("{number}"))).await.unwrap();
    }
    for number in 0..10 {
        assert_eq!(lease(&queue, "build", LONG).await.item.id, format!("{number}"));
    }
}

/// Builders take builds only.
pub async fn a_lane_has_only_its_own_items(fixture: impl Fixture) {
    let queue = fixture.queue();
    queue.enqueue(&item("build", "b")).await.unwrap();
    must_be_quiet(&queue, "notify").await;
    queue.enqueue(&item("notify", "n")).await.unwrap();
    assert_eq!(lease(&queue, "notify", LONG).await.item.id, "n");
    assert_eq!(lease(&queue, "build", LONG).await.item.id, "b");
}

/// While it waits, is leased or parked.
pub async fn an_item_is_there_once(fixture: impl Fixture) {
    let queue = fixture.queue();
    let given = item("build", "a/1");
    let together = (0..8).map(|_| {
        let (queue, given) = (Arc::clone(&queue), given.clone());
        tokio::spawn(async move { queue.enqueue(&given).await.unwrap() })
    });
    let mut added = 0;
    for task in together.collect::<Vec<_>>() {
        added += u32::from(task.await.unwrap());
    }
    assert_eq!(added, 1);
    let held = lease(&queue, "build", LONG).await;
    assert!(!queue.enqueue(&given).await.unwrap());
    queue.park(&held, "a reason").await.unwrap();
    assert!(!queue.enqueue(&given).await.unwrap());
    must_be_quiet(&queue, "build").await;
}

/// It is another item then.
pub async fn an_item_may_come_again_when_it_is_finished(fixture: impl Fixture) {
    let queue = fixture.queue();
    for _ in 0..3 {
        assert!(queue.enqueue(&item("build", "a/1")).await.unwrap());
        let lease = lease(&queue, "build", LONG).await;
        assert_eq!(lease.deliveries, 1);
        queue.finish(&lease).await.unwrap();
    }
}

/// At once, not at the next look.
pub async fn a_worker_that_waits_gets_what_comes(fixture: impl Fixture) {
    let queue = fixture.queue();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move { lease(&queue, "build", LONG).await.item.id })
        })
        .collect();
    tokio::time::sleep(QUIET).await;
    let begin = Instant::now();
    for number in 0..4 {
        queue.enqueue(&item("build", &format!("{number}"))).await.unwrap();
    }
    let mut got = HashSet::new();
    for worker in workers {
        got.insert(worker.await.unwrap());
    }
    assert_eq!(got.len(), 4);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

/// Whenever it stops, the item that it would have got goes to another.
pub async fn a_worker_that_stops_waiting_loses_nothing(fixture: impl Fixture) {
    let queue = fixture.queue();
    for round in 0..5_u64 {
        let impatient: Vec<_> = (0..3)
            .map(|n| {
                let queue = Arc::clone(&queue);
                let patience = Duration::from_millis(4 * round + n);
                tokio::spawn(async move {
                    let got = tokio::time::timeout(patience, queue.lease("build", LONG)).await;
                    if let Ok(Ok(lease)) = got {
                        queue.delay(&lease, Utc::now()).await.unwrap();
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(4 * round)).await;
        queue.enqueue(&item("build", &format!("{round}"))).await.unwrap();
        for task in impatient {
            task.await.unwrap();
        }
        let lease = lease(&queue, "build", LONG).await;
        assert_eq!(lease.item.id, format!("{round}"));
        queue.finish(&lease).await.unwrap();
    }
}

/// To a worker that waits for it already, and counted.
pub async fn an_item_whose_lease_is_over_is_given_out_again(fixture: impl Fixture) {
    let queue = fixture.queue();
    queue.enqueue(&item("build", "a")).await.unwrap();
    let begin = Instant::now();
    let first = lease(&queue, "build", SHORT).await;
    let second = lease(&queue, "build", SHORT).await;
    assert!(begin.elapsed() >= SHORT, "{:?}", begin.elapsed());
    assert_eq!((&second.item, second.deliveries), (&first.item, 2));
    assert_ne!(first.token, second.token);
    queue.finish(&second).await.unwrap();
    must_be_quiet(&queue, "build").await;
}

/// As long as it is extended.
pub async fn a_lease_that_is_extended_holds(fixture: impl Fixture) {
    let queue = fixture.queue();
    queue.enqueue(&item("build", "a")).await.unwrap();
    let held = lease(&queue, "build", SHORT).await;
    let waiting = {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move { lease(&queue, "build", SHORT).await })
    };
    for _ in 0..6 {
        tokio::time::sleep(SHORT / 3).await;
        queue.extend(&held, SHORT).await.unwrap();
        assert!(!waiting.is_finished());
    }
    queue.finish(&held).await.unwrap();
    queue.enqueue(&item("build", "b")).await.unwrap();
    assert_eq!(waiting.await.unwrap().item.id, "b");
}

/// A worker that was away for too long cannot end what another has now.
pub async fn a_lease_that_is_lost_is_told(fixture: impl Fixture) {
    let queue = fixture.queue();
    queue.enqueue(&item("build", "a")).await.unwrap();
    let lost = lease(&queue, "build", SHORT).await;
    let held = lease(&queue, "build", LONG).await;
    must_be_lost(queue.extend(&lost, LONG).await);
    must_be_lost(queue.delay(&lost, Utc::now()).await);
    must_be_lost(queue.park(&lost, "no").await);
    must_be_lost(queue.finish(&lost).await);
    must_be_quiet(&queue, "build").await;
    assert_eq!(queue.parked().await.unwrap(), []);
    queue.finish(&held).await.unwrap();
    must_be_lost(queue.finish(&held).await);
}

/// Not before, and soon after.
pub async fn a_delayed_item_comes_when_it_was_said(fixture: impl Fixture) {
    let queue = fixture.queue();
    queue.enqueue(&item("build", "a")).await.unwrap();
    let held = lease(&queue, "build", LONG).await;
    let until = Utc::now() + TimeDelta::milliseconds(500);
    queue.delay(&held, until).await.unwrap();
    must_be_quiet(&queue, "build").await;
    let again = lease(&queue, "build", LONG).await;
    let late = Utc::now() - until;
    assert!(late >= TimeDelta::zero() && late < TimeDelta::seconds(3), "{late}");
    assert_eq!((again.item, again.deliveries), (held.item, 2));
}

/// Others that came later do not wait for it.
pub async fn an_item_with_a_time_comes_at_that_time(fixture: impl Fixture) {
    let queue = fixture.queue();
    // Adapters keep milliseconds.
    let until = Utc::now() + TimeDelta::milliseconds(600);
    let until = chrono::DateTime::from_timestamp_millis(until.timestamp_millis()).unwrap();
    let timer = Item { not_before: Some(until), ..item("build", "timer") };
    queue.enqueue(&timer).await.unwrap();
    queue.enqueue(&item("build", "a")).await.unwrap();
    assert_eq!(lease(&queue, "build", LONG).await.item.id, "a");
    let came = lease(&queue, "build", LONG).await;
    let late = Utc::now() - until;
    assert!(late >= TimeDelta::zero() && late < TimeDelta::seconds(3), "{late}");
    assert_eq!(came.item, timer);
}

/// With its reason, also after a restart.
pub async fn a_parked_item_is_kept_and_given_to_nobody(mut fixture: impl Fixture) {
    let queue = fixture.queue();
    for id in ["a", "b"] {
        queue.enqueue(&item("build", id)).await.unwrap();
        let held = lease(&queue, "build", SHORT).await;
        queue.park(&held, &format!("{id} cannot be done")).await.unwrap();
    }
    assert_eq!(queue.depth("build").await.unwrap(), 0);
    tokio::time::sleep(SHORT).await;
    must_be_quiet(&queue, "build").await;
    drop(queue);
    fixture.reopen().await;
    let reasons = ["a", "b"].map(|id| (item("build", id), format!("{id} cannot be done")));
    assert_eq!(fixture.queue().parked().await.unwrap(), reasons);
    assert!(!fixture.queue().enqueue(&item("build", "a")).await.unwrap());
}

/// Many workers, many items, each done once.
pub async fn two_workers_never_hold_one_item(fixture: impl Fixture) {
    const ITEMS: usize = 120;
    let queue = fixture.queue();
    let done = Arc::new(std::sync::Mutex::new(Vec::new()));
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let (queue, done) = (Arc::clone(&queue), Arc::clone(&done));
            tokio::spawn(async move {
                loop {
                    let lease = queue.lease("build", LONG).await.unwrap();
                    done.lock().unwrap().push(lease.item.id.clone());
                    queue.finish(&lease).await.unwrap();
                }
            })
        })
        .collect();
    for number in 0..ITEMS {
        queue.enqueue(&item("build", &format!("{number}"))).await.unwrap();
    }
    let begin = Instant::now();
    while queue.depth("build").await.unwrap() > 0 {
        assert!(begin.elapsed() < LIMIT);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for worker in workers {
        worker.abort();
    }
    let done = done.lock().unwrap().clone();
    assert_eq!((done.len(), done.iter().collect::<HashSet<_>>().len()), (ITEMS, ITEMS));
}

/// An item that a dead worker had is given out again, and counted.
pub async fn what_waits_is_there_after_a_restart(mut fixture: impl Fixture) {
    let queue = fixture.queue();
    queue.enqueue(&item("build", "leased")).await.unwrap();
    queue.enqueue(&item("build", "waiting")).await.unwrap();
    queue.enqueue(&item("build", "done")).await.unwrap();
    let _held = lease(&queue, "build", SHORT).await;
    let held = lease(&queue, "build", SHORT).await;
    queue.delay(&held, Utc::now()).await.unwrap();
    let held = lease(&queue, "build", SHORT).await;
    let held = if held.item.id == "done" { held } else { lease(&queue, "build", SHORT).await };
    queue.finish(&held).await.unwrap();
    drop(queue);
    fixture.reopen().await;
    let queue = fixture.queue();
    assert!(!queue.enqueue(&item("build", "leased")).await.unwrap());
    let mut found = Vec::new();
    for _ in 0..2 {
        let lease = lease(&queue, "build", LONG).await;
        assert!(lease.deliveries >= 2, "{lease:?}");
        found.push(lease.item.id);
    }
    found.sort();
    assert_eq!(found, ["leased", "waiting"]);
    must_be_quiet(&queue, "build").await;
}

/// Both a delay and a time that was given at first.
pub async fn a_delay_holds_after_a_restart(mut fixture: impl Fixture) {
    let queue = fixture.queue();
    let until = Utc::now() + TimeDelta::milliseconds(1500);
    queue.enqueue(&item("build", "delayed")).await.unwrap();
    let held = lease(&queue, "build", LONG).await;
    queue.delay(&held, until).await.unwrap();
    queue.enqueue(&Item { not_before: Some(until), ..item("build", "timer") }).await.unwrap();
    drop(queue);
    fixture.reopen().await;
    let queue = fixture.queue();
    must_be_quiet(&queue, "build").await;
    for _ in 0..2 {
        let lease = lease(&queue, "build", LONG).await;
        assert!(Utc::now().timestamp_millis() >= until.timestamp_millis(), "{lease:?}");
    }
}

/// Also of what is leased and parked.
pub async fn a_cleared_queue_is_empty_and_knows_no_position(mut fixture: impl Fixture) {
    let queue = fixture.queue();
    for id in ["a", "b", "c"] {
        queue.enqueue(&item("build", id)).await.unwrap();
    }
    let parked = lease(&queue, "build", LONG).await;
    queue.park(&parked, "no").await.unwrap();
    let leased = lease(&queue, "build", LONG).await;
    queue.set_routed(Position(7)).await.unwrap();
    queue.clear().await.unwrap();
    for _ in 0..2 {
        let queue = fixture.queue();
        assert_eq!(queue.depth("build").await.unwrap(), 0);
        assert_eq!(queue.parked().await.unwrap(), []);
        assert_eq!(queue.routed().await.unwrap(), Position::ZERO);
        must_be_quiet(&queue, "build").await;
        fixture.reopen().await;
    }
    let queue = fixture.queue();
    assert!(queue.enqueue(&item("build", "a")).await.unwrap());
    assert!(queue.enqueue(&item("build", &leased.item.id)).await.unwrap());
    assert_eq!(lease(&queue, "build", LONG).await.deliveries, 1);
}

/// Zero at first.
pub async fn the_routed_position_is_kept(mut fixture: impl Fixture) {
    assert_eq!(fixture.queue().routed().await.unwrap(), Position::ZERO);
    for position in [5, 6, 1_000_000_000_000] {
        fixture.queue().set_routed(Position(position)).await.unwrap();
        assert_eq!(fixture.queue().routed().await.unwrap(), Position(position));
        fixture.reopen().await;
        assert_eq!(fixture.queue().routed().await.unwrap(), Position(position));
    }
}
