//! What every log store promises.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::id::{DeploymentId, ServiceId};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use uuid::Uuid;

use crate::error::StoreError;
use crate::logs::{Channel, Limits, Line, LogName, MAX_LINE_BYTES, NewLine, SharedLogs};

/// Small enough for a test to reach.
pub const LIMITS: Limits =
    Limits { build_bytes: 40_000, build_lines: 300, segment_bytes: 4_000, segments: 3 };

/// A store to be tried, empty at first, with [`LIMITS`].
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The store.
    fn logs(&self) -> SharedLogs;

    /// Ends every process that has the store open, as far as the adapter can have it, and opens it again.
    async fn reopen(&mut self);
}

/// Makes a test of each case, for the fixture that the expression gives (it may await).
#[macro_export]
macro_rules! logs_suite {
    ($fixture:expr) => {
        $crate::cases!(
            logs,
            $fixture,
            lines_read_back_as_they_were_printed,
            a_log_that_nobody_wrote_is_empty,
            lines_read_from_any_number,
            the_last_lines_are_read,
            numbers_go_on_after_a_restart,
            a_line_that_is_too_long_is_cut,
            a_build_log_is_cut_at_its_lines,
            a_build_log_is_cut_at_its_bytes_also_after_a_restart,
            an_application_log_loses_its_oldest_lines,
            a_follower_gets_what_there_is_and_then_what_comes,
            a_follower_of_a_log_that_is_not_there_yet_waits,
            a_slow_follower_gets_what_is_still_kept,
            many_writers_lose_no_line,
            only_lines_that_are_new_are_kept,
            what_is_new_is_known_by_origin_and_channel_also_after_a_restart,
            readers_that_read_the_same_at_once_keep_every_line_once,
            a_removed_log_begins_anew
        );
    };
}

/// A test that waits longer than this for a line fails.
const LIMIT: Duration = Duration::from_secs(30);

type Lines = BoxStream<'static, Result<Line, StoreError>>;

fn build() -> LogName {
    LogName::Build(DeploymentId(Uuid::now_v7()))
}

fn application() -> LogName {
    LogName::Application(ServiceId(Uuid::now_v7()))
}

fn line(text: impl Into<String>) -> NewLine {
    NewLine { at: DateTime::UNIX_EPOCH, channel: Channel::Out, origin: "build".to_owned(), text: text.into() }
}

fn numbered(range: std::ops::RangeInclusive<u64>) -> Vec<NewLine> {
    range.map(|number| line(number.to_string())).collect()
}

fn numbers(lines: &[Line]) -> Vec<u64> {
    lines.iter().map(|line| line.number).collect()
}

async fn next(lines: &mut Lines) -> Line {
    let line = tokio::time::timeout(LIMIT, lines.next()).await;
    line.expect("no line came").expect("the log ended").unwrap()
}

/// Whatever is in them.
pub async fn lines_read_back_as_they_were_printed(fixture: impl Fixture) {
    let (logs, log) = (fixture.logs(), build());
    let at = Utc::now();
    let channels = [Channel::Out, Channel::Err, Channel::Platform];
    let texts = ["", "\u{1b}[31mred\u{1b}[0m \u{1F600} \"\\", "two\nlines\r\0"];
    let given: Vec<NewLine> = channels
        .into_iter()
        .zip(texts)
        .map(|(channel, text)| NewLine { at, channel, origin: "v3.0".to_owned(), text: text.to_owned() })
        .collect();
    logs.append(log, given.clone()).await.unwrap();
    let found = logs.read(log, 0, 10).await.unwrap();
    let wanted = given.into_iter().zip(1..).map(|(given, number)| {
        let NewLine { at, channel, origin, text } = given;
        Line { number, at, channel, origin, text }
    });
    assert_eq!(found, wanted.collect::<Vec<_>>());
}

/// Two logs with the same id are two logs.
pub async fn a_log_that_nobody_wrote_is_empty(fixture: impl Fixture) {
    let (logs, id) = (fixture.logs(), Uuid::now_v7());
    logs.append(LogName::Build(DeploymentId(id)), numbered(1..=3)).await.unwrap();
    let other = LogName::Application(ServiceId(id));
    assert_eq!(logs.read(other, 0, 10).await.unwrap(), []);
    assert_eq!(logs.last(other, 10).await.unwrap(), []);
}

