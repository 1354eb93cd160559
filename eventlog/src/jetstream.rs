//! The adapters on NATS `JetStream`: the event log in the stream `SB_EVENTS`, the work queue in `SB_WORK` and
//! `SB_QUEUE`, entries in the key-value bucket `SB_SHARED`, the log store in `SB_LOGS`, blobs in the
//! object store `SB_UPLOADS`. Calls are messages of core NATS.
//!
//! One commit is one message. What NATS leaves to its users is done here: an answer that did not come is
//! asked for until it is known (`append`), replicas that lag are recognised (`read`), consumers that die are
//! made again (`follow`), a server that would lose acknowledged commits to a power cut is refused
//! (`durable`).

mod append;
mod batch;
mod blobs;
mod calls;
mod connection;
mod durable;
mod entries;
mod follow;
mod lane;
mod log;
mod logs;
mod monitor;
mod publish;
mod queue;
mod read;
mod streams;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::BoxError;

pub use blobs::JetStreamBlobs;
pub use calls::NatsCalls;
pub use entries::JetStreamEntries;
pub use log::JetStreamLog;
pub use logs::JetStreamLogs;
pub use queue::JetStreamQueue;

/// How to reach NATS, and what it is trusted with.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// `nats://host:port`, several with commas between them; `nats://user:password@host:port` and
    /// `nats://token@host:port` too; `tls://…` where nothing may go in the clear.
    pub urls: String,
    /// A file with credentials (JWT and seed), when the server asks for them.
    pub credentials: Option<PathBuf>,
    /// How the server is known, and we are to it, when the connection is encrypted.
    pub tls: Tls,
    /// What names of streams and subjects begin with: small letters and digits. `sb` unless several
    /// installations share one account.
    pub prefix: String,
    /// How many servers keep each message. Three or more need no server that syncs before it answers.
    pub replicas: usize,
    /// Monitoring endpoints (`http://host:port`) of all servers, where they can be asked whether they sync
    /// before they answer; needed when our account may not ask by NATS itself.
    pub monitors: Vec<String>,
    /// Take a server that may lose what it acknowledged in the last two minutes when its power is cut.
    pub accept_loss_on_power_cut: bool,
    /// How long an append is given again while the log cannot answer, as when a cluster elects a leader.
    pub ride_out: Duration,
}

impl Settings {
    /// One server, or a cluster of which one answers, with everything else as it is meant to be.
    #[must_use]
    pub fn new(urls: &str) -> Self {
        Self {
            urls: urls.to_owned(),
            credentials: None,
            tls: Tls::default(),
            prefix: "sb".to_owned(),
            replicas: 1,
            monitors: Vec::new(),
            accept_loss_on_power_cut: false,
            ride_out: Duration::from_secs(15),
        }
    }
}

/// How an encrypted connection is made. With either of them, none is made in the clear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that the server's certificate has to come from, in PEM. Without: those that the
    /// machine trusts.
    pub authority: Option<PathBuf>,
    /// Our certificate and its key, each in PEM, when the server asks for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    fn is_required(&self) -> bool {
        self.authority.is_some() || self.client.is_some()
    }
}

/// How much is kept of what may fall away. May be set anew at each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// What is so old falls away.
    pub age: Duration,
    /// With so many bytes, a store is full: the oldest of all lines fall away, uploads are refused. The
    /// server reserves those for lines.
    pub bytes: u64,
}

impl Retention {
    /// For lines: 30 days, 4 GB.
    pub const LOGS: Self = Self { age: Duration::from_hours(30 * 24), bytes: 4_000_000_000 };
    /// For uploads: 90 days, 50 GB.
    pub const UPLOADS: Self = Self { age: Duration::from_hours(90 * 24), bytes: 50_000_000_000 };
}

/// Looks at a server without changing anything: whether it may be used, and what it is.
///
/// # Errors
/// [`ConnectError`].
pub async fn look(settings: &Settings) -> Result<String, ConnectError> {
    let connection = durable::connect(settings).await?;
    let server = connection.client.server_info();
    let cluster = server.cluster.map(|name| format!(", in the cluster {name}")).unwrap_or_default();
    Ok(format!("NATS {}{cluster}; what it acknowledges survives a power cut", server.version))
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("urls", &connection::without_secrets(&self.urls))
            .field("credentials", &self.credentials)
            .field("tls", &self.tls)
            .field("prefix", &self.prefix)
            .field("replicas", &self.replicas)
            .field("monitors", &self.monitors)
            .field("accept_loss_on_power_cut", &self.accept_loss_on_power_cut)
            .field("ride_out", &self.ride_out)
            .finish()
    }
}

/// NATS cannot be used. Nothing was changed, except that a stream may have been made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The settings are wrong.
    #[error("`{value}` is no {what}")]
    Setting {
        /// What was wanted.
        what: &'static str,
        /// What was given.
        value: String,
    },
    /// A file that the settings name cannot be read.
    #[error("read {what} {}", path.display())]
    File {
        /// What it is to be.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// No server answers.
    #[error("connect to NATS at {urls}")]
    Unreachable {
        /// Where it was looked for.
        urls: String,
        /// Why not.
        #[source]
        source: BoxError,
    },
    /// The server is too old, and keeps its promises less well.
    #[error("NATS server {server} has version {found}; Switchback needs {wanted} or newer")]
    TooOld {
        /// The server's name.
        server: String,
        /// Its version.
        found: String,
        /// The oldest that is taken.
        wanted: &'static str,
    },
    /// The server takes no messages of the size that a commit may have.
    #[error(
        "NATS server {server} takes messages of {found} bytes at most; set its `max_payload` to {wanted}"
    )]
    MaxPayload {
        /// The server's name.
        server: String,
        /// What it takes.
        found: usize,
        /// What is needed.
        wanted: usize,
    },
    /// A server answers before a write is on the disk.
    #[error(
        "NATS server {server} acknowledges before it syncs, so a power cut loses up to two minutes of \
         history; set `jetstream {{ sync_interval: always }}`, or use three replicas, or accept the loss by \
         a setting"
    )]
    LosesOnPowerCut {
        /// The server's name.
        server: String,
    },
    /// Nobody would say whether the server answers before a write is on the disk.
    #[error(
        "it cannot be told whether NATS syncs before it acknowledges: name its monitoring endpoint, or let \
         our account ask `$SYS.REQ.SERVER.PING.JSZ`, or use three replicas, or accept a loss on power cut \
         by a setting"
    )]
    NotProven,
    /// A stream is not configured as it has to be.
    #[error("stream {stream} has {field} = {found}, it has to be {wanted}; somebody else changed or made it")]
    Drifted {
        /// The stream.
        stream: String,
        /// What is different.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        wanted: String,
    },
    /// The server has not the room that a stream is to have.
    #[error(
        "NATS has no room for stream {stream}: it reserves {bytes} bytes for it; raise its \
         `max_file_store`, or lower how much is kept"
    )]
    NoRoom {
        /// The stream.
        stream: String,
        /// What it is to have.
        bytes: i64,
    },
    /// A stream cannot be looked at or made.
    #[error("make sure of stream {stream}")]
    Stream {
        /// The stream.
        stream: String,
        /// Why not.
        #[source]
        source: BoxError,
    },
}
