//! The event log, the work queue, the log store and the read models.

use std::sync::Arc;

use eventlog::calls::SharedCalls;
use eventlog::entries::SharedEntries;
use eventlog::files::{FileEntries, FileLogs};
use eventlog::installation;
use eventlog::jetstream::{
    self, ConnectError, JetStreamBlobs, JetStreamEntries, JetStreamLog, JetStreamLogs, JetStreamQueue,
    NatsCalls, Retention, Tls,
};
use eventlog::log::SharedLog;
use eventlog::logs::{Limits, SharedLogs};
use eventlog::memory::MemoryCalls;
use eventlog::queue::SharedQueue;
use eventlog::sqlite::{SqliteLog, SqliteQueue};
use futures::FutureExt;
use gateway::engine::{Engine, Probe};
use projections::store::{Options, ReadStore};
use url::Url;
use uuid::Uuid;
use workers::disk::Reserve;
use workers::measure::measured;
use workers::source::archive::UploadStore;

use super::{ComposeError, all_shown, shown};
use crate::args::Settings;
use crate::home::Home;

/// How large an upload may be.
const UPLOAD_MAX: u64 = 500 << 20;

/// What the platform stands on. Clones are the same engines.
#[derive(Clone)]
pub(crate) struct Engines {
    /// The event log.
    pub(crate) log: SharedLog,
    /// The work queue.
    pub(crate) queue: SharedQueue,
    /// The log store.
    pub(crate) logs: SharedLogs,
    /// What processes share besides.
    pub(crate) entries: SharedEntries,
    /// Where uploads are kept.
    pub(crate) uploads: UploadStore,
    /// Asks other processes.
    pub(crate) calls: SharedCalls,
    /// The read models.
    pub(crate) reads: ReadStore,
    /// Whether this process asks them anything.
    pub(crate) has_reads: bool,
    log_kind: &'static str,
    /// The embedded log and queue, which are tidied up when they are closed.
    files: Option<(Arc<SqliteLog>, Arc<SqliteQueue>)>,
}

/// Opens what the settings name.
pub(crate) async fn engines(settings: &Settings, home: &Home) -> Result<Engines, ComposeError> {
    let urls = settings.log.log.as_slice();
    match urls.iter().find(|url| !matches!(url.scheme(), "nats" | "tls")) {
        None if urls.is_empty() => embedded(settings, home).await,
        None => on_nats(settings, urls, home).await,
        Some(url) if is_kurrentdb(url) => on_kurrentdb(settings, urls, home).await,
        Some(url) => Err(ComposeError::Unknown {
            flag: "--log",
            url: shown(url),
            known: "leave it out for a file in the data directory, or give nats://host:4222",
        }),
    }
}

async fn embedded(settings: &Settings, home: &Home) -> Result<Engines, ComposeError> {
    let directory = home.join("log");
    let log = Arc::new(SqliteLog::open(&directory).await?);
    let queue = Arc::new(SqliteQueue::open(&directory).await?);
    Ok(Engines {
        files: Some((Arc::clone(&log), Arc::clone(&queue))),
        log: measured(log),
        queue,
        logs: Arc::new(FileLogs::open(&home.join("logs"), Limits::default())?),
        uploads: UploadStore::new(home.path(), UPLOAD_MAX, Reserve::default()),
        entries: Arc::new(FileEntries::open(&home.join("entries"))?),
        calls: Arc::new(MemoryCalls::default()),
        reads: reads(settings, home).await?,
        has_reads: true,
        log_kind: "sqlite",
    })
}

/// Whether an address is that of `KurrentDB`.
pub(crate) fn is_kurrentdb(url: &Url) -> bool {
    matches!(
        url.scheme(),
        "esdb" | "esdb+discover" | "kurrentdb" | "kurrentdb+discover" | "kdb" | "kdb+discover"
    )
}

/// The log on `KurrentDB`; the queue and all else stay in the data directory, so that one process has them.
#[cfg(feature = "kurrentdb")]
async fn on_kurrentdb(settings: &Settings, urls: &[Url], home: &Home) -> Result<Engines, ComposeError> {
    use eventlog::kurrentdb::{self, KurrentLog};

    let text = urls.iter().map(Url::as_str).collect::<Vec<_>>().join(",");
    let log = KurrentLog::connect(&kurrentdb::Settings::new(&text)).await.map_err(|source| {
        ComposeError::Server { flag: "--log", url: all_shown(urls), source: source.into() }
    })?;
    let embedded = embedded(settings, home).await?;
    Ok(Engines { log: measured(Arc::new(log)), log_kind: "kurrentdb", ..embedded })
}

#[cfg(not(feature = "kurrentdb"))]
#[expect(clippy::unused_async, reason = "as the one that can")]
async fn on_kurrentdb(_settings: &Settings, urls: &[Url], _home: &Home) -> Result<Engines, ComposeError> {
    let url = all_shown(urls);
    let known = "this program was built without KurrentDB; build it with `--features kurrentdb`";
    Err(ComposeError::Unknown { flag: "--log", url, known })
}

