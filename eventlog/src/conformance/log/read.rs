//! Reading: a stream, all of the log, and what is damaged.

use domain::stream::{AggregateKind, Position, StreamId, Version};
use uuid::Uuid;

use crate::commit::{Head, RecordedCommit};
use crate::conformance::log::Fixture;
use crate::conformance::{commit, commit_of, fresh_stream, taken};
use crate::error::ReadError;
use crate::log::{Filter, SharedLog};

/// Appends commits of one event each, after one another.
pub(super) async fn append_some(log: &SharedLog, stream: StreamId, head: Head, count: usize) -> Head {
    append_each(log, stream, head, count).await.last().copied().unwrap_or(head)
}

/// The same, with the end of the stream after each.
pub(super) async fn append_each(log: &SharedLog, stream: StreamId, head: Head, count: usize) -> Vec<Head> {
    let (mut head, mut heads) = (head, Vec::new());
    for _ in 0..count {
        let text = format!("{}", head.version.0 + 1);
        head = log.append(&commit(stream, &text), head).await.unwrap();
        heads.push(head);
    }
    heads
}

pub(super) fn positions_of(commits: &[RecordedCommit]) -> Vec<Position> {
    commits.iter().map(|commit| commit.head.position).collect()
}

/// All there is, page by page.
pub(super) async fn read_everything(
    log: &SharedLog,
    after: Position,
    filter: &Filter,
    limit: usize,
) -> Vec<RecordedCommit> {
    let (mut commits, mut after) = (Vec::new(), after);
    loop {
        let page = log.read_all(after, filter, limit).await.unwrap();
        assert!(page.commits.len() <= limit);
        assert!(page.reached >= after);
        if page.reached == after {
            assert_eq!(page.commits, []);
            return commits;
        }
        after = page.reached;
        commits.extend(page.commits);
    }
}

/// An unknown stream is an empty one.
pub async fn a_stream_that_nobody_wrote_is_empty(fixture: impl Fixture) {
    let log = fixture.log();
    let slice = log.read(&fresh_stream(), Version::ZERO).await.unwrap();
    assert_eq!((slice.events, slice.head), (vec![], Head::EMPTY));
    let page = log.read_all(Position::ZERO, &Filter::all(), 10).await.unwrap();
    assert_eq!((page.commits, page.reached), (vec![], Position::ZERO));
}

/// Also from the middle of a commit, from the end and from beyond it.
pub async fn a_stream_reads_from_any_version(mut fixture: impl Fixture) {
    let stream = fresh_stream();
    let texts = ["1", "2", "3"].map(taken).to_vec();
    let head = append_some(&fixture.log(), fresh_stream(), Head::EMPTY, 2).await;
    assert_eq!(head.version, Version(2));
    let head = fixture.log().append(&commit_of(stream, texts), Head::EMPTY).await.unwrap();
    let head = append_some(&fixture.log(), stream, head, 3).await;
    for _ in 0..2 {
        for after in 0..=8 {
            let slice = fixture.log().read(&stream, Version(after)).await.unwrap();
            let versions: Vec<u64> = slice.events.iter().map(|event| event.version.0).collect();
            assert_eq!(versions, (after + 1..=6).collect::<Vec<_>>(), "after {after}");
            assert_eq!(slice.head, head, "after {after}");
            for event in slice.events {
                assert_eq!(event.event, taken(&event.version.to_string()));
            }
        }
        // Also by a process that remembers nothing of it.
        fixture.reopen().await;
    }
}

/// More commits than one page of any adapter has.
pub async fn a_long_stream_reads_whole(fixture: impl Fixture) {
    let (log, stream) = (fixture.log(), fresh_stream());
    let head = append_some(&log, stream, Head::EMPTY, 700).await;
    let slice = log.read(&stream, Version::ZERO).await.unwrap();
    assert_eq!((slice.events.len(), slice.head), (700, head));
    assert_eq!(log.read(&stream, Version(690)).await.unwrap().events.len(), 10);
}

/// Pages of any size follow one another without a gap.
pub async fn all_reads_from_any_position_in_pages(fixture: impl Fixture) {
    let log = fixture.log();
    let streams = [fresh_stream(), fresh_stream(), fresh_stream()];
    let mut heads = [Head::EMPTY; 3];
    let mut all = vec![Position::ZERO];
    for _ in 0..10 {
        for (stream, head) in streams.iter().zip(&mut heads) {
            *head = append_some(&log, *stream, *head, 1).await;
            all.push(head.position);
        }
    }
    for (after, limit) in [(0, 1), (0, 7), (0, 2000), (13, 4), (29, 10), (30, 10)] {
        let commits = read_everything(&log, all[after], &Filter::all(), limit).await;
        assert_eq!(positions_of(&commits), all[after + 1..], "after {after} by {limit}");
    }
    let beyond = Position(all[30].0 + 69);
    let page = log.read_all(beyond, &Filter::all(), 5).await.unwrap();
    assert_eq!((page.commits, page.reached), (vec![], beyond));
}

