//! Leases: one holder at a time, until it is over; and the times before which an item is not given out.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};

use crate::conformance::queue::{
    Fixture, LIMIT, LONG, QUIET, SHORT, item, lease, must_be_lost, must_be_quiet,
};
use crate::queue::Item;

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
    must_be_quiet(&queue, "build", SHORT).await;
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
    let held = lease(&queue, "build", SHORT).await;
    must_be_lost(queue.extend(&lost, LONG).await);
    must_be_lost(queue.delay(&lost, Utc::now()).await);
    must_be_lost(queue.park(&lost, "no").await);
    must_be_lost(queue.finish(&lost).await);
    must_be_quiet(&queue, "build", SHORT).await;
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
    must_be_quiet(&queue, "build", LONG).await;
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
    must_be_quiet(&queue, "build", LONG).await;
    for _ in 0..2 {
        let lease = lease(&queue, "build", LONG).await;
        assert!(Utc::now().timestamp_millis() >= until.timestamp_millis(), "{lease:?}");
    }
}
