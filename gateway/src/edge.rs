//! The edge proxy: takes HTTP from clients and passes it to the release that has the hostname.
//!
//! The owner writes the table while requests run; the edge reads it once per request. It keeps three
//! promises: a swap of releases loses no request; a request is sent to an application at most once; and an
//! application sees a request exactly as the edge has understood it, or not at all.
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use std::time::Duration;
//!
//! use switchback_gateway::edge::{Edge, settings::Settings, table::Route};
//! use tokio_util::sync::CancellationToken;
//!
//! let edge = Edge::new(Settings::default());
//! let upstreams = vec![([127, 0, 0, 1], 5001).into()];
//! edge.table().set("shop.localhost", Route { service: "shop".into(), release: "v2".into(), upstreams });
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! tokio::spawn(edge.clone().serve(listener, CancellationToken::new()));
//! if !edge.table().drained("shop", "v1", Duration::from_secs(30)).await {
//!     // v1's last streams were cut. Either way its processes may be stopped now.
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Reading order: `listen` accepts, `connection` serves one client, `proxy` answers one request, with
//! `table`, `target` and `upstream` to choose where, `link` to send, `body` and `passage` to carry the answer
//! back.

use std::sync::{Arc, OnceLock};

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::edge::counters::{Counters, Counting};
use crate::edge::settings::Settings;
use crate::edge::table::Table;
use crate::edge::tls::Certificates;

mod body;
mod client;
mod connection;
pub mod counters;
mod failure;
mod header;
mod hold;
mod host;
mod link;
mod listen;
mod passage;
mod proxy;
mod release;
pub mod settings;
mod stop;
pub mod table;
mod target;
pub mod tls;
mod tunnel;
mod upstream;

/// An edge: its routes, its limits and what it counts. One for a process, with a listener or several.
pub struct Edge {
    settings: Settings,
    table: Table,
    counting: Counting,
    https: OnceLock<Https>,
}

/// Where names with a certificate are reached by HTTPS.
struct Https {
    certificates: Arc<Certificates>,
    port: u16,
}

impl Edge {
    /// An edge without routes, which serves nothing yet.
    pub fn new(settings: Settings) -> Arc<Self> {
        let (table, counting) = (Table::default(), Counting::default());
        Arc::new(Edge { settings, table, counting, https: OnceLock::new() })
    }

    /// The routes. They may be changed at any time, by anyone who holds the edge.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Serves a listener until `shutdown` is cancelled, and returns when its last connection is closed:
    /// within the lame-duck time and the drain limit of the settings.
    ///
    /// As a lame duck it still accepts. Whoever hands the listener to a successor starts that one first.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        listen::serve(self, listener, None, shutdown).await;
    }

    /// Serves a listener as [`Edge::serve`] does, by TLS. Its handshake counts as part of the first head.
    pub async fn serve_tls(
        self: Arc<Self>,
        listener: TcpListener,
        acceptor: TlsAcceptor,
        shutdown: CancellationToken,
    ) {
        listen::serve(self, listener, Some(acceptor), shutdown).await;
    }

    /// From now on requests that come without TLS for a hostname with a certificate are sent to the same
    /// address by HTTPS on `port` (status 308), save those of `/.well-known/acme-challenge/`. Once only.
    pub fn redirect_to_https(&self, certificates: Arc<Certificates>, port: u16) {
        // The second time is a programming error without harm: the first stands.
        let _ = self.https.set(Https { certificates, port });
    }

    /// What the edge has counted so far.
    pub fn counters(&self) -> Counters {
        self.counting.snapshot(self.table.in_flight_total() as u64)
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn counting(&self) -> &Counting {
        &self.counting
    }
}
