//! A TCP proxy that can be cut: what is behind it is then away, as a server that was stopped or a network
//! that is down.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    is_open: watch::Sender<bool>,
    is_silent: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_open, open) = watch::channel(true);
        let (is_silent, silent) = watch::channel(false);
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (mut open, mut silent, server) = (open.clone(), silent.clone(), server.clone());
                if *open.borrow() {
                    tokio::spawn(async move {
                        let Ok(mut far) = TcpStream::connect(&server).await else { return };
                        let forward = async {
                            if !*silent.borrow() {
                                tokio::select! {
                                    _ = copy_bidirectional(&mut near, &mut far) => return,
                                    _ = silent.wait_for(|silent| *silent) => {}
                                }
                            }
                            std::future::pending().await
                        };
                        tokio::select! {
                            () = forward => {}
                            _ = open.wait_for(|open| !open) => {}
                        }
                    });
                }
            }
        });
        Self { address, is_open, is_silent, task }
    }

    /// Ends all connections, and every new one at once.
    pub(crate) fn cut(&self) {
        self.is_open.send_replace(false);
    }

    /// Nothing goes through any more, and nobody is told: as when a machine is gone.
    pub(crate) fn silence(&self) {
        self.is_silent.send_replace(true);
    }

    pub(crate) fn mend(&self) {
        self.is_silent.send_replace(false);
        self.is_open.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