/// At most as many as are asked for.
pub async fn lines_read_from_any_number(fixture: impl Fixture) {
    let (logs, log) = (fixture.logs(), build());
    logs.append(log, numbered(1..=200)).await.unwrap();
    for (after, limit) in [(0, 3), (0, 1000), (57, 100), (199, 5), (200, 5), (999, 5)] {
        let found = logs.read(log, after, limit).await.unwrap();
        let wanted: Vec<u64> = (after + 1..=200).take(limit).collect();
        assert_eq!(numbers(&found), wanted, "after {after}, at most {limit}");
        assert!(found.iter().all(|line| line.text == line.number.to_string()));
    }
}

/// Oldest first, also when there are fewer.
pub async fn the_last_lines_are_read(fixture: impl Fixture) {
    let (logs, log) = (fixture.logs(), application());
    for count in 0..=90 {
        let last = logs.last(log, 4).await.unwrap();
        assert_eq!(numbers(&last), (1..=count).skip((count as usize).saturating_sub(4)).collect::<Vec<_>>());
        logs.append(log, vec![line("x".repeat(60))]).await.unwrap();
    }
    assert_eq!(logs.last(log, 0).await.unwrap(), []);
}

/// Without a gap.
pub async fn numbers_go_on_after_a_restart(mut fixture: impl Fixture) {
    let log = application();
    for part in 0..5 {
        fixture.logs().append(log, numbered(part * 10 + 1..=part * 10 + 10)).await.unwrap();
        fixture.reopen().await;
    }
    let found = fixture.logs().read(log, 0, 100).await.unwrap();
    assert_eq!(numbers(&found), (1..=50).collect::<Vec<_>>());
    assert!(found.iter().all(|line| line.text == line.number.to_string()));
}

/// And says so.
pub async fn a_line_that_is_too_long_is_cut(fixture: impl Fixture) {
    let (logs, log) = (fixture.logs(), build());
    let texts = ["x".repeat(MAX_LINE_BYTES), "ä".repeat(MAX_LINE_BYTES)];
    logs.append(log, texts.clone().map(line).to_vec()).await.unwrap();
    let found = logs.read(log, 0, 10).await.unwrap();
    assert_eq!(found[0].text, texts[0]);
    assert!(found[1].text.len() <= MAX_LINE_BYTES, "{}", found[1].text.len());
    assert!(found[1].text.ends_with("… (line cut)"));
}

fn must_be_cut(found: &[Line]) {
    let (last, lines) = found.split_last().unwrap();
    assert_eq!(
        (last.channel, last.text.as_str()),
        (Channel::Platform, "… log limit reached, the rest is not kept")
    );
    assert!(lines.iter().all(|line| line.channel == Channel::Out));
    assert_eq!(numbers(found), (1..=found.len() as u64).collect::<Vec<_>>());
}

/// One line says so, what comes after is dropped.
pub async fn a_build_log_is_cut_at_its_lines(fixture: impl Fixture) {
    let (logs, log) = (fixture.logs(), build());
    logs.append(log, numbered(1..=LIMITS.build_lines)).await.unwrap();
    let found = logs.read(log, 0, 1000).await.unwrap();
    assert_eq!((found.len() as u64, found.last().unwrap().channel), (LIMITS.build_lines, Channel::Out));
    for _ in 0..3 {
        logs.append(log, numbered(1..=7)).await.unwrap();
    }
    let found = logs.read(log, 0, 1000).await.unwrap();
    assert_eq!(found.len() as u64, LIMITS.build_lines + 1);
    must_be_cut(&found);
}

/// The cut stays.
pub async fn a_build_log_is_cut_at_its_bytes_also_after_a_restart(mut fixture: impl Fixture) {
    let log = build();
    for _ in 0..3 {
        let lines = (0..30).map(|_| line("x".repeat(1000))).collect();
        fixture.logs().append(log, lines).await.unwrap();
        fixture.reopen().await;
    }
    let found = fixture.logs().read(log, 0, 1000).await.unwrap();
    assert!(found.len() > 30 && found.len() <= 41, "{}", found.len());
    must_be_cut(&found);
}

