//! Accepts connections, as many as may be open, until the stop has come to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::edge::Edge;
use crate::edge::client::Client;
use crate::edge::connection;
use crate::edge::counters::add;
use crate::edge::stop::{Stage, Stop};

/// When the process has no descriptors left, accepting again at once would only burn a core.
const AFTER_ACCEPT_FAILED: Duration = Duration::from_millis(20);

/// Idle connections to upstreams are looked through this often.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// Serves a listener until `shutdown`, then stops in stages: see [`crate::edge::stop`].
pub(crate) async fn serve(
    edge: Arc<Edge>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    shutdown: CancellationToken,
) {
    let stop = Arc::new(Stop::new());
    let connections = TaskTracker::new();
    let mut accepting = Box::pin(accept(&edge, listener, tls, &stop, &connections));
    tokio::select! {
        () = &mut accepting => {}
        () = expire(&edge) => {}
        () = shutdown.cancelled() => {}
    }
    stop.enter(Stage::LameDuck);
    tokio::select! {
        biased; // Who is in the queue already is let in before the end of the lame-duck time is seen.
        () = &mut accepting => {}
        () = sleep(edge.settings().lame_duck) => {}
        () = none_open(&connections) => {}
    }
    drop(accepting); // And the listener with it: clients are refused now instead of queued.
    stop.enter(Stage::Closing);
    connections.close();
    if timeout(edge.settings().drain_limit, connections.wait()).await.is_err() {
        info!("{} client connections were still open at the drain limit and are cut", connections.len());
    }
    stop.enter(Stage::Over);
    connections.wait().await;
}

async fn accept(
    edge: &Arc<Edge>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    stop: &Arc<Stop>,
    connections: &TaskTracker,
) {
    let places = Arc::new(Semaphore::new(edge.settings().connections_max));
    loop {
        // Above the limit, clients wait in the listener's queue.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let client = Client::new(Arc::clone(edge), Arc::clone(stop), peer.ip(), tls.is_some());
                connections.spawn(serve_one(stream, client, tls.clone(), place));
            }
            Err(error) => {
                warn!(error = %error, "accept a connection failed");
                sleep(AFTER_ACCEPT_FAILED).await;
            }
        }
    }
}

async fn serve_one(stream: TcpStream, client: Client, tls: Option<TlsAcceptor>, place: OwnedSemaphorePermit) {
    add(&client.edge.counting().connections_accepted);
    // An answer is written in one piece; waiting for more would only delay it.
    if stream.set_nodelay(true).is_ok() {
        match tls {
            None => connection::serve(stream, Arc::new(client)).await,
            Some(acceptor) => serve_tls(stream, client, &acceptor).await,
        }
    }
    drop(place);
}

/// Boxed, so that connections without TLS do not carry the place that one with it needs.
async fn serve_tls(stream: TcpStream, client: Client, acceptor: &TlsAcceptor) {
    let mut stage = client.stop.watch();
    let handshake = timeout(client.edge.settings().head_limit, acceptor.accept(stream));
    let shaken = tokio::select! {
        biased;
        shaken = handshake => shaken,
        closing = stage.wait_for(|stage| matches!(stage, Stage::Closing | Stage::Over)) => {
            drop(closing);
            return;
        }
    };
    match shaken {
        Ok(Ok(stream)) => Box::pin(connection::serve(stream, Arc::new(client))).await,
        Ok(Err(error)) => {
            add(&client.edge.counting().handshakes_failed);
            debug!(error = %error, "a client and the edge did not agree on TLS");
        }
        Err(_) => add(&client.edge.counting().handshakes_failed),
    }
}

async fn expire(edge: &Edge) {
    loop {
        sleep(EXPIRE_EVERY).await;
        edge.table().expire(edge.settings().pool_idle_limit);
    }
}

/// Resolves when no connection is open, which ends the lame-duck time early.
async fn none_open(connections: &TaskTracker) {
    while !connections.is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
}
