//! One client connection, as the requests on it and its limits see it.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes};
use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::edge::Edge;
use crate::edge::stop::Stop;
use crate::edge::tunnel::Tunnel;

/// What is known of a client connection. Only its own task and its streams write here, so nothing is
/// contended.
pub(crate) struct Client {
    pub(crate) edge: Arc<Edge>,
    pub(crate) stop: Arc<Stop>,
    /// The client's address, as `X-Forwarded-For` says it.
    pub(crate) address: HeaderValue,
    /// Whether it came by TLS.
    pub(crate) is_secure: bool,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    /// The client does not take what is written.
    write_blocked: AtomicBool,
    /// Requests whose answer is not finished.
    in_request: AtomicUsize,
    requests: AtomicU64,
    /// What had been read when the last request ended: anything more begins the next one.
    read_at_end: AtomicU64,
    body_left_unread: AtomicBool,
    tunnel: Mutex<Option<Tunnel>>,
}

impl Client {
    pub(crate) fn new(edge: Arc<Edge>, stop: Arc<Stop>, address: IpAddr, is_secure: bool) -> Self {
        let address = address.to_canonical().to_string();
        Client {
            edge,
            stop,
            address: HeaderValue::from_str(&address).unwrap_or(HeaderValue::from_static("unknown")),
            is_secure,
            bytes_read: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            write_blocked: AtomicBool::new(false),
            in_request: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            read_at_end: AtomicU64::new(0),
            body_left_unread: AtomicBool::new(false),
            tunnel: Mutex::new(None),
        }
    }

    /// Bytes in both directions: it stands still when nothing moves.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed) + self.bytes_written.load(Ordering::Relaxed)
    }

    /// A request ended before its body had been read.
    pub(crate) fn body_left_unread(&self) {
        self.body_left_unread.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_unread_body(&self) -> bool {
        self.body_left_unread.load(Ordering::Relaxed)
    }

    /// Leaves a tunnel for the connection's task, which runs it when hyper has let go of the connection.
    pub(crate) fn open_tunnel(&self, tunnel: Tunnel) {
        *self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
    }

    pub(crate) fn take_tunnel(&self) -> Option<Tunnel> {
        self.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A request that runs for as long as this lives.
pub(crate) struct InRequest(Arc<Client>);

impl InRequest {
    pub(crate) fn new(client: &Arc<Client>) -> Self {
        client.in_request.fetch_add(1, Ordering::Relaxed);
        client.requests.fetch_add(1, Ordering::Relaxed);
        InRequest(Arc::clone(client))
    }
}

impl Drop for InRequest {
    fn drop(&mut self) {
        self.0.in_request.fetch_sub(1, Ordering::Relaxed);
        self.0.read_at_end.store(self.0.bytes_read.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// The limits of a client connection, looked at once per tick: the fast path sets no timer and reads no
/// clock.
pub(crate) struct Limits {
    /// HTTP/2 frames come at any time, so a byte does not begin a request there.
    bytes_begin_a_head: bool,
    requests: u64,
    written: u64,
    idle_since: Option<Instant>,
    head_since: Option<Instant>,
    blocked_since: Option<Instant>,
}

/// Which limit is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// Nothing has been asked for too long: the connection may be closed politely.
    Idle,
    /// A head does not become complete, or an answer is not taken.
    Stuck,
}

impl Limits {
    pub(crate) fn new(bytes_begin_a_head: bool) -> Self {
        Limits {
            bytes_begin_a_head,
            requests: 0,
            written: 0,
            idle_since: None,
            head_since: bytes_begin_a_head.then(Instant::now),
            blocked_since: None,
        }
    }

    pub(crate) fn look(&mut self, client: &Client) -> Option<Overdue> {
        let (settings, now) = (client.edge.settings(), Instant::now());
        let since = |since: &mut Option<Instant>| now.duration_since(*since.get_or_insert(now));

        let written = client.bytes_written.load(Ordering::Relaxed);
        if !client.write_blocked.load(Ordering::Relaxed) || written != self.written {
            self.blocked_since = None;
        } else if since(&mut self.blocked_since) >= settings.stall_limit {
            return Some(Overdue::Stuck);
        }
        self.written = written;

        let requests = client.requests.load(Ordering::Relaxed);
        if client.in_request.load(Ordering::Relaxed) > 0 || requests != self.requests {
            self.requests = requests;
            (self.idle_since, self.head_since) = (None, None);
            return None;
        }
        let read = client.bytes_read.load(Ordering::Relaxed);
        let began = requests == 0 || read > client.read_at_end.load(Ordering::Relaxed);
        if self.bytes_begin_a_head && began && since(&mut self.head_since) >= settings.head_limit {
            return Some(Overdue::Stuck);
        }
        (since(&mut self.idle_since) >= settings.idle_limit).then_some(Overdue::Idle)
    }
}

/// The client's end of the connection: it counts what moves, and gives back what was read to tell the
/// protocol.
pub(crate) struct ClientIo<S> {
    stream: S,
    first: Bytes,
    client: Arc<Client>,
}

impl<S> ClientIo<S> {
    pub(crate) fn new(stream: S, client: Arc<Client>) -> Self {
        ClientIo { stream, first: Bytes::new(), client }
    }

    /// Makes these the next bytes to be read.
    pub(crate) fn unread(&mut self, first: Bytes) {
        self.first = first;
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        match polled {
            Poll::Ready(Ok(written)) => {
                self.client.bytes_written.fetch_add(*written as u64, Ordering::Relaxed);
                self.client.write_blocked.store(false, Ordering::Relaxed);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.client.write_blocked.store(true, Ordering::Relaxed),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let len = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first[..len]);
            self.first.advance(len);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        self.client.bytes_read.fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