/// The numbers of the others stay, and no more is kept than the limits say.
pub async fn an_application_log_loses_its_oldest_lines(mut fixture: impl Fixture) {
    const ALL: u64 = 600;
    let log = application();
    for number in 1..=ALL {
        fixture.logs().append(log, vec![line(format!("{number:0100}"))]).await.unwrap();
        if number == ALL / 2 {
            fixture.reopen().await;
        }
    }
    let found = fixture.logs().read(log, 0, 1000).await.unwrap();
    let first = found[0].number;
    assert_eq!(numbers(&found), (first..=ALL).collect::<Vec<_>>());
    let bytes = 100 * found.len() as u64;
    let most = LIMITS.segment_bytes * LIMITS.segments as u64;
    assert!(bytes > most / 4 && bytes <= most + 1000, "{bytes} of {most}");
    assert_eq!(numbers(&fixture.logs().last(log, 5).await.unwrap()), (ALL - 4..=ALL).collect::<Vec<_>>());
}

/// No gap and no repeat at the seam.
pub async fn a_follower_gets_what_there_is_and_then_what_comes(fixture: impl Fixture) {
    let (logs, log) = (fixture.logs(), application());
    logs.append(log, numbered(1..=5)).await.unwrap();
    let mut followers = Vec::new();
    for after in [0, 3, 5] {
        followers.push((after, logs.follow(log, after).await));
    }
    let writer = {
        let logs = fixture.logs();
        tokio::spawn(async move {
            for number in 6..=60 {
                logs.append(log, numbered(number..=number)).await.unwrap();
            }
        })
    };
    for (after, follower) in &mut followers {
        for number in *after + 1..=60 {
            let line = next(follower).await;
            assert_eq!((line.number, line.text), (number, number.to_string()));
        }
    }
    writer.await.unwrap();
}

