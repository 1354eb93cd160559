//! The role that routes requests to services.
//!
//! It needs the event log to hear of changes, and nothing else. What it has heard it keeps in a file, so that
//! it serves after a restart whatever else is away.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eventlog::error::ReadError;
use gateway::edge::Edge;
use gateway::edge::settings::Settings as Limits;
use gateway::edge::tls::Certificates;
use gateway::route::file::{Known, RouteFile};
use gateway::route::{CurrentReleases, RouteFollower};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::StartError;
use super::parts::Parts;
use crate::args::Settings;
use crate::compose::{self, EdgeTraffic, Engines, Heard};

/// How long to wait before the log is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// Where the edge listens.
pub(super) struct Listeners {
    plain: TcpListener,
    /// By HTTPS, with what it needs for that.
    tls: Option<(TcpListener, Arc<Certificates>)>,
}

impl Listeners {
    /// Takes the addresses, and reads the certificates.
    pub(super) async fn bind(settings: &Settings) -> Result<Self, StartError> {
        let traffic = &settings.traffic;
        let plain = super::listen(traffic.edge, "--edge").await?;
        let tls = match (traffic.edge_https, &traffic.edge_tls) {
            (Some(address), Some(directory)) => {
                let certificates = Certificates::open(directory)?;
                Some((super::listen(address, "--edge-https").await?, certificates))
            }
            _ => None,
        };
        Ok(Self { plain, tls })
    }

    /// Where it really listens, when port 0 was asked for.
    pub(super) fn address(&self, settings: &Settings) -> SocketAddr {
        super::address_of(&self.plain, settings.traffic.edge)
    }

    /// Where it really listens by HTTPS.
    pub(super) fn https(&self) -> Option<SocketAddr> {
        self.tls.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }
}

/// Follows the log, beginning with what is known of it. Serves nothing yet.
pub(super) fn follow(parts: &mut Parts, engines: &Engines, known: Known) -> (Arc<Edge>, CurrentReleases) {
    let edge = Edge::new(Limits::default());
    let (follower, current) = RouteFollower::new(Arc::clone(&edge), known);
    let log = Arc::clone(&engines.log);
    parts.follow.spawn(|stop| follower.run(stop, log));
    (edge, current)
}

/// Serves the listeners.
pub(super) fn serve(parts: &mut Parts, edge: &Arc<Edge>, listeners: Listeners) -> Result<(), StartError> {
    let Listeners { plain, tls } = listeners;
    if let Some((listener, certificates)) = tls {
        let port = listener.local_addr().map_or(443, |address| address.port());
        edge.redirect_to_https(Arc::clone(&certificates), port);
        let acceptor = certificates.acceptor().map_err(StartError::Tls)?;
        parts.serve.spawn(|stop| Arc::clone(edge).serve_tls(listener, acceptor, stop));
        parts.follow.spawn(|stop| certificates.watch(stop));
    }
    parts.serve.spawn(|stop| Arc::clone(edge).serve(plain, stop));
    Ok(())
}

/// An edge of its own process: it begins with its file, and takes up the log as soon as that can be reached.
pub(super) struct Apart {
    edge: Arc<Edge>,
    current: CurrentReleases,
    follower: RouteFollower,
    name: String,
    /// Whether the file said anything.
    pub(super) has_routes: bool,
}

impl Apart {
    /// Reads its file.
    pub(super) fn new(file: PathBuf, name: String) -> Self {
        let file = RouteFile::new(file);
        let known = file.read();
        let has_routes = known.is_some();
        let edge = Edge::new(Limits::default());
        let (follower, current) = RouteFollower::new(Arc::clone(&edge), known.unwrap_or_default());
        Self { edge, current, follower: follower.kept_in(file), name, has_routes }
    }

    /// The edge.
    pub(super) fn edge(&self) -> &Arc<Edge> {
        &self.edge
    }

    /// Reads what the log has by now, and follows it from there.
    pub(super) async fn follow(
        mut self,
        parts: &mut Parts,
        heard: Heard,
        installation: Uuid,
    ) -> Result<(), ReadError> {
        self.follower.belongs_to(installation);
        self.follower.catch_up(&heard.log).await?;
        parts.follow.spawn(|stop| self.keep_up(heard, stop));
        Ok(())
    }

    /// Follows the log as soon as it can be reached.
    pub(super) fn follow_later(mut self, parts: &mut Parts, settings: &Settings) {
        let settings = settings.clone();
        parts.follow.spawn(|stop| async move {
            let (heard, installation) = tokio::select! {
                reached = reached(&settings) => reached,
                () = stop.cancelled() => return,
            };
            info!("the event log can be reached: routes are kept up to date");
            self.follower.belongs_to(installation);
            self.keep_up(heard, stop).await;
        });
    }

    /// Follows the log, and answers workers that ask whether traffic has arrived or drained.
    async fn keep_up(self, heard: Heard, stop: CancellationToken) {
        let traffic = Arc::new(EdgeTraffic::new(self.edge, self.current));
        let answering = compose::answer_workers(heard.calls, self.name, traffic, stop.clone());
        tokio::join!(self.follower.run(stop, heard.log), answering);
    }
}

/// The event log and whose it is, tried for as long as it takes.
async fn reached(settings: &Settings) -> (Heard, Uuid) {
    loop {
        match compose::hear(settings).await {
            Ok(reached) => return reached,
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "the event log cannot be reached; routes stay as they were when it could"
                );
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
