//! How many appends a log takes in a second, beside what its engine takes when it is used bare, with the same
//! rows or messages; how many items a queue takes; and what the stored form costs.
//!
//!     append_bench envelope
//!     append_bench sqlite DIRECTORY
//!     append_bench nats URL MONITOR        (without a monitor: three replicas)

extern crate switchback_eventlog as eventlog;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream::message::PublishMessage;
use eventlog::commit::Head;
use eventlog::conformance::{commit, fresh_stream};
use eventlog::envelope;
use eventlog::error::BoxError;
use eventlog::jetstream::{JetStreamLog, JetStreamQueue, Settings};
use eventlog::log::SharedLog;
use eventlog::queue::{Item, SharedQueue};
use eventlog::sqlite::{SqliteLog, SqliteQueue};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};
use uuid::Uuid;

/// How long each figure is measured.
const PERIOD: Duration = Duration::from_secs(4);
const TEXT_BYTES: usize = 300;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["envelope"] => measure_envelope(),
        ["sqlite", dir] => measure_sqlite(Path::new(dir)).await,
        ["nats", url] => measure_nats(Settings { replicas: 3, ..settings(url) }).await,
        ["nats", url, monitor] => {
            measure_nats(Settings { monitors: vec![monitor.to_owned()], ..settings(url) }).await
        }
        _ => Err("what is to be measured: envelope, sqlite DIRECTORY, or nats URL [MONITOR]".into()),
    }
}

fn settings(url: &str) -> Settings {
    let prefix = format!("b{}", Uuid::now_v7().simple());
    Settings { prefix, accept_loss_on_power_cut: true, ..Settings::new(url) }
}

fn addresses(urls: &str) -> Result<Vec<async_nats::ServerAddr>, BoxError> {
    Ok(urls.split(',').map(str::parse).collect::<Result<_, _>>()?)
}

fn say(line: &str) -> Result<(), BoxError> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn text() -> String {
    "x".repeat(TEXT_BYTES)
}

/// Runs a task for each writer until the time is over, and answers with how often they came round, per
/// second.
async fn rate<F: Future<Output = Result<(), BoxError>> + Send + 'static>(
    writers: usize,
    mut writer: impl FnMut(usize, Arc<AtomicU64>) -> F,
) -> Result<f64, BoxError> {
    let done = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..writers).map(|number| tokio::spawn(writer(number, Arc::clone(&done)))).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (begin, before) = (Instant::now(), done.load(Ordering::Relaxed));
    tokio::time::sleep(PERIOD).await;
    let rate = (done.load(Ordering::Relaxed) - before) as f64 / begin.elapsed().as_secs_f64();
    for task in tasks {
        if task.is_finished() {
            task.await??;
        } else {
            task.abort();
        }
    }
    Ok(rate)
}

