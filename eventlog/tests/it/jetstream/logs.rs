//! What only the log store on JetStream has to be tried for: lines that fall away on the server, many
//! messages, settings that change.

use std::time::{Duration, Instant};

use chrono::Utc;
use domain::id::{DeploymentId, ServiceId};
use eventlog::jetstream::{ConnectError, JetStreamLogs, Retention, Settings};
use eventlog::logs::{Channel, Limits, LogName, LogStore as _, NewLine};
use futures::StreamExt as _;
use uuid::Uuid;

use crate::nats::{self, Cleanup, one_server};

const LIMIT: Duration = Duration::from_secs(30);

fn application() -> LogName {
    LogName::Application(ServiceId(Uuid::now_v7()))
}

fn line(text: impl Into<String>) -> NewLine {
    NewLine { at: Utc::now(), channel: Channel::Out, origin: "v1.0".to_owned(), text: text.into() }
}

async fn connect(settings: &Settings, retention: Retention) -> JetStreamLogs {
    JetStreamLogs::connect(settings, Limits::default(), retention).await.unwrap()
}

async fn until_empty(logs: &JetStreamLogs, log: LogName) {
    let begin = Instant::now();
    while !logs.read(log, 0, 10).await.unwrap().is_empty() {
        assert!(begin.elapsed() < LIMIT, "nothing falls away");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A follower that waited gets what comes then.
#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_of_an_application_go_on_when_all_of_its_lines_are_too_old() {
    let settings = one_server();
    let _cleanup = Cleanup(settings.clone());
    let short = Retention { age: Duration::from_secs(1), ..Retention::LOGS };
    let (logs, other) = (connect(&settings, short).await, connect(&settings, short).await);
    let log = application();
    logs.append(log, (0..10).map(|number| line(number.to_string())).collect()).await.unwrap();
    let mut follower = logs.follow(log, 10).await;
    until_empty(&logs, log).await;
    other.append(log, vec![line("after")]).await.unwrap();
    let found = tokio::time::timeout(LIMIT, follower.next()).await.unwrap().unwrap().unwrap();
    assert!(found.number > 10 && found.text == "after", "{found:?}");
    logs.append(log, vec![line("next")]).await.unwrap();
    let next = tokio::time::timeout(LIMIT, follower.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(next.number, found.number + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_lines_of_all_fall_away_when_there_are_too_many_bytes() {
    let settings = one_server();
    let _cleanup = Cleanup(settings.clone());
    let small = Retention { bytes: 100_000, ..Retention::LOGS };
    let logs = connect(&settings, small).await;
    let (old, new) = (application(), application());
    logs.append(old, vec![line("x".repeat(10_000))]).await.unwrap();
    for _ in 0..20 {
        logs.append(new, vec![line("x".repeat(10_000))]).await.unwrap();
    }
    assert_eq!(logs.read(old, 0, 10).await.unwrap(), []);
    let kept: Vec<u64> = logs.read(new, 0, 100).await.unwrap().iter().map(|line| line.number).collect();
    assert!(kept.len() >= 5 && kept.len() < 10, "{kept:?}");
    assert!(kept.windows(2).all(|two| two[1] == two[0] + 1) && kept.last() == Some(&20), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_found_by_its_number_among_many_messages() {
    const PIECES: u64 = 150;
    let settings = one_server();
    let _cleanup = Cleanup(settings.clone());
    let logs = connect(&settings, Retention::LOGS).await;
    let (log, beside) = (LogName::Build(DeploymentId(Uuid::now_v7())), application());
    for piece in 0..PIECES {
        let numbers = piece * 20 + 1..=piece * 20 + 20;
        logs.append(log, numbers.map(|number| line(number.to_string())).collect()).await.unwrap();
        for _ in 0..piece % 4 {
            logs.append(beside, vec![line("beside")]).await.unwrap();
        }
    }
    let last = PIECES * 20;
    let reopened = connect(&settings, Retention::LOGS).await;
    for after in [0, 1, 19, 20, 21, 499, 500, 501, 1234, 2111, 2500, last - 41, last - 20, last - 1, last] {
        for limit in [1, 30, 700] {
            let found = reopened.read(log, after, limit).await.unwrap();
            let wanted: Vec<u64> = (after + 1..=last).take(limit).collect();
            assert_eq!(found.iter().map(|line| line.number).collect::<Vec<_>>(), wanted, "after {after}");
            assert!(found.iter().all(|line| line.text == line.number.to_string()));
        }
        let mut follower = reopened.follow(log, after).await;
        for number in (after + 1..=last).take(1500) {
            let line = tokio::time::timeout(LIMIT, follower.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(line.number, number);
        }
    }
    let end = reopened.last(log, 333).await.unwrap();
    assert_eq!((end.len(), end[0].number), (333, last - 332));
}

/// Lines of 16 KB, and more of them than one message takes.
#[tokio::test(flavor = "multi_thread")]
async fn more_lines_than_a_message_takes_are_kept_whole_and_in_order() {
    let settings = one_server();
    let _cleanup = Cleanup(settings.clone());
    let logs = connect(&settings, Retention::LOGS).await;
    let log = LogName::Build(DeploymentId(Uuid::now_v7()));
    // As JSON, each of these characters takes six bytes.
    let lines: Vec<NewLine> =
        (0..60).map(|number| line(format!("{number}{}", "\u{1}".repeat(16_000)))).collect();
    logs.append(log, lines.clone()).await.unwrap();
    logs.append(log, (0..2_500).map(|_| line("x")).collect()).await.unwrap();
    let found = logs.read(log, 0, 10_000).await.unwrap();
    assert_eq!(found.len(), 2_560);
    assert!(found.iter().zip(1..).all(|(line, number)| line.number == number));
    assert!(found.iter().zip(&lines).all(|(found, given)| found.text == given.text));
}

#[tokio::test(flavor = "multi_thread")]
async fn how_much_is_kept_is_set_anew_at_a_start_and_everything_else_is_refused() {
    let settings = one_server();
    let _cleanup = Cleanup(settings.clone());
    connect(&settings, Retention::LOGS).await;
    let other = Retention { age: Duration::from_secs(7200), bytes: 5_000_000 };
    connect(&settings, other).await;
    let context = nats::context(&settings).await;
    let mut stream = context.get_stream(nats::stream(&settings, "LOGS")).await.unwrap();
    let mut config = stream.info().await.unwrap().config.clone();
    assert_eq!((config.max_age, config.max_bytes), (other.age, 5_000_000));
    config.max_messages_per_subject = 7;
    context.update_stream(config).await.unwrap();
    let refused = JetStreamLogs::connect(&settings, Limits::default(), other).await.err().unwrap();
    assert!(
        matches!(refused, ConnectError::Drifted { field: "max_messages_per_subject", .. }),
        "{refused:?}"
    );
}

/// The server reserves what a stream may have.
#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_server_has_is_refused_and_says_what_to_do() {
    let settings = one_server();
    let _cleanup = Cleanup(settings.clone());
    let large = Retention { bytes: 1 << 60, ..Retention::LOGS };
    let refused = JetStreamLogs::connect(&settings, Limits::default(), large).await.err().unwrap();
    assert!(matches!(refused, ConnectError::NoRoom { .. }), "{refused:?}");
    assert!(refused.to_string().contains("max_file_store"), "{refused}");
}
