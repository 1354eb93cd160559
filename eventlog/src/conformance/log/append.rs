//! Appending: the expected version, races, repeats, answers that get lost.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::id::CommitId;
use domain::stream::{Position, StreamId, Version};

use crate::commit::{Commit, Head, MAX_COMMIT_BYTES};
use crate::conformance::log::Fixture;
use crate::conformance::{commit, commit_of, fresh_stream, released, taken};
use crate::error::AppendError;
use crate::log::SharedLog;

/// How often an append that was not answered is given again before a test fails.
const REPEATS: u32 = 100;

/// Appends, and appends again while the answer is unknown or the log is not there: as the command bus does.
pub(super) async fn append_until_known(log: &SharedLog, commit: &Commit, expected: Head) -> Option<Head> {
    for _ in 0..REPEATS {
        match log.append(commit, expected).await {
            Ok(head) => return Some(head),
            Err(AppendError::Conflict { .. }) => return None,
            Err(AppendError::Unknown { .. } | AppendError::Unavailable { .. }) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(err @ AppendError::TooLarge { .. }) => panic!("{err}"),
        }
    }
    panic!("an append was not answered {REPEATS} times");
}

/// The id, the metadata and the events come back as they were given.
pub async fn a_commit_reads_back_as_it_was_appended(fixture: impl Fixture) {
    let (log, stream) = (fixture.log(), fresh_stream());
    let given = commit_of(stream, vec![taken("ä\"\\\u{1F600}\n"), released(), taken("")]);
    let head = log.append(&given, Head::EMPTY).await.unwrap();
    assert_eq!(head.version, Version(3));
    let slice = log.read(&stream, Version::ZERO).await.unwrap();
    assert_eq!(slice.head, head);
    assert_eq!(slice.events.len(), 3);
    for ((recorded, (id, event)), version) in slice.events.iter().zip(&given.events).zip(1..) {
        let metadata = given.metadata.clone();
        assert_eq!((&recorded.id, &recorded.event), (id, event));
        assert_eq!((recorded.stream, recorded.version), (stream, Version(version)));
        assert_eq!((recorded.commit, recorded.position), (given.id, head.position));
        assert_eq!(
            (recorded.at, recorded.actor, recorded.command),
            (metadata.at, metadata.actor, metadata.command)
        );
        assert_eq!((recorded.correlation, recorded.causation), (metadata.correlation, metadata.causation));
        assert_eq!(recorded.traceparent, metadata.traceparent);
    }
}

/// Before the stream's end, beyond it, and on an empty stream; each leaves the stream as it was.
pub async fn an_append_where_it_is_not_expected_is_a_conflict(fixture: impl Fixture) {
    let (log, stream) = (fixture.log(), fresh_stream());
    let first = log.append(&commit(stream, "1"), Head::EMPTY).await.unwrap();
    let second = log.append(&commit(stream, "2"), first).await.unwrap();
    let elsewhere = Head { position: Position(second.position.0 + 1000), ..second };
    for expected in [Head::EMPTY, first, elsewhere] {
        let error = log.append(&commit(stream, "x"), expected).await.unwrap_err();
        assert!(matches!(error, AppendError::Conflict { stream: of, .. } if of == stream), "{error:?}");
    }
    let other = fresh_stream();
    let error = log.append(&commit(other, "x"), second).await.unwrap_err();
    assert!(matches!(error, AppendError::Conflict { .. }), "{error:?}");
    assert_eq!(log.read(&stream, Version::ZERO).await.unwrap().head, second);
    assert_eq!(log.read(&other, Version::ZERO).await.unwrap().head, Head::EMPTY);
}

/// A claim: many want the same empty stream, one gets it.
pub async fn a_key_that_many_claim_has_one_owner(fixture: impl Fixture) {
    const RACERS: usize = 16;
    const ROUNDS: usize = 20;
    let log = fixture.log();
    for round in 0..ROUNDS {
        let stream = fresh_stream();
        let racers = (0..RACERS).map(|racer| {
            let (log, mine) = (Arc::clone(&log), commit(stream, &format!("{racer}")));
            tokio::spawn(async move {
                append_until_known(&log, &mine, Head::EMPTY).await.map(|head| (mine.id, head))
            })
        });
        let mut winners = Vec::new();
        for racer in racers.collect::<Vec<_>>() {
            winners.extend(racer.await.unwrap());
        }
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        let slice = log.read(&stream, Version::ZERO).await.unwrap();
        let found: Vec<CommitId> = slice.events.iter().map(|event| event.commit).collect();
        assert_eq!((found, slice.head), (vec![winners[0].0], winners[0].1));
    }
}

/// Each writer reads, adds and appends, again when it lost a race; in the end all additions are there.
pub async fn many_writers_of_one_stream_lose_no_update(fixture: impl Fixture) {
    count_together(&fixture.log(), fresh_stream(), 8, 12).await;
}

/// The same when answers get lost: each addition stands there once.
pub async fn a_lost_answer_ends_as_exactly_one_commit(fixture: impl Fixture) {
    let log = fixture.losing_answers(4).await;
    count_together(&log, fresh_stream(), 4, 12).await;
    let (stream, mut head) = (fresh_stream(), Head::EMPTY);
    for number in 0..40 {
        head = append_until_known(&log, &commit(stream, &number.to_string()), head).await.unwrap();
    }
    assert_eq!(fixture.log().read(&stream, Version::ZERO).await.unwrap().head, head);
    assert_eq!(head.version, Version(40));
}

