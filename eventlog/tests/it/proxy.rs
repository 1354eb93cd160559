//! A TCP proxy of our own before NATS: it cuts connections so that answers, or what was asked, are lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What acknowledgements of publishes look like.
const ACKNOWLEDGEMENT: &[u8] = b"\"seq\":";
const PUBLISH: &[u8] = b"HPUB ";

/// Which connections are cut.
#[derive(Default)]
struct Faults {
    /// Of so many acknowledgements one does not arrive; of so many publishes one arrives half.
    every: u32,
    seen: AtomicU32,
}

impl Faults {
    /// Whether something that has to be lost now and then is lost this time.
    fn strikes(&self, bytes: &[u8], what: &[u8]) -> bool {
        let is_there = bytes.windows(what.len()).any(|window| window == what);
        is_there && self.seen.fetch_add(1, Ordering::Relaxed) % self.every == self.every - 1
    }
}

/// Starts a proxy for each of some servers (`nats://…`, commas between), and answers with its URLs.
pub(crate) async fn start(urls: &str, every: u32) -> String {
    // Answers and questions are counted together; a prime keeps both in turn.
    let faults = Arc::new(Faults { every: every | 1, seen: AtomicU32::new(0) });
    let mut proxies = Vec::new();
    for url in urls.split(',') {
        let server = url.strip_prefix("nats://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        proxies.push(format!("nats://{}", listener.local_addr().unwrap()));
        let faults = Arc::clone(&faults);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, faults) = (server.clone(), Arc::clone(&faults));
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::select! {
                        () = pass_questions(from_client, to_server, &faults) => {}
                        () = pass_answers(from_server, to_client, &faults) => {}
                    }
                });
            }
        });
    }
    proxies.join(",")
}

async fn pass_questions(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, faults: &Faults) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..read];
        if faults.strikes(bytes, PUBLISH) {
            // Half of it arrives; whether the publish was in that half, the client cannot know.
            let _ = to.write_all(&bytes[..read / 2]).await;
            return;
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

async fn pass_answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, faults: &Faults) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let bytes = &mut buffer[..read];
        // The client must not learn of ways around us.
        if let Some(at) = bytes.windows(12).position(|window| window == b"connect_urls") {
            bytes[at] = b'x';
        }
        if faults.strikes(bytes, ACKNOWLEDGEMENT) || to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
