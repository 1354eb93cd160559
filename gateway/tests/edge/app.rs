//! An application behind the edge, written on bare sockets: it answers byte by byte what the test wants, and
//! keeps what it saw.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

pub(crate) struct App {
    pub(crate) address: SocketAddr,
    seen: Seen,
    connections: Arc<AtomicUsize>,
    task: AbortHandle,
}

type Seen = Arc<Mutex<Vec<String>>>;

/// One connection from the edge.
pub(crate) struct Conn {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
    seen: Seen,
}

impl App {
    /// Every connection is handled by the function, from its first byte.
    pub(crate) async fn new<F, R>(handle: F) -> Self
    where
        F: Fn(Conn) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        App::at(nowhere(), handle).await
    }

    pub(crate) async fn at<F, R>(address: SocketAddr, handle: F) -> Self
    where
        F: Fn(Conn) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, connections) = (Seen::default(), Arc::new(AtomicUsize::new(0)));
        let task = tokio::spawn({
            let (seen, connections) = (Arc::clone(&seen), Arc::clone(&connections));
            async move {
                // Dropped with the task: an app that is killed is dead at once.
                let mut handling = JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    connections.fetch_add(1, Ordering::SeqCst);
                    handling.spawn(handle(Conn { stream, buffer: Vec::new(), seen: Arc::clone(&seen) }));
                }
            }
        });
        App { address, seen, connections, task: task.abort_handle() }
    }

    /// Gives every request the same answer, and keeps the connection open.
    pub(crate) async fn answering(answer: impl Into<String>) -> Self {
        App::answering_at(nowhere(), answer).await
    }

    pub(crate) async fn answering_at(address: SocketAddr, answer: impl Into<String>) -> Self {
        let answer = Arc::new(answer.into());
        App::at(address, move |mut conn| {
            let answer = Arc::clone(&answer);
            async move {
                while conn.request().await.is_some() {
                    conn.write(&*answer).await;
                }
            }
        })
        .await
    }

    /// The requests seen so far, each with head and body, chunks put together.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Ends it as `kill -9` would: everything it has open breaks off.
    pub(crate) fn kill(&self) {
        self.task.abort();
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Conn {
    /// Reads one request to its end. `None`: the edge closed the connection first.
    pub(crate) async fn request(&mut self) -> Option<String> {
        let head = self.head().await?;
        let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            self.chunks().await?
        } else {
            let len = header(&head, "content-length").map_or(0, |len| len.parse().unwrap());
            self.take(len).await?
        };
        let request = format!("{head}{}", String::from_utf8_lossy(&body));
        self.seen.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// Reads a head, and leaves the body to be read.
    pub(crate) async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.take(end + 4).await?;
                return Some(String::from_utf8(head).unwrap());
            }
            self.more().await?;
        }
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // The edge may be gone: the test looks at what its client got.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let len = usize::from_str_radix(line.trim(), 16).unwrap();
            body.extend(self.take(len).await?);
            assert_eq!(self.take(2).await?, b"\r\n");
            if len == 0 {
                return Some(body);
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                return Some(String::from_utf8(self.take(end + 2).await?).unwrap());
            }
            self.more().await?;
        }
    }

    pub(crate) async fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < len {
            self.more().await?;
        }
        Some(self.buffer.drain(..len).collect())
    }

    /// What was read behind the last thing that was asked for.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    async fn more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.buffer).await.unwrap_or(0);
        (read > 0).then_some(())
    }
}

/// The value of a header in a head of text.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn nowhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