/// `logs -f` before the first line.
pub async fn a_follower_of_a_log_that_is_not_there_yet_waits(fixture: impl Fixture) {
    let (logs, log) = (fixture.logs(), build());
    let mut follower = logs.follow(log, 0).await;
    let quiet = tokio::time::timeout(Duration::from_millis(50), follower.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    logs.append(log, numbered(1..=1)).await.unwrap();
    assert_eq!(next(&mut follower).await.number, 1);
}

/// Numbers show what it missed.
pub async fn a_slow_follower_gets_what_is_still_kept(fixture: impl Fixture) {
    let (logs, log) = (fixture.logs(), application());
    logs.append(log, numbered(1..=1)).await.unwrap();
    let mut follower = logs.follow(log, 0).await;
    assert_eq!(next(&mut follower).await.number, 1);
    for number in 2..=600 {
        logs.append(log, vec![line(format!("{number:0100}"))]).await.unwrap();
    }
    let first = next(&mut follower).await.number;
    assert!(first > 2, "{first}");
    for number in first + 1..=600 {
        assert_eq!(next(&mut follower).await.number, number);
    }
}

/// A line is whole, and numbered once.
pub async fn many_writers_lose_no_line(fixture: impl Fixture) {
    let (logs, log) = (fixture.logs(), application());
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let logs = fixture.logs();
            tokio::spawn(async move {
                for number in 0..15 {
                    logs.append(log, vec![line(format!("{writer}/{number}"))]).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let found = logs.read(log, 0, 1000).await.unwrap();
    assert_eq!(numbers(&found), (1..=60).collect::<Vec<_>>());
    for writer in 0..4 {
        let of_writer = found.iter().filter(|line| line.text.starts_with(&format!("{writer}/")));
        let wanted = (0..15).map(|number| format!("{writer}/{number}"));
        assert!(of_writer.map(|line| line.text.clone()).eq(wanted));
    }
}

fn at(second: i64, channel: Channel, origin: &str) -> NewLine {
    let at = DateTime::from_timestamp(second, 7).unwrap();
    NewLine { at, channel, origin: origin.to_owned(), text: format!("{origin} {second}") }
}

/// The reader begins from the beginning each time.
pub async fn only_lines_that_are_new_are_kept(fixture: impl Fixture) {
    let (logs, log) = (fixture.logs(), application());
    for last in [3, 1, 10, 10] {
        let lines = (1..=last).map(|second| at(second, Channel::Out, "v1.0")).collect();
        logs.append_new(log, lines).await.unwrap();
    }
    // Of one moment, and given together.
    logs.append_new(log, vec![at(11, Channel::Out, "v1.0"); 3]).await.unwrap();
    logs.append_new(log, vec![at(11, Channel::Out, "v1.0"); 3]).await.unwrap();
    let found = logs.read(log, 0, 100).await.unwrap();
    let seconds: Vec<_> = found.iter().map(|line| line.at.timestamp()).collect();
    assert_eq!(seconds, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 11]);
    assert_eq!(numbers(&found), (1..=13).collect::<Vec<_>>());
}

/// Whoever stored it, and however.
pub async fn what_is_new_is_known_by_origin_and_channel_also_after_a_restart(mut fixture: impl Fixture) {
    let log = application();
    fixture.logs().append(log, vec![at(5, Channel::Out, "v1.0")]).await.unwrap();
    fixture.logs().append_new(log, vec![at(4, Channel::Err, "v1.0")]).await.unwrap();
    fixture.reopen().await;
    let lines = |second| {
        let of_both = |origin| [at(second, Channel::Out, origin), at(second, Channel::Err, origin)];
        ["v1.0", "v1.1"].map(of_both).concat()
    };
    for second in [4, 5, 5, 6, 3] {
        fixture.logs().append_new(log, lines(second)).await.unwrap();
    }
    let found = fixture.logs().read(log, 0, 100).await.unwrap();
    let of = |origin: &str, channel| -> Vec<i64> {
        let of_it = found.iter().filter(|line| line.origin == origin && line.channel == channel);
        of_it.map(|line| line.at.timestamp()).collect()
    };
    assert_eq!(of("v1.0", Channel::Out), [5, 6]);
    assert_eq!(of("v1.0", Channel::Err), [4, 5, 6]);
    assert_eq!(of("v1.1", Channel::Out), [4, 5, 6]);
}

/// As when one takes over while the other has not noticed yet.
pub async fn readers_that_read_the_same_at_once_keep_every_line_once(fixture: impl Fixture) {
    const ALL: i64 = 60;
    let log = application();
    let readers: Vec<_> = (0..4)
        .map(|reader| {
            let logs = fixture.logs();
            tokio::spawn(async move {
                for begin in (0..ALL).step_by(reader + 3) {
                    let lines = (0..=(begin + 6).min(ALL - 1)).map(|second| at(second, Channel::Out, "v1.0"));
                    logs.append_new(log, lines.collect()).await.unwrap();
                }
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    let found = fixture.logs().read(log, 0, 1000).await.unwrap();
    let seconds: Vec<_> = found.iter().map(|line| line.at.timestamp()).collect();
    assert_eq!(seconds, (0..ALL).collect::<Vec<_>>());
    assert_eq!(numbers(&found), (1..=ALL as u64).collect::<Vec<_>>());
}

/// Whoever followed it is told.
pub async fn a_removed_log_begins_anew(fixture: impl Fixture) {
    let (logs, log) = (fixture.logs(), build());
    logs.append(log, numbered(1..=3)).await.unwrap();
    let mut follower = logs.follow(log, 3).await;
    logs.remove(log).await.unwrap();
    assert_eq!(logs.read(log, 0, 10).await.unwrap(), []);
    let ended = tokio::time::timeout(LIMIT, follower.next()).await.expect("the follower was not told");
    assert!(ended.is_none(), "{ended:?}");
    logs.append(log, numbered(1..=2)).await.unwrap();
    assert_eq!(numbers(&logs.read(log, 0, 10).await.unwrap()), [1, 2]);
    logs.remove(log).await.unwrap();
    logs.remove(log).await.unwrap();
}