/// Its bytes too, where they are known.
pub async fn its_size_grows_with_what_is_appended(fixture: impl Fixture) {
    let log = fixture.log();
    let before = log.size().await.unwrap();
    append_some(&log, fresh_stream(), Head::EMPTY, 100).await;
    let after = log.size().await.unwrap();
    assert!(after.commits >= before.commits + 100, "{before:?}, {after:?}");
    assert!(before.bytes.is_none() || after.bytes > before.bytes, "{before:?}, {after:?}");
}

/// By organisation, by kinds, by both; `reached` goes to the end although the last commits are left out.
pub async fn a_filter_lets_through_what_it_says(fixture: impl Fixture) {
    let log = fixture.log();
    let organizations = [Uuid::now_v7().into(), Uuid::now_v7().into()];
    let kinds = [AggregateKind::Project, AggregateKind::Service, AggregateKind::Deployment];
    let mut last = Position::ZERO;
    for number in 0..12 {
        let stream =
            StreamId { organization: organizations[number % 2], kind: kinds[number % 3], id: Uuid::now_v7() };
        last = append_some(&log, stream, Head::EMPTY, 1).await.position;
    }
    let filters = [
        Filter { organization: Some(organizations[0]), kinds: vec![] },
        Filter::kinds([AggregateKind::Service]),
        Filter::kinds([AggregateKind::Service, AggregateKind::Project]),
        Filter { organization: Some(organizations[1]), kinds: vec![kinds[1], kinds[2]] },
        Filter::kinds([AggregateKind::User]),
    ];
    let all = read_everything(&log, Position::ZERO, &Filter::all(), 100).await;
    for filter in filters {
        for limit in [1, 3, 100] {
            let found = read_everything(&log, Position::ZERO, &filter, limit).await;
            let wanted = all.iter().filter(|commit| filter.matches(&commit.stream)).cloned();
            assert_eq!(found, wanted.collect::<Vec<_>>(), "{filter:?} by {limit}");
        }
        let page = log.read_all(Position::ZERO, &filter, 100).await.unwrap();
        assert_eq!(page.reached, last, "{filter:?}");
    }
}

/// And a writer goes on where it was.
pub async fn what_was_appended_is_there_after_a_restart(mut fixture: impl Fixture) {
    let stream = fresh_stream();
    let head = append_some(&fixture.log(), stream, Head::EMPTY, 3).await;
    fixture.reopen().await;
    let log = fixture.log();
    assert_eq!(log.head().await.unwrap(), head.position);
    let next = append_some(&log, stream, head, 1).await;
    assert!(next.position > head.position);
    assert_eq!(log.read(&stream, Version::ZERO).await.unwrap().events.len(), 4);
}

/// Whichever way it is read.
pub async fn a_changed_byte_is_found(fixture: impl Fixture) {
    let (log, stream) = (fixture.log(), fresh_stream());
    let heads = append_each(&log, stream, Head::EMPTY, 5).await;
    fixture.tamper(heads[2].position).await;
    must_find_damage(&log, stream).await;
}

/// Whichever way it is read.
pub async fn a_hole_is_found(fixture: impl Fixture) {
    let (log, stream) = (fixture.log(), fresh_stream());
    let heads = append_each(&log, stream, Head::EMPTY, 5).await;
    fixture.lose(heads[2].position).await;
    must_find_damage(&log, stream).await;
}

async fn must_find_damage(log: &SharedLog, stream: StreamId) {
    use futures::StreamExt as _;

    let read = log.read(&stream, Version::ZERO).await;
    assert!(matches!(read, Err(ReadError::Damaged { .. })), "{read:?}");
    let page = log.read_all(Position::ZERO, &Filter::all(), 100).await;
    assert!(matches!(page, Err(ReadError::Damaged { .. })), "{page:?}");
    let seen: Vec<_> = log.subscribe(Position::ZERO, Filter::all()).await.take(10).collect().await;
    assert!(matches!(seen.last(), Some(Err(ReadError::Damaged { .. }))), "{seen:?}");
}