async fn count_together(log: &SharedLog, stream: StreamId, writers: u64, additions: u64) {
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let log = Arc::clone(log);
            tokio::spawn(async move {
                let mut ids = Vec::new();
                while (ids.len() as u64) < additions {
                    let slice = log.read(&stream, Version::ZERO).await.unwrap();
                    let mine = commit(stream, &format!("{}", slice.head.version.0 + 1));
                    if append_until_known(&log, &mine, slice.head).await.is_some() {
                        ids.push(mine.id);
                    }
                }
                ids
            })
        })
        .collect();
    let mut answered = HashSet::new();
    for task in tasks {
        answered.extend(task.await.unwrap());
    }
    let slice = log.read(&stream, Version::ZERO).await.unwrap();
    let found: Vec<CommitId> = slice.events.iter().map(|event| event.commit).collect();
    assert_eq!(found.len() as u64, writers * additions);
    assert_eq!(found.into_iter().collect::<HashSet<_>>(), answered);
    for (event, number) in slice.events.iter().zip(1..) {
        assert_eq!(event.event, taken(&format!("{number}")), "an addition did not see the one before it");
    }
}

/// Given again at once, and by many at a time.
pub async fn the_same_commit_twice_has_the_same_answer(fixture: impl Fixture) {
    let (log, stream) = (fixture.log(), fresh_stream());
    let before = log.append(&commit(stream, "0"), Head::EMPTY).await.unwrap();
    let mine = commit(stream, "1");
    let together = (0..6).map(|_| {
        let (log, mine) = (Arc::clone(&log), mine.clone());
        tokio::spawn(async move { append_until_known(&log, &mine, before).await.unwrap() })
    });
    let mut heads = Vec::new();
    for task in together.collect::<Vec<_>>() {
        heads.push(task.await.unwrap());
    }
    heads.push(log.append(&mine, before).await.unwrap());
    assert!(heads.iter().all(|head| *head == heads[0]), "{heads:?}");
    assert_eq!(log.read(&stream, Version::ZERO).await.unwrap().head, heads[0]);
    assert_eq!(heads[0].version, Version(2));
}

/// Given again when others stand after it, by a process that does not remember it.
pub async fn the_same_commit_twice_has_the_same_answer_after_others_and_after_a_restart(
    mut fixture: impl Fixture,
) {
    let stream = fresh_stream();
    let (first, second) = (commit_of(stream, vec![taken("1"), taken("2")]), commit(stream, "3"));
    let one = fixture.log().append(&first, Head::EMPTY).await.unwrap();
    let two = fixture.log().append(&second, one).await.unwrap();
    assert_eq!(fixture.log().append(&first, Head::EMPTY).await.unwrap(), one);
    fixture.reopen().await;
    assert_eq!(fixture.log().append(&second, one).await.unwrap(), two);
    assert_eq!(fixture.log().append(&first, Head::EMPTY).await.unwrap(), one);
    assert_eq!(fixture.log().read(&stream, Version::ZERO).await.unwrap().head, two);
}

/// The limit is for the whole commit, encoded.
pub async fn the_largest_commit_is_taken_and_a_larger_one_is_refused(fixture: impl Fixture) {
    let (log, stream) = (fixture.log(), fresh_stream());
    let overhead = crate::envelope::encode(&commit(stream, ""), &Head::EMPTY).unwrap().payload.len();
    let largest = "x".repeat(MAX_COMMIT_BYTES - overhead);
    let error = log.append(&commit(stream, &format!("{largest}x")), Head::EMPTY).await.unwrap_err();
    let AppendError::TooLarge { size, most, .. } = error else { panic!("{error:?}") };
    assert_eq!((size, most), (MAX_COMMIT_BYTES + 1, MAX_COMMIT_BYTES));
    let head = log.append(&commit(stream, &largest), Head::EMPTY).await.unwrap();
    let slice = log.read(&stream, Version::ZERO).await.unwrap();
    assert_eq!((slice.head, &slice.events[0].event), (head, &taken(&largest)));
}

/// Promise 4: whoever was answered later stands later; by one, where positions count commits.
pub async fn positions_grow_in_the_order_of_answers(fixture: impl Fixture) {
    let log = fixture.log();
    assert_eq!(log.head().await.unwrap(), Position::ZERO);
    let mut positions = Vec::new();
    for _ in 0..5 {
        let head = log.append(&commit(fresh_stream(), "x"), Head::EMPTY).await.unwrap();
        assert_eq!(log.head().await.unwrap(), head.position);
        assert!(positions.last().is_none_or(|last| *last < head.position), "{positions:?} {head:?}");
        positions.push(head.position);
    }
    let together = (0..40).map(|_| {
        let log = Arc::clone(&log);
        tokio::spawn(
            async move { log.append(&commit(fresh_stream(), "x"), Head::EMPTY).await.unwrap().position },
        )
    });
    let mut later = Vec::new();
    for task in together.collect::<Vec<_>>() {
        later.push(task.await.unwrap());
    }
    later.sort_unstable();
    assert!(positions.last() < later.first(), "{positions:?} {later:?}");
    positions.extend(later);
    assert_eq!(log.head().await.unwrap(), *positions.last().unwrap());
    assert!(positions.windows(2).all(|pair| pair[0] < pair[1]), "one position for two: {positions:?}");
    if fixture.counts_commits() {
        assert_eq!(positions, (1..=45).map(Position).collect::<Vec<_>>());
    }
}