async fn on_nats(settings: &Settings, urls: &[Url], home: &Home) -> Result<Engines, ComposeError> {
    let nats = nats(settings, urls);
    let refused = |source| refused(all_shown(urls), source);
    let log = JetStreamLog::connect(&nats).await.map_err(refused)?;
    let queue = JetStreamQueue::connect(&nats).await.map_err(refused)?;
    let entries = JetStreamEntries::connect(&nats).await.map_err(refused)?;
    let calls = NatsCalls::connect(&nats).await.map_err(refused)?;
    let lines = Retention { age: settings.log.lines_age, bytes: settings.log.lines_bytes };
    let uploads = Retention { bytes: settings.log.uploads_bytes, ..Retention::UPLOADS };
    let blobs = JetStreamBlobs::connect(&nats, uploads).await.map_err(refused)?;
    let logs = JetStreamLogs::connect(&nats, Limits::default(), lines).await.map_err(refused)?;
    Ok(Engines {
        log: measured(Arc::new(log)),
        queue: Arc::new(queue),
        logs: Arc::new(logs),
        uploads: UploadStore::shared(Arc::new(blobs), UPLOAD_MAX),
        entries: Arc::new(entries),
        calls: Arc::new(calls),
        has_reads: settings.read.read.is_some(),
        reads: reads(settings, home).await?,
        log_kind: "jetstream",
        files: None,
    })
}

/// What an edge of its own process hears of others.
pub(crate) struct Heard {
    /// The event log.
    pub(crate) log: SharedLog,
    /// By which workers ask it.
    pub(crate) calls: SharedCalls,
}

/// Listens to the event log, and finds out whose it is.
pub(crate) async fn hear(settings: &Settings) -> Result<(Heard, Uuid), ComposeError> {
    let urls = settings.log.log.as_slice();
    let nats = nats(settings, urls);
    let refused = |source| refused(all_shown(urls), source);
    let log = JetStreamLog::connect(&nats).await.map_err(refused)?;
    let entries = JetStreamEntries::connect(&nats).await.map_err(refused)?;
    let calls = NatsCalls::connect(&nats).await.map_err(refused)?;
    let installation = installation::find(&entries).await.map_err(ComposeError::Shared)?;
    let installation = installation.ok_or(ComposeError::NoInstallation)?;
    Ok((Heard { log: Arc::new(log), calls: Arc::new(calls) }, installation.id))
}

/// Looks at the event log without changing it: what answers, and whether it may be used.
pub(crate) async fn look_at_log(settings: &Settings) -> Result<String, ComposeError> {
    let urls = settings.log.log.as_slice();
    let looked = jetstream::look(&nats(settings, urls)).await;
    looked.map_err(|source| refused(all_shown(urls), source))
}

/// How NATS is reached.
fn nats(settings: &Settings, urls: &[Url]) -> jetstream::Settings {
    let log = &settings.log;
    jetstream::Settings {
        accept_loss_on_power_cut: log.accept_lax_log,
        monitors: log.log_monitor.iter().map(ToString::to_string).collect(),
        replicas: log.log_replicas,
        credentials: log.log_credentials.clone(),
        tls: Tls {
            authority: log.log_ca.clone(),
            client: match log.log_certificate.as_slice() {
                [certificate, key] => Some((certificate.clone(), key.clone())),
                _ => None,
            },
        },
        ..jetstream::Settings::new(&urls.iter().map(Url::as_str).collect::<Vec<_>>().join(","))
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

async fn reads(settings: &Settings, home: &Home) -> Result<ReadStore, ComposeError> {
    match &settings.read.read {
        None => Ok(ReadStore::sqlite(&home.join("read.db")).await?),
        Some(_) => read_models(settings),
    }
}

/// The read models of a server, which may be away for the moment.
pub(crate) fn read_models(settings: &Settings) -> Result<ReadStore, ComposeError> {
    let known = "leave it out for a file in the data directory, or give postgres://user@host/database";
    let Some(url) = &settings.read.read else { return Err(ComposeError::NoReads) };
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(ComposeError::Unknown { flag: "--read", url: shown(url), known });
    }
    let mut options = Options::default();
    if let Some(replica) = &settings.read.read_replica {
        options = options.replica(replica.as_str());
    }
    let refused = |source: projections::store::InvalidUrl| ComposeError::Server {
        flag: "--read",
        url: shown(url),
        source: source.into(),
    };
    ReadStore::postgres(url.as_str(), options).map_err(refused)
}

impl Engines {
    /// What an edge hears.
    pub(crate) fn heard(&self) -> Heard {
        Heard { log: Arc::clone(&self.log), calls: Arc::clone(&self.calls) }
    }

    /// Ask each of them whether it is there.
    pub(crate) fn probes(&self) -> Vec<Engine> {
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
        vec![
            Engine { name: "log", kind: self.log_kind, probe: ask_log },
            Engine { name: "queue", kind: self.log_kind, probe: ask_queue },
            Engine { name: "read", kind: self.reads.engine(), probe: ask_reads },
        ]
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
