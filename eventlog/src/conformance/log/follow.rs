//! Subscribing: everything once, in order, whenever one comes.

use std::sync::Arc;
use std::time::Duration;

use domain::stream::{AggregateKind, Position, StreamId};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use uuid::Uuid;

use crate::commit::{Head, RecordedCommit};
use crate::conformance::fresh_stream;
use crate::conformance::log::Fixture;
use crate::conformance::log::read::append_some;
use crate::error::ReadError;
use crate::log::{Filter, SharedLog};

/// A test that waits longer than this for the next commit fails.
const LIMIT: Duration = Duration::from_secs(30);

type Subscription = BoxStream<'static, Result<RecordedCommit, ReadError>>;

async fn next(subscription: &mut Subscription) -> RecordedCommit {
    let next = tokio::time::timeout(LIMIT, subscription.next()).await;
    next.expect("no commit came").expect("the subscription ended").unwrap()
}

async fn positions(subscription: &mut Subscription, count: u64) -> Vec<u64> {
    let mut positions = Vec::new();
    for _ in 0..count {
        positions.push(next(subscription).await.head.position.0);
    }
    positions
}

/// Catches up, then waits.
pub async fn a_subscriber_gets_what_there_is_and_then_what_comes(fixture: impl Fixture) {
    let (log, stream) = (fixture.log(), fresh_stream());
    let head = append_some(&log, stream, Head::EMPTY, 3).await;
    let mut from_start = log.subscribe(Position::ZERO, Filter::all()).await;
    let mut from_second = log.subscribe(Position(2), Filter::all()).await;
    let mut from_end = log.subscribe(Position(3), Filter::all()).await;
    assert_eq!(positions(&mut from_start, 3).await, [1, 2, 3]);
    assert_eq!(positions(&mut from_second, 1).await, [3]);
    let quiet = tokio::time::timeout(Duration::from_millis(50), from_end.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    append_some(&log, stream, head, 2).await;
    for subscription in [&mut from_start, &mut from_second, &mut from_end] {
        assert_eq!(positions(subscription, 2).await, [4, 5]);
    }
}

/// Subscribers come while others append, at positions of all ages.
pub async fn no_gap_and_no_repeat_at_the_seam(fixture: impl Fixture) {
    const WRITERS: u64 = 4;
    const EACH: usize = 60;
    const ALL: u64 = WRITERS * EACH as u64;
    let log = fixture.log();
    let writers: Vec<_> = (0..WRITERS).map(|_| spawn_writer(&log, EACH)).collect();
    let mut subscribers = Vec::new();
    for number in 0..8 {
        let head = log.head().await.unwrap();
        let after = if number % 2 == 0 { head } else { Position(head.0 / 2) };
        let mut subscription = log.subscribe(after, Filter::all()).await;
        subscribers
            .push(tokio::spawn(async move { (after, positions(&mut subscription, ALL - after.0).await) }));
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    for subscriber in subscribers {
        let (after, seen) = subscriber.await.unwrap();
        assert_eq!(seen, (after.0 + 1..=ALL).collect::<Vec<_>>());
    }
}

fn spawn_writer(log: &SharedLog, count: usize) -> tokio::task::JoinHandle<Head> {
    let log = Arc::clone(log);
    tokio::spawn(async move { append_some(&log, fresh_stream(), Head::EMPTY, count).await })
}

/// It takes a few, goes, and comes back with the position it was at.
pub async fn a_subscriber_that_goes_and_comes_back_misses_nothing(fixture: impl Fixture) {
    const ALL: u64 = 240;
    let log = fixture.log();
    let writers: Vec<_> = (0..2).map(|_| spawn_writer(&log, 120)).collect();
    let mut seen: Vec<u64> = Vec::new();
    let mut step = 1;
    while (seen.len() as u64) < ALL {
        let after = Position(seen.last().copied().unwrap_or_default());
        let mut subscription = log.subscribe(after, Filter::all()).await;
        step = step * 7 % 31;
        seen.extend(positions(&mut subscription, step.min(ALL - after.0)).await);
    }
    assert_eq!(seen, (1..=ALL).collect::<Vec<_>>());
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Among others that it does not get.
pub async fn a_subscriber_gets_only_what_its_filter_lets_through(fixture: impl Fixture) {
    let log = fixture.log();
    let organization = Uuid::now_v7().into();
    let mine = StreamId { organization, kind: AggregateKind::Service, id: Uuid::now_v7() };
    let filter = Filter { organization: Some(organization), kinds: vec![AggregateKind::Service] };
    let mut subscription = log.subscribe(Position::ZERO, filter).await;
    let mut head = Head::EMPTY;
    for _ in 0..5 {
        append_some(&log, fresh_stream(), Head::EMPTY, 2).await;
        append_some(
            &log,
            StreamId { kind: AggregateKind::Project, id: Uuid::now_v7(), ..mine },
            Head::EMPTY,
            1,
        )
        .await;
        head = append_some(&log, mine, head, 1).await;
        let commit = next(&mut subscription).await;
        assert_eq!((commit.stream, commit.head), (mine, head));
    }
}
