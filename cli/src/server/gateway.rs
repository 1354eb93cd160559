//! The role that answers the API.

use axum::Router;
use gateway::app::App;
use tokio::net::TcpListener;
use tracing::warn;

use super::parts::Parts;

/// Serves the API on a listener.
pub(super) fn start(parts: &mut Parts, app: App, listener: TcpListener) {
    serve(parts, gateway::router::api(app), listener);
}

/// Serves a router until the process stops.
pub(super) fn serve(parts: &mut Parts, router: Router, listener: TcpListener) {
    parts.serve.spawn(|stop| async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            warn!(error = &error as &dyn std::error::Error, "the API stopped serving");
        }
    });
}
