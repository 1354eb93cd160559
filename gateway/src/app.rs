//! What handlers work with.

use std::sync::Arc;
use std::time::Duration;

use commands::bus::Bus;
use domain::stream::Position;
use eventlog::logs::SharedLogs;
use projections::store::ReadStore;
use projections::wait::Watermark;
use tokio_util::sync::CancellationToken;

use crate::error::ApiError;
use crate::operations::{Probes, Scrape};
use crate::upload::SharedUploads;

/// How long a read waits for a position at most.
pub const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// What an operator can choose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What hostnames of services end with: `localhost`.
    pub hostname_suffix: String,
    /// The port that the edge is reached at, for the addresses that are shown; none when it is the usual one.
    pub edge_port: Option<u16>,
    /// Whether the edge is reached by HTTPS.
    pub is_secure: bool,
    /// Whether repositories on this machine may be deployed (`file://`): whoever may deploy can then read
    /// what the platform's user can.
    pub local_repositories: bool,
    /// How large a body may be, uploads of sources aside.
    pub body_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostname_suffix: "localhost".into(),
            edge_port: None,
            is_secure: false,
            local_repositories: false,
            body_max: 10 * 1024 * 1024,
        }
    }
}

impl Settings {
    /// The address that a hostname is opened with.
    #[must_use]
    pub fn url(&self, hostname: &str) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        match self.edge_port {
            Some(port) => format!("{scheme}://{hostname}:{port}"),
            None => format!("{scheme}://{hostname}"),
        }
    }
}

/// What handlers work with.
#[derive(Clone)]
pub struct App {
    /// Gives commands.
    pub bus: Bus,
    /// Answers queries.
    pub reads: ReadStore,
    /// How far the read models are.
    pub watermark: Watermark,
    /// What builds and applications print.
    pub logs: SharedLogs,
    /// Takes uploads.
    pub uploads: SharedUploads,
    /// What `/ready` asks.
    pub probes: Probes,
    /// What `/metrics` answers.
    pub metrics: Scrape,
    /// What the operator chose.
    pub settings: Arc<Settings>,
    /// Given when the platform stops: streams end.
    pub shutdown: CancellationToken,
}

impl App {
    /// Waits until reads have a position in them.
    ///
    /// # Errors
    /// `not_there_yet`.
    pub(crate) async fn reached(&self, position: Position) -> Result<(), ApiError> {
        let waited = self.watermark.wait_until(position, WAIT_LIMIT).await;
        waited.map_err(|_| ApiError::not_there_yet())
    }
}
