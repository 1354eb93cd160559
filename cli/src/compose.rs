//! The composition root: from addresses to adapters. Only here are adapters known by their names.

mod engines;
mod ports;
mod traffic;

use std::sync::Arc;

use commands::bus::Bus;
use commands::clock::SystemClock;
use commands::keyring::{Keyring, KeyringError, MasterKey};
use eventlog::error::{BoxError, OpenError, StoreError};
use eventlog::installation::{self, Installation};
use projections::store::QueryError;
use url::Url;

#[cfg(feature = "kurrentdb")]
pub(crate) use self::engines::is_kurrentdb;
pub(crate) use self::engines::{Engines, Heard, engines, hear, look_at_log, read_models};
pub(crate) use self::ports::{Ports, is_docker, look_at_engine, look_at_registry, ports, uploads};
pub(crate) use self::traffic::{EdgeTraffic, RemoteTraffic, answer as answer_workers};
use crate::args::Settings;
use crate::home::Home;

/// An engine that could not be reached or opened. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ComposeError {
    /// An address of a kind that this build does not know.
    #[error("{flag} {url} is not known here; {known}")]
    Unknown {
        /// The flag.
        flag: &'static str,
        /// What was given, without its password.
        url: String,
        /// What is known.
        known: &'static str,
    },
    /// A file of the data directory.
    #[error("the data directory cannot be opened")]
    Open(#[from] OpenError),
    /// A server.
    #[error("{flag} {url} cannot be used")]
    Server {
        /// The flag.
        flag: &'static str,
        /// What was given, without its password.
        url: String,
        /// Why not.
        #[source]
        source: BoxError,
    },
    /// A NATS server that may lose what it acknowledged.
    #[error(
        "--log {url} cannot be used as it is (--log-monitor names where it can be asked, --log-replicas 3 \
         keeps every event on three servers of a cluster, --accept-lax-log accepts the loss)"
    )]
    Lossy {
        /// What was given, without its password.
        url: String,
        /// Why not.
        #[source]
        source: BoxError,
    },
    /// What processes share.
    #[error("what the processes of this installation share cannot be read")]
    Shared(#[source] StoreError),
    /// Nothing was set up on the engines yet.
    #[error("no gateway was started on this event log yet, so there is nothing to route; start one first")]
    NoInstallation,
    /// No server for read models was named.
    #[error("--read names no server")]
    NoReads,
    /// The engines are in use.
    #[error(
        "--log belongs to another installation; start with the data directory of that one, with its \
         --master-key, or with an empty log"
    )]
    AnotherInstallation,
    /// The read models.
    #[error("the read models cannot be opened")]
    Reads(#[from] QueryError),
    /// The keyring.
    #[error("the keyring cannot be opened")]
    Keyring(#[from] KeyringError),
    /// A setting.
    #[error("{flag} cannot be used")]
    Setting {
        /// The flag.
        flag: &'static str,
        /// Why not.
        #[source]
        source: BoxError,
    },
    /// What builds and runs.
    #[error("{part} cannot be started")]
    Port {
        /// Which part.
        part: &'static str,
        /// Why not.
        #[source]
        source: BoxError,
    },
}

/// What installation this is: decided once, by the first process that comes to its engines.
pub(crate) async fn installation(
    engines: &Engines,
    settings: &Settings,
    home: &Home,
) -> Result<Installation, ComposeError> {
    let ours = home.installation();
    let described = installation::describe(&*engines.entries, ours).await.map_err(ComposeError::Shared)?;
    // Whoever brings its own keys cannot open what another sealed; whoever brings the shared one can.
    if described != ours && settings.keys.master_key.is_none() {
        return Err(ComposeError::AnotherInstallation);
    }
    Ok(described)
}

/// The command bus over the log.
pub(crate) async fn bus(engines: &Engines, settings: &Settings, home: &Home) -> Result<Bus, ComposeError> {
    let keyring = match &settings.keys.master_key {
        Some(file) => Keyring::shared(Arc::clone(&engines.entries), MasterKey::read(file)?).await?,
        None => Keyring::open(&home.join("keys"))?,
    };
    Ok(Bus::new(Arc::clone(&engines.log), Arc::new(SystemClock), keyring))
}

/// Several addresses as they may be shown.
pub(crate) fn all_shown(urls: &[Url]) -> String {
    urls.iter().map(shown).collect::<Vec<_>>().join(",")
}

/// An address as it may be shown: without user and password.
pub(crate) fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    // Both fail only for addresses that cannot have them.
    let _ = shown.set_password(None);
    let _ = shown.set_username("");
    shown.to_string()
}
