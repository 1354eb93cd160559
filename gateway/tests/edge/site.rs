//! An edge that serves on a port of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use switchback_gateway::edge::Edge;
use switchback_gateway::edge::settings::Settings;
use switchback_gateway::edge::table::Route;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::caller::Caller;

/// Every wait in these tests fails after this.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Site {
    pub(crate) edge: Arc<Edge>,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: JoinHandle<()>,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Site::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (edge, shutdown) = (Edge::new(settings), CancellationToken::new());
        let serving = tokio::spawn(Arc::clone(&edge).serve(listener, shutdown.clone()));
        Site { edge, address, shutdown, serving }
    }

    /// An edge with one application, `a.test`.
    pub(crate) async fn of(app: &App) -> Self {
        let site = Site::start().await;
        site.route("a.test", "v1", &[app.address]);
        site
    }

    /// Routes the hostname to a release of the service of the same name.
    pub(crate) fn route(&self, hostname: &str, release: &str, upstreams: &[SocketAddr]) {
        let upstreams = upstreams.to_vec();
        self.edge
            .table()
            .set(hostname, Route { service: hostname.into(), release: release.into(), upstreams });
    }

    pub(crate) async fn caller(&self) -> Caller {
        Caller::connect(self.address).await
    }

    pub(crate) fn failures(&self, code: &str) -> u64 {
        self.edge.counters().failures.iter().filter(|(name, _)| *name == code).map(|(_, count)| count).sum()
    }
}

/// An address nobody listens on.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Waits until something is true.
pub(crate) async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let waiting = async {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(what, waiting).await;
}

/// Fails when it takes too long.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long for: {what}"),
    }
}
