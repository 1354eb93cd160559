//! How figures are taken and told, and the engines used bare: what the logs are measured beside. The bench of
//! the whole platform includes this file too.

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
use eventlog::jetstream::Settings;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};
use uuid::Uuid;

/// How long each figure is measured.
const PERIOD: Duration = Duration::from_secs(4);
const WARM_UP: Duration = Duration::from_millis(500);
const TEXT_BYTES: usize = 300;

pub(crate) fn say(line: &str) -> Result<(), BoxError> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// Tells `cargo xtask bench` a figure beside another: per second, with the ratio that is aimed at.
pub(crate) fn tell_beside(
    what: &str,
    ours: f64,
    beside: (&str, f64),
    at_least: Option<f64>,
) -> Result<(), BoxError> {
    let figure = serde_json::json!({
        "what": what, "unit": "per s", "ours": ours, "beside": beside.0, "theirs": beside.1,
        "goal": at_least.map(|ratio| serde_json::json!({ "ratio_at_least": ratio })),
    });
    say(&format!("FIGURE {figure}"))
}

/// Settings of a log of its own on a server, of which the caller knows whether it syncs.
pub(crate) fn settings(url: &str) -> Settings {
    let prefix = format!("b{}", Uuid::now_v7().simple());
    Settings { prefix, accept_loss_on_power_cut: true, ..Settings::new(url) }
}

pub(crate) fn addresses(urls: &str) -> Result<Vec<async_nats::ServerAddr>, BoxError> {
    Ok(urls.split(',').map(str::parse).collect::<Result<_, _>>()?)
}

/// What an event of the usual size carries.
pub(crate) fn text() -> String {
    "x".repeat(TEXT_BYTES)
}

/// Runs a task for each writer until the time is over, and answers with how often they came round, per
/// second.
pub(crate) async fn rate<F: Future<Output = Result<(), BoxError>> + Send + 'static>(
    writers: usize,
    mut writer: impl FnMut(usize, Arc<AtomicU64>) -> F,
) -> Result<f64, BoxError> {
    let done = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..writers).map(|number| tokio::spawn(writer(number, Arc::clone(&done)))).collect();
    tokio::time::sleep(WARM_UP).await;
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

/// `SQLite` used bare: the same rows as the log's, in transactions of as many as there are writers, one
/// statement for each row.
pub(crate) async fn bare_sqlite(file: &Path, rows: usize) -> Result<f64, BoxError> {
    let mut connection = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
        .connect()
        .await?;
    sqlx::raw_sql(include_str!("../../src/sqlite/log.sql")).execute(&mut connection).await?;
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

/// `JetStream` used bare: the same messages as the log's in its stream, with the client library alone.
pub(crate) async fn bare_jetstream(settings: &Settings, writers: usize) -> Result<f64, BoxError> {
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

/// Removes the streams of a log and its queue from a server.
pub(crate) async fn remove_streams(settings: &Settings) -> Result<(), BoxError> {
    let context = async_nats::jetstream::new(async_nats::connect(addresses(&settings.urls)?).await?);
    for of in ["EVENTS", "WORK", "QUEUE"] {
        // Not all of them are made by everybody.
        let _ = context.delete_stream(format!("{}_{of}", settings.prefix.to_ascii_uppercase())).await;
    }
    Ok(())
}
