//! How many appends a log takes in a second, beside what its engine takes when it is used bare, with the same
//! rows or messages; how many items a queue takes; and what the stored form costs.
//!
//!     append_bench envelope
//!     append_bench sqlite DIRECTORY
//!     append_bench nats NAME URL [MONITOR]     (without a monitor: three replicas)

extern crate switchback_eventlog as eventlog;

mod measure;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use eventlog::commit::Head;
use eventlog::conformance::{commit, fresh_stream};
use eventlog::envelope;
use eventlog::error::BoxError;
use eventlog::jetstream::{JetStreamLog, JetStreamQueue, Settings};
use eventlog::log::SharedLog;
use eventlog::queue::{Item, SharedQueue};
use eventlog::sqlite::{SqliteLog, SqliteQueue};

use crate::measure::{bare_jetstream, bare_sqlite, rate, remove_streams, say, settings, tell_beside, text};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["envelope"] => measure_envelope(),
        ["sqlite", dir] => measure_sqlite(Path::new(dir)).await,
        ["nats", name, url] => measure_nats(name, Settings { replicas: 3, ..settings(url) }).await,
        ["nats", name, url, monitor] => {
            measure_nats(name, Settings { monitors: vec![monitor.to_owned()], ..settings(url) }).await
        }
        _ => Err("what is to be measured: envelope, sqlite DIRECTORY, or nats NAME URL [MONITOR]".into()),
    }
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
    for writers in [1, 16, 64] {
        let bare = tempfile::tempdir_in(dir)?;
        let bare = bare_sqlite(&bare.path().join("bare.db"), writers).await?;
        let place = tempfile::tempdir_in(dir)?;
        let log = Arc::new(SqliteLog::open(place.path()).await?);
        let rate = log_rate(&(Arc::clone(&log) as SharedLog), writers).await?;
        log.close().await;
        let goal = (writers == 64).then_some(0.4);
        let what = format!("appends to the SQLite log, {writers} at once");
        tell_beside(&what, rate, ("a bare group-commit loop", bare), goal)?;
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

async fn measure_nats(name: &str, settings: Settings) -> Result<(), BoxError> {
    let log: SharedLog = Arc::new(JetStreamLog::connect(&settings).await?);
    for writers in [1, 16, 64, 256] {
        let bare = bare_jetstream(&settings, writers).await?;
        let rate = log_rate(&log, writers).await?;
        let what = format!("appends to the JetStream log ({name}), {writers} at once");
        tell_beside(&what, rate, ("the raw client's publishes", bare), None)?;
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
    remove_streams(&settings).await
}
