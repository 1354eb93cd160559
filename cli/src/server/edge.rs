//! The role that routes requests to services.
//!
//! It needs the event log to hear of changes, and nothing else. What it has heard it keeps in a file, so that
//! it serves after a restart whatever else is away.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway::edge::Edge;
use gateway::edge::settings::Settings as Limits;
use gateway::edge::tls::Certificates;
use gateway::route::file::{Known, RouteFile};
use gateway::route::{CurrentReleases, RouteFollower};
use tokio::net::TcpListener;

use super::StartError;
use super::parts::Parts;
use crate::args::Settings;
use crate::compose::Engines;

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
}

/// Follows the log, beginning with what is known of it. Serves nothing yet.
pub(super) fn follow(
    parts: &mut Parts,
    engines: &Engines,
    known: Known,
    file: Option<RouteFile>,
) -> (Arc<Edge>, CurrentReleases) {
    let edge = Edge::new(Limits::default());
    let (mut follower, current) = RouteFollower::new(Arc::clone(&edge), known);
    if let Some(file) = file {
        follower = follower.kept_in(file);
    }
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
