//! The event log, the work queue, the log store and the read models.

use std::sync::Arc;

use eventlog::files::FileLogs;
use eventlog::jetstream::{self, ConnectError, JetStreamLog, JetStreamQueue};
use eventlog::log::SharedLog;
use eventlog::logs::{Limits, SharedLogs};
use eventlog::queue::SharedQueue;
use eventlog::sqlite::{SqliteLog, SqliteQueue};
use futures::FutureExt;
use gateway::engine::{Engine, Probe};
use projections::store::{Options, ReadStore};

use super::{ComposeError, shown};
use crate::args::Up;
use crate::home::Home;

/// What the platform stands on.
pub(crate) struct Engines {
    /// The event log.
    pub(crate) log: SharedLog,
    /// The work queue.
    pub(crate) queue: SharedQueue,
    /// The log store.
    pub(crate) logs: SharedLogs,
    /// The read models.
    pub(crate) reads: ReadStore,
    log_kind: &'static str,
    /// The embedded log and queue, which are tidied up when they are closed.
    files: Option<(Arc<SqliteLog>, Arc<SqliteQueue>)>,
}

/// The log, its queue, what they are, and what of them has to be closed.
type Log = (SharedLog, SharedQueue, &'static str, Option<(Arc<SqliteLog>, Arc<SqliteQueue>)>);

/// Opens what the settings name.
pub(crate) async fn engines(args: &Up, home: &Home) -> Result<Engines, ComposeError> {
    let (log, queue, log_kind, files) = log(args, home).await?;
    let log = workers::measure::measured(log);
    let logs: SharedLogs = Arc::new(FileLogs::open(&home.join("logs"), Limits::default())?);
    let reads = reads(args, home).await?;
    Ok(Engines { log, queue, logs, reads, log_kind, files })
}

async fn log(args: &Up, home: &Home) -> Result<Log, ComposeError> {
    match &args.log {
        None => {
            let directory = home.join("log");
            let log = Arc::new(SqliteLog::open(&directory).await?);
            let queue = Arc::new(SqliteQueue::open(&directory).await?);
            let files = (Arc::clone(&log), Arc::clone(&queue));
            Ok((log, queue, "sqlite", Some(files)))
        }
        Some(url) if matches!(url.scheme(), "nats" | "tls") => {
            let settings = jetstream::Settings {
                accept_loss_on_power_cut: args.accept_lax_log,
                monitors: args.log_monitor.iter().map(ToString::to_string).collect(),
                replicas: args.log_replicas,
                ..jetstream::Settings::new(url.as_str())
            };
            let refused = |source| refused(shown(url), source);
            let log = JetStreamLog::connect(&settings).await.map_err(refused)?;
            let queue = JetStreamQueue::connect(&settings).await.map_err(refused)?;
            Ok((Arc::new(log), Arc::new(queue), "jetstream", None))
        }
        Some(url) => Err(ComposeError::Unknown {
            flag: "--log",
            url: shown(url),
            known: "leave it out for a file in the data directory, or give nats://host:4222",
        }),
    }
}

fn refused(url: String, source: ConnectError) -> ComposeError {
    let is_lossy = matches!(source, ConnectError::LosesOnPowerCut { .. } | ConnectError::NotProven);
    let source = source.into();
    if is_lossy {
        ComposeError::Lossy { url, source }
    } else {
        ComposeError::Server { flag: "--log", url, source }
    }
}

async fn reads(args: &Up, home: &Home) -> Result<ReadStore, ComposeError> {
    let reads = match &args.read {
        None => ReadStore::sqlite(&home.join("read.db")).await?,
        Some(url) if matches!(url.scheme(), "postgres" | "postgresql") => {
            let refused = |source: projections::store::InvalidUrl| ComposeError::Server {
                flag: "--read",
                url: shown(url),
                source: source.into(),
            };
            ReadStore::postgres(url.as_str(), Options::default()).map_err(refused)?
        }
        Some(url) => {
            let known =
                "leave it out for a file in the data directory, or give postgres://user@host/database";
            return Err(ComposeError::Unknown { flag: "--read", url: shown(url), known });
        }
    };
    Ok(reads)
}

impl Engines {
    /// Ask each of them whether it is there.
    pub(crate) fn probes(&self) -> Arc<[Engine]> {
        let log = Arc::clone(&self.log);
        let ask_log: Probe = Arc::new(move || {
            let log = Arc::clone(&log);
            async move { log.head().await.map(|_| ()).map_err(|error| in_words(&error)) }.boxed()
        });
        let reads = self.reads.clone();
        let ask_reads: Probe = Arc::new(move || {
            let reads = reads.clone();
            async move { reads.ping().await.map_err(|error| in_words(&error)) }.boxed()
        });
        let queue = Arc::clone(&self.queue);
        let ask_queue: Probe = Arc::new(move || {
            let queue = Arc::clone(&queue);
            async move { queue.routed().await.map(|_| ()).map_err(|error| in_words(&error)) }.boxed()
        });
        Arc::new([
            Engine { name: "log", kind: self.log_kind, probe: ask_log },
            Engine { name: "queue", kind: self.log_kind, probe: ask_queue },
            Engine { name: "read", kind: self.reads.engine(), probe: ask_reads },
        ])
    }

    /// Closes what has to be closed.
    pub(crate) async fn close(&self) {
        self.reads.close().await;
        if let Some((log, queue)) = &self.files {
            log.close().await;
            queue.close().await;
        }
    }
}

/// An error and what led to it, in one line.
fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words.push_str(": ");
        words.push_str(&error.to_string());
        source = error.source();
    }
    words
}
