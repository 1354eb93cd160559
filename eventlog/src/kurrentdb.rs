//! The adapter on `KurrentDB` (once `EventStoreDB`), by the `eventstore` crate: the event log, not the queue.
//!
//! It has not been run against a real server yet, only against a double that speaks the same protocol
//! (docs/guide/kurrentdb.md). One commit is one event, in the stream `sb.evt.<org>.<aggregate>.<id>`; the
//! position is the commit position that `KurrentDB` gives: a place in its own log, in bytes. So positions
//! grow, but not by one, and a commit that is missing is found by the chain of hashes and by the revisions of
//! its stream, not by a gap. The event's metadata has the hash of its data, so that a changed byte is found
//! in the last commit too.
//!
//! What the client leaves to its users is done here: each call has a limit (`connection`), an answer that did
//! not come is asked for until it is known (`append`), subscriptions that end begin again (`follow`).

mod append;
mod connection;
mod follow;
mod log;
mod proof;
mod provider;
mod read;
mod revisions;
mod source;
mod url;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::BoxError;

pub use log::KurrentLog;
pub use provider::prepare;

/// How to reach `KurrentDB`.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The connection string of `KurrentDB`: `esdb://user:password@host:2113`, several hosts with commas
    /// between them, `esdb+discover://` for a cluster behind one name. `kurrentdb://` means the same. TLS is
    /// on unless it ends with `?tls=false`; `tlsCaFile=…` names the authority that signed the server's
    /// certificate.
    pub url: String,
    /// What names of streams begin with: small letters and digits. `sb` unless several installations share
    /// one server.
    pub prefix: String,
    /// How long an append is given again while the log cannot answer, as when a cluster elects a leader.
    pub ride_out: Duration,
}

impl Settings {
    /// A server or a cluster, with everything else as it is meant to be.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), prefix: "sb".to_owned(), ride_out: Duration::from_secs(15) }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("url", &url::without_secrets(&self.url))
            .field("prefix", &self.prefix)
            .field("ride_out", &self.ride_out)
            .finish()
    }
}

/// `KurrentDB` cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The settings are wrong.
    #[error("`{value}` is no {what}{}", Because(problem))]
    Setting {
        /// What was wanted.
        what: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it, when it can be told.
        problem: String,
    },
    /// A file that the connection string names has no certificate or key in it.
    #[error("{} is no file with a certificate or a key (PEM)", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: BoxError,
    },
    /// The process chose how it does TLS before `KurrentDB`'s client could.
    #[error(
        "the process has chosen its cryptography already, and the client of KurrentDB needs its own; call \
         `eventlog::kurrentdb::prepare` before `rustls` is set up"
    )]
    Unprepared,
    /// No server answers, or it does not let us read.
    #[error("connect to KurrentDB at {url}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// Why not.
        #[source]
        source: BoxError,
    },
}

struct Because<'a>(&'a str);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}
