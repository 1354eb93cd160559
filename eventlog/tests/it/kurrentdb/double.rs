//! A double of KurrentDB: a server of our own that speaks its published protocol (`schemas/kurrentdb/`), as
//! far as our adapter and its client use it, and keeps what it is given in memory.
//!
//! It is strict where the real one would answer with an error, and fails where a test wants it to. What it
//! cannot show is whether the real server behaves as its documentation says.

#![expect(clippy::result_large_err, reason = "the errors are those of tonic")]

pub(crate) mod faults;
mod methods;
mod quick;
mod read;
pub(crate) mod store;
mod wire;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use futures::stream;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::Server;

use crate::kurrentdb::double::faults::Faults;
use crate::kurrentdb::double::quick::Quick;
use crate::kurrentdb::double::store::Store;

/// One node. Several may have one store, as the nodes of a cluster have.
pub(crate) struct Double {
    pub(crate) node: Arc<Node>,
    /// On a runtime of its own, so that it can end as a process that is killed: with all its connections.
    runtime: Option<Runtime>,
}

/// What a node is.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<Store>,
    pub(crate) faults: Faults,
    /// Who belongs to its cluster, and who of them leads.
    pub(crate) members: Mutex<Vec<(SocketAddr, bool)>>,
}

impl Double {
    /// An empty one.
    pub(crate) fn start() -> Self {
        Self::with(Arc::new(Store::new()))
    }

    /// One that has what others have.
    pub(crate) fn with(store: Arc<Store>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, faults) = (listener.local_addr().unwrap(), Faults::default());
        let node = Node { address, store, faults, members: Mutex::new(vec![(address, true)]) };
        let mut double = Self { node: Arc::new(node), runtime: None };
        double.serve(listener);
        double
    }

    pub(crate) fn url(&self) -> String {
        format!("esdb://{}?tls=false", self.node.address)
    }

    /// Ends it, in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Starts it again, with what it had.
    pub(crate) fn start_again(&mut self) {
        self.serve(TcpListener::bind(self.node.address).unwrap());
    }

    fn serve(&mut self, listener: TcpListener) {
        listener.set_nonblocking(true).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let node = Arc::clone(&self.node);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let incoming = stream::unfold(listener, |listener| async move {
                let accepted = listener.accept().await.and_then(|(connection, _)| Quick::new(connection));
                Some((accepted, listener))
            });
            let services = Server::builder()
                .add_service(methods::Streams(Arc::clone(&node)))
                .add_service(methods::ServerFeatures(Arc::clone(&node)))
                .add_service(methods::Gossip(node));
            services.serve_with_incoming(incoming).await.unwrap();
        });
        self.runtime = Some(runtime);
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.kill();
    }
}