async fn log_rate(log: &SharedLog, writers: usize) -> Result<f64, BoxError> {
    rate(writers, |_, done| {
        let log = Arc::clone(log);
        async move {
            let (stream, mut head) = (fresh_stream(), Head::EMPTY);
            loop {
                head = log.append(&commit(stream, &text()), head).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
    .await
}

async fn queue_rate(queue: &SharedQueue, workers: usize) -> Result<f64, BoxError> {
    rate(workers, |number, done| {
        let queue = Arc::clone(queue);
        async move {
            for item in 0_u64.. {
                let id = format!("{number}/{item}");
                let payload = serde_json::json!({ "deployment": id });
                let item = Item { id, lane: "build".to_owned(), payload, not_before: None };
                queue.enqueue(&item).await?;
                let lease = queue.lease("build", Duration::from_secs(30)).await?;
                queue.finish(&lease).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }
    })
    .await
}

fn measure_envelope() -> Result<(), BoxError> {
    const ROUNDS: u32 = 100_000;
    let commit = commit(fresh_stream(), &text());
    let begin = Instant::now();
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        bytes += envelope::encode(&commit, &Head::EMPTY)?.payload.len();
    }
    let encode = begin.elapsed() / ROUNDS;
    let stored = envelope::encode(&commit, &Head::EMPTY)?;
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        bytes += envelope::decode(domain::stream::Position(1), stored.payload.as_bytes(), None)?.events.len();
    }
    let decode = begin.elapsed() / ROUNDS;
    let size = stored.payload.len();
    say(&format!("a commit of one event, {size} bytes: encode {encode:?}, decode {decode:?} ({bytes})"))
}

async fn measure_sqlite(dir: &Path) -> Result<(), BoxError> {
    say("SQLite        | bare group commit/s | log/s | ratio")?;
    for writers in [1, 16, 64] {
        let bare = tempfile::tempdir_in(dir)?;
        let bare = bare_rate(&bare.path().join("bare.db"), writers).await?;
        let place = tempfile::tempdir_in(dir)?;
        let log = Arc::new(SqliteLog::open(place.path()).await?);
        let rate = log_rate(&(Arc::clone(&log) as SharedLog), writers).await?;
        log.close().await;
        say(&format!("{writers:>3} writers   | {bare:>19.0} | {rate:>5.0} | {:.2}", rate / bare))?;
    }
    for workers in [1, 16, 64] {
        let place = tempfile::tempdir_in(dir)?;
        let queue = Arc::new(SqliteQueue::open(place.path()).await?);
        let rate = queue_rate(&(Arc::clone(&queue) as SharedQueue), workers).await?;
        queue.close().await;
        say(&format!("{workers:>3} workers: {rate:.0} items/s added, leased and finished"))?;
    }
    Ok(())
}

/// The same rows as the log's, in transactions of as many as there are writers, one statement for each row.
async fn bare_rate(file: &Path, rows: usize) -> Result<f64, BoxError> {
    let mut connection = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
        .connect()
        .await?;
    sqlx::raw_sql(include_str!("../src/sqlite/log.sql")).execute(&mut connection).await?;
    let payload = envelope::encode(&commit(fresh_stream(), &text()), &Head::EMPTY)?.payload;
    let streams: Vec<_> = (0..rows).map(|_| fresh_stream()).collect();
    let (begin, mut position) = (Instant::now(), 0_i64);
    while begin.elapsed() < PERIOD {
        let mut transaction = connection.begin().await?;
        for stream in &streams {
            position += 1;
            insert(&mut transaction, position, stream, &payload).await?;
        }
        transaction.commit().await?;
    }
    let rate = position as f64 / begin.elapsed().as_secs_f64();
    connection.close().await?;
    Ok(rate)
}

async fn insert(
    connection: &mut SqliteConnection,
    position: i64,
    stream: &domain::stream::StreamId,
    payload: &str,
) -> Result<(), BoxError> {
    sqlx::query("INSERT INTO commits VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(position)
        .bind(stream.organization.0.as_bytes().to_vec())
        .bind(stream.kind.as_str())
        .bind(stream.id.as_bytes().to_vec())
        .bind(position)
        .bind(Uuid::now_v7().as_bytes().to_vec())
        .bind(vec![7_u8; 32])
        .bind(payload)
        .execute(connection)
        .await?;
    Ok(())
}

async fn measure_nats(settings: Settings) -> Result<(), BoxError> {
    let log: SharedLog = Arc::new(JetStreamLog::connect(&settings).await?);
    say("JetStream     | bare publishes/s | log/s | ratio")?;
    for writers in [1, 16, 64, 256] {
        let bare = publish_rate(&settings, writers).await?;
        let rate = log_rate(&log, writers).await?;
        say(&format!("{writers:>3} writers   | {bare:>16.0} | {rate:>5.0} | {:.2}", rate / bare))?;
    }
    let queue: SharedQueue = Arc::new(JetStreamQueue::connect(&settings).await?);
    for workers in [1, 16, 64] {
        let rate = queue_rate(&queue, workers).await?;
        say(&format!("{workers:>3} workers: {rate:.0} items/s added, leased and finished"))?;
    }
    let mut report = String::new();
    for events in [1, 20, 200] {
        let (stream, mut head) = (fresh_stream(), Head::EMPTY);
        for _ in 0..events {
            head = log.append(&commit(stream, &text()), head).await?;
        }
        let begin = Instant::now();
        for _ in 0..200 {
            log.read(&stream, domain::stream::Version::ZERO).await?;
        }
        write!(report, "{events}: {:?}  ", begin.elapsed() / 200)?;
    }
    say(&format!("read a stream of so many commits  {report}"))?;
    let context = async_nats::jetstream::new(async_nats::connect(addresses(&settings.urls)?).await?);
    for of in ["EVENTS", "WORK", "QUEUE"] {
        context.delete_stream(format!("{}_{of}", settings.prefix.to_ascii_uppercase())).await?;
    }
    Ok(())
}

/// The same messages as the log's, with the client library alone.
async fn publish_rate(settings: &Settings, writers: usize) -> Result<f64, BoxError> {
    let context = async_nats::jetstream::new(async_nats::connect(addresses(&settings.urls)?).await?);
    let name = format!("{}_EVENTS", settings.prefix.to_ascii_uppercase());
    let payload: bytes::Bytes =
        envelope::encode(&commit(fresh_stream(), &text()), &Head::EMPTY)?.payload.into();
    // Beside the log's own subjects, so that the log finds nothing foreign on its own.
    rate(writers, |_, done| {
        let (context, name, payload) = (context.clone(), name.clone(), payload.clone());
        let subject = format!("{}.evt.bare.bare.{}", settings.prefix, Uuid::now_v7());
        async move {
            let mut last = 0;
            loop {
                let message = PublishMessage::build()
                    .payload(payload.clone())
                    .message_id(Uuid::now_v7().to_string())
                    .expected_stream(&name)
                    .expected_last_subject_sequence(last);
                // A cluster says 10164 to a writer that is alone, too: what it wrote before is on its way.
                if let Ok(ack) = context.send_publish(subject.clone(), message).await?.await {
                    last = ack.sequence;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    })
    .await
}
