//! What happens to the log when answers get lost, servers go away, subscriptions end and leaders change.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::stream::{Position, StreamId, Version};
use eventlog::commit::Head;
use eventlog::conformance::{commit, fresh_stream};
use eventlog::error::{AppendError, ReadError};
use eventlog::kurrentdb::{KurrentLog, Settings};
use eventlog::log::{EventLog as _, Filter};
use futures::StreamExt as _;

use crate::kurrentdb::double::Double;
use crate::kurrentdb::settings;

const LIMIT: Duration = Duration::from_secs(60);

/// A log that says at once what it saw.
async fn impatient(double: &Double) -> KurrentLog {
    let settings = Settings { ride_out: Duration::ZERO, ..settings(&double.url()) };
    KurrentLog::connect(&settings).await.unwrap()
}

async fn append_each(log: &KurrentLog, stream: StreamId, count: usize) -> Vec<Head> {
    let (mut head, mut heads) = (Head::EMPTY, Vec::new());
    for number in 0..count {
        head = log.append(&commit(stream, &number.to_string()), head).await.unwrap();
        heads.push(head);
    }
    heads
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_got_lost_is_unknown_and_the_repeat_tells() {
    let double = Double::start();
    for forgets_ids in [false, true] {
        let faults = &double.node.faults;
        faults.forgets_ids.store(forgets_ids, Ordering::Relaxed);
        let (log, stream) = (impatient(&double).await, fresh_stream());
        let before = log.append(&commit(stream, "0"), Head::EMPTY).await.unwrap();
        let mine = commit(stream, "1");
        faults.answers_lost.store(1, Ordering::Relaxed);
        let error = log.append(&mine, before).await.unwrap_err();
        assert!(matches!(error, AppendError::Unknown { .. }), "{error:?}");
        let head = log.append(&mine, before).await.unwrap();
        assert_eq!(log.read(&stream, Version::ZERO).await.unwrap().head, head);
        // Whoever comes later, and does not remember, is told the same.
        let next = log.append(&commit(stream, "2"), head).await.unwrap();
        assert_eq!(log.append(&mine, before).await.unwrap(), head);
        let error = log.append(&commit(stream, "x"), before).await.unwrap_err();
        assert!(matches!(error, AppendError::Conflict { .. }), "{error:?}");
        assert_eq!(log.read(&stream, Version::ZERO).await.unwrap().head, next);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_is_unknown_in_time() {
    let double = Double::start();
    let (log, stream) = (impatient(&double).await, fresh_stream());
    double.node.faults.answers_held.store(1, Ordering::Relaxed);
    let mine = commit(stream, "1");
    let error = tokio::time::timeout(LIMIT, log.append(&mine, Head::EMPTY)).await.unwrap().unwrap_err();
    assert!(matches!(error, AppendError::Unknown { .. }), "{error:?}");
    let head = log.append(&mine, Head::EMPTY).await.unwrap();
    assert_eq!(log.read(&stream, Version::ZERO).await.unwrap().head, head);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_says_nothing_or_not_where_is_looked_up() {
    let double = Double::start();
    let (log, stream) = (KurrentLog::connect(&settings(&double.url())).await.unwrap(), fresh_stream());
    double.node.faults.answers_empty.store(1, Ordering::Relaxed);
    let first = log.append(&commit(stream, "1"), Head::EMPTY).await.unwrap();
    double.node.faults.says_no_position.store(true, Ordering::Relaxed);
    let second = log.append(&commit(stream, "2"), first).await.unwrap();
    let slice = log.read(&stream, Version::ZERO).await.unwrap();
    let positions: Vec<Position> = slice.events.iter().map(|event| event.position).collect();
    assert_eq!((slice.head, positions), (second, vec![first.position, second.position]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_ready_for_a_while_is_ridden_out() {
    let double = Double::start();
    let (log, stream) = (KurrentLog::connect(&settings(&double.url())).await.unwrap(), fresh_stream());
    double.node.faults.is_unavailable.store(true, Ordering::Relaxed);
    let appending = tokio::spawn({
        let log = log.clone();
        async move { log.append(&commit(stream, "1"), Head::EMPTY).await }
    });
    let begin = Instant::now();
    let read = log.read(&stream, Version::ZERO).await;
    assert!(matches!(read, Err(ReadError::Unavailable { .. })), "{read:?}");
    assert!(begin.elapsed() < LIMIT);
    double.node.faults.is_unavailable.store(false, Ordering::Relaxed);
    let head = appending.await.unwrap().unwrap();
    assert_eq!(log.read(&stream, Version::ZERO).await.unwrap().head, head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_told_and_everything_goes_on_when_it_is_back() {
    let mut double = Double::start();
    let log = impatient(&double).await;
    let stream = fresh_stream();
    let heads = append_each(&log, stream, 3).await;
    let mut followed = log.subscribe(Position::ZERO, Filter::all()).await;
    assert_eq!(followed.next().await.unwrap().unwrap().head, heads[0]);
    double.kill();
    let next = commit(stream, "x");
    let error = log.append(&next, heads[2]).await.unwrap_err();
    // The first to notice may have asked already.
    assert!(matches!(error, AppendError::Unavailable { .. } | AppendError::Unknown { .. }), "{error:?}");
    assert!(matches!(log.head().await, Err(ReadError::Unavailable { .. })));
    let settings = settings(&double.url());
    assert!(KurrentLog::connect(&settings).await.is_err());
    double.start_again();
    let begin = Instant::now();
    let last = loop {
        match log.append(&next, heads[2]).await {
            Ok(head) => break head,
            Err(err) => assert!(begin.elapsed() < LIMIT, "{err:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(log.read(&stream, Version::ZERO).await.unwrap().head, last);
    for wanted in [heads[1], heads[2], last] {
        let commit = tokio::time::timeout(LIMIT, followed.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(commit.head, wanted);
    }
}

/// Each ends after a few events, and their checkpoints are wrong.
#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_that_end_again_and_again_lose_nothing() {
    let double = Double::start();
    let log = KurrentLog::connect(&settings(&double.url())).await.unwrap();
    double.node.faults.cuts_after.store(7, Ordering::Relaxed);
    double.node.faults.checkpoints_lie.store(true, Ordering::Relaxed);
    let stream = fresh_stream();
    let some = Filter { organization: Some(stream.organization), kinds: vec![stream.kind] };
    let mut followed =
        [log.subscribe(Position::ZERO, Filter::all()).await, log.subscribe(Position::ZERO, some).await];
    let heads = append_each(&log, stream, 30).await;
    for followed in &mut followed {
        for wanted in &heads {
            let commit = tokio::time::timeout(LIMIT, followed.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(commit.head, *wanted);
        }
    }
    let page = log.read_all(Position::ZERO, &Filter::all(), 100).await.unwrap();
    assert_eq!((page.commits.len(), page.reached), (30, heads[29].position));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_lead_sends_to_the_one_that_does() {
    let leader = Double::start();
    let follower = Double::with(Arc::clone(&leader.node.store));
    *follower.node.faults.leader.lock().unwrap() = Some(leader.node.address);
    let log = KurrentLog::connect(&settings(&follower.url())).await.unwrap();
    let stream = fresh_stream();
    let heads = append_each(&log, stream, 3).await;
    assert_eq!(log.read(&stream, Version::ZERO).await.unwrap().head, heads[2]);
}

/// The client alone stays with the node that is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_goes_on_without_the_node_that_was_asked_so_far() {
    let first = Double::start();
    let second = Double::with(Arc::clone(&first.node.store));
    let addresses = [first.node.address, second.node.address];
    let lead = |leader: usize| {
        for node in [&first.node, &second.node] {
            *node.members.lock().unwrap() = vec![(addresses[leader], true)];
        }
    };
    lead(0);
    let url = format!("esdb://{},{}?tls=false&nodePreference=leader", addresses[0], addresses[1]);
    let log = KurrentLog::connect(&settings(&url)).await.unwrap();
    let stream = fresh_stream();
    let head = append_each(&log, stream, 3).await[2];
    lead(1);
    let mut first = first;
    first.kill();
    let (mine, begin) = (commit(stream, "x"), Instant::now());
    let head = loop {
        match log.append(&mine, head).await {
            Ok(head) => break head,
            Err(err) => assert!(begin.elapsed() < LIMIT, "{err:?}"),
        }
    };
    assert_eq!(log.read(&stream, Version::ZERO).await.unwrap().head, head);
    assert_eq!(head.version, Version(4));
}
