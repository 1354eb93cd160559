//! Items: added once, in their lane, in order, kept when they are parked, gone when they are done.

use std::sync::Arc;

use chrono::Utc;
use domain::stream::Position;

use crate::conformance::queue::{Fixture, LONG, SHORT, item, lease, must_be_quiet};

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
    must_be_quiet(&queue, "build", LONG).await;
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
    must_be_quiet(&queue, "notify", LONG).await;
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
    must_be_quiet(&queue, "build", LONG).await;
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
    must_be_quiet(&queue, "build", SHORT).await;
    drop(queue);
    fixture.reopen().await;
    let reasons = ["a", "b"].map(|id| (item("build", id), format!("{id} cannot be done")));
    assert_eq!(fixture.queue().parked().await.unwrap(), reasons);
    assert!(!fixture.queue().enqueue(&item("build", "a")).await.unwrap());
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
        let lease = lease(&queue, "build", SHORT).await;
        assert!(lease.deliveries >= 2, "{lease:?}");
        queue.finish(&lease).await.unwrap();
        found.push(lease.item.id);
    }
    found.sort();
    assert_eq!(found, ["leased", "waiting"]);
    must_be_quiet(&queue, "build", SHORT).await;
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
        must_be_quiet(&queue, "build", LONG).await;
        fixture.reopen().await;
    }
    let queue = fixture.queue();
    assert!(queue.enqueue(&item("build", "a")).await.unwrap());
    assert!(queue.enqueue(&item("build", &leased.item.id)).await.unwrap());
    assert_eq!(lease(&queue, "build", LONG).await.item.id, "a");
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
