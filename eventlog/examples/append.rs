//! Appends to a log as fast as it answers, until it is killed, and says what was acknowledged: a line for
//! each commit, with its stream and its version. Tests kill it, cut its power and break its disk, and then
//! look whether every line is true.
//!
//!     append DIRECTORY|nats://HOST:PORT WRITERS

extern crate switchback_eventlog as eventlog;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use eventlog::commit::Head;
use eventlog::conformance::{commit, fresh_stream};
use eventlog::error::{AppendError, BoxError};
use eventlog::jetstream::{JetStreamLog, Settings};
use eventlog::log::SharedLog;
use eventlog::sqlite::SqliteLog;

/// After so many failures of one append, a log is given up.
const TRIES: u32 = 20;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            // Whoever reads it may have gone.
            let _ = writeln!(std::io::stderr(), "append: {err}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let (Some(place), Some(writers)) = (arguments.next(), arguments.next()) else {
        return Err("it takes a place and how many writers there are".into());
    };
    let writers: u32 = writers.parse()?;
    if place.starts_with("nats://") {
        // Whoever starts us knows whether the server syncs.
        let settings = Settings { accept_loss_on_power_cut: true, ..Settings::new(&place) };
        return write_together(Arc::new(JetStreamLog::connect(&settings).await?), writers).await;
    }
    let log = Arc::new(SqliteLog::open(Path::new(&place)).await?);
    tokio::select! {
        ended = write_together(Arc::clone(&log) as SharedLog, writers) => ended,
        reason = log.broken() => Err(format!("the log is broken: {reason}").into()),
    }
}

async fn write_together(log: SharedLog, writers: u32) -> Result<(), BoxError> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..writers {
        tasks.spawn(write(Arc::clone(&log)));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn write(log: SharedLog) -> Result<(), BoxError> {
    let (stream, mut head) = (fresh_stream(), Head::EMPTY);
    loop {
        head = append(&log, &commit(stream, &"x".repeat(300)), head).await?;
        let line = format!("{stream} {}\n", head.version);
        std::io::stdout().write_all(line.as_bytes())?;
    }
}

async fn append(log: &SharedLog, commit: &eventlog::commit::Commit, head: Head) -> Result<Head, BoxError> {
    let mut tries = 0;
    loop {
        match log.append(commit, head).await {
            Ok(head) => return Ok(head),
            Err(AppendError::Unknown { .. } | AppendError::Unavailable { .. }) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(err) => return Err(err.into()),
        }
    }
}
