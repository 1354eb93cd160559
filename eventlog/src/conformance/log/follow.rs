//! Subscribing: everything once, in order, whenever one comes.

use std::sync::Arc;
use std::time::Duration;

use domain::stream::{AggregateKind, Position, StreamId};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::watch;
use uuid::Uuid;

use crate::commit::{Head, RecordedCommit};
use crate::conformance::fresh_stream;
use crate::conformance::log::Fixture;
use crate::conformance::log::read::{append_each, append_some, positions_of, read_everything};
use crate::error::ReadError;
use crate::log::{Filter, SharedLog};

/// A test that waits longer than this for the next commit fails.
const LIMIT: Duration = Duration::from_secs(30);

type Subscription = BoxStream<'static, Result<RecordedCommit, ReadError>>;

async fn next(subscription: &mut Subscription) -> RecordedCommit {
    let next = tokio::time::timeout(LIMIT, subscription.next()).await;
    next.expect("no commit came").expect("the subscription ended").unwrap()
}

async fn positions(subscription: &mut Subscription, count: usize) -> Vec<Position> {
    let mut positions = Vec::new();
    for _ in 0..count {
        positions.push(next(subscription).await.head.position);
    }
    positions
}

/// The positions after one, up to the last, which is told when it is known.
async fn positions_until(
    subscription: &mut Subscription,
    after: Position,
    mut last: watch::Receiver<Option<Position>>,
) -> Vec<Position> {
    let mut positions = Vec::new();
    loop {
        let reached = positions.last().copied().unwrap_or(after);
        if last.borrow_and_update().is_some_and(|last| reached >= last) {
            return positions;
        }
        tokio::select! {
            commit = next(subscription) => positions.push(commit.head.position),
            _ = last.changed() => {}
        }
    }
}

/// Catches up, then waits.
pub async fn a_subscriber_gets_what_there_is_and_then_what_comes(fixture: impl Fixture) {
    let (log, stream) = (fixture.log(), fresh_stream());
    let heads = append_each(&log, stream, Head::EMPTY, 3).await;
    let stood: Vec<Position> = heads.iter().map(|head| head.position).collect();
    let mut from_start = log.subscribe(Position::ZERO, Filter::all()).await;
    let mut from_second = log.subscribe(stood[1], Filter::all()).await;
    let mut from_end = log.subscribe(stood[2], Filter::all()).await;
    assert_eq!(positions(&mut from_start, 3).await, stood);
    assert_eq!(positions(&mut from_second, 1).await, stood[2..]);
    let quiet = tokio::time::timeout(Duration::from_millis(50), from_end.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    let later = append_each(&log, stream, heads[2], 2).await;
    let later: Vec<Position> = later.iter().map(|head| head.position).collect();
    for subscription in [&mut from_start, &mut from_second, &mut from_end] {
        assert_eq!(positions(subscription, 2).await, later);
    }
}

/// Subscribers come while others append, at positions of all ages.
pub async fn no_gap_and_no_repeat_at_the_seam(fixture: impl Fixture) {
    const WRITERS: usize = 4;
    const EACH: usize = 60;
    let log = fixture.log();
    let (tell, last) = watch::channel(None);
    let writers: Vec<_> = (0..WRITERS).map(|_| spawn_writer(&log, EACH)).collect();
    let mut subscribers = Vec::new();
    for number in 0..8 {
        let after = match number % 2 {
            0 => log.head().await.unwrap(),
            _ => middle(&log).await,
        };
        let mut subscription = log.subscribe(after, Filter::all()).await;
        let last = last.clone();
        subscribers.push(tokio::spawn(async move {
            (after, positions_until(&mut subscription, after, last).await)
        }));
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let all = positions_of(&read_everything(&log, Position::ZERO, &Filter::all(), 2000).await);
    assert_eq!(all.len(), WRITERS * EACH);
    tell.send_replace(all.last().copied());
    for subscriber in subscribers {
        let (after, seen) = subscriber.await.unwrap();
        let wanted: Vec<Position> = all.iter().copied().filter(|position| *position > after).collect();
        assert_eq!(seen, wanted);
    }
}

/// The position of the commit in the middle of what there is.
async fn middle(log: &SharedLog) -> Position {
    let commits = log.read_all(Position::ZERO, &Filter::all(), 2000).await.unwrap().commits;
    commits.get(commits.len() / 2).map_or(Position::ZERO, |commit| commit.head.position)
}

fn spawn_writer(log: &SharedLog, count: usize) -> tokio::task::JoinHandle<Head> {
    let log = Arc::clone(log);
    tokio::spawn(async move { append_some(&log, fresh_stream(), Head::EMPTY, count).await })
}

/// It takes a few, goes, and comes back with the position it was at.
pub async fn a_subscriber_that_goes_and_comes_back_misses_nothing(fixture: impl Fixture) {
    const ALL: usize = 240;
    let log = fixture.log();
    let writers: Vec<_> = (0..2).map(|_| spawn_writer(&log, 120)).collect();
    let mut seen: Vec<Position> = Vec::new();
    let mut step = 1;
    while seen.len() < ALL {
        let after = seen.last().copied().unwrap_or(Position::ZERO);
        let mut subscription = log.subscribe(after, Filter::all()).await;
        step = step * 7 % 31;
        seen.extend(positions(&mut subscription, step.min(ALL - seen.len())).await);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(seen, positions_of(&read_everything(&log, Position::ZERO, &Filter::all(), 2000).await));
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
