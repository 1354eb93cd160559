//! One connection to an upstream, driven by the task whose request it carries.
//!
//! hyper's connection would usually run as a task of its own, which costs two wake-ups in another task per
//! request. Here it is polled by whoever waits for its answer, and by nobody while it is idle in the pool;
//! what happened to it meanwhile shows when it is polled next, before anything is written to it.

use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::edge::body::{RequestBody, Upload};
use crate::edge::release::Release;
use crate::measure;

/// Read and write buffers grow to this and no further, however large a body is.
pub(crate) const BUFFER_BYTES_MAX: usize = 128 << 10;

/// A connection to an upstream.
pub(crate) struct Link {
    sender: SendRequest<RequestBody>,
    connection: Connection<TokioIo<TcpStream>, RequestBody>,
    ended: bool,
}

/// Why a request got no answer.
pub(crate) enum Unanswered {
    /// The connection was dead before a byte was written: the request may go elsewhere.
    NotSent(Box<Request<RequestBody>>),
    /// The request may have been received. It must not be repeated.
    Broken(hyper::Error),
    /// The release was cut.
    Cut,
    /// The limit is over.
    Late,
}

/// What a request that waits for its answer is watched for.
pub(crate) struct Watch<'a> {
    pub(crate) release: &'a Release,
    pub(crate) answer_limit: Duration,
    pub(crate) upload: Option<&'a Upload>,
}

impl Link {
    pub(crate) async fn connect(address: SocketAddr, limit: Duration) -> std::io::Result<Self> {
        let stream = tokio::time::timeout(limit, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        let (sender, connection) = Builder::new()
            .max_buf_size(BUFFER_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        Ok(Link { sender, connection, ended: false })
    }

    /// Sends a request and waits for the head of the answer. Its body is read by polling it and
    /// [`Link::drive`].
    ///
    /// Whoever waits must be woken now and then (see `Settings::tick`), or the watch sees nothing.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<RequestBody>,
        watch: Watch<'_>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let began = Instant::now();
        let answered = self.send(request, watch).await;
        if !matches!(answered, Err(Unanswered::NotSent(_))) {
            measure::upstream_answered(answered.as_ref().ok().map(Response::status), began.elapsed());
        }
        answered
    }

    async fn send(
        &mut self,
        request: Request<RequestBody>,
        watch: Watch<'_>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let mut patience = Patience::new(&watch);
        std::future::poll_fn(|cx| {
            if !self.ended {
                self.ended = self.connection.poll_without_shutdown(cx).is_ready();
            }
            match answer.as_mut().poll(cx) {
                Poll::Ready(Ok(response)) => Poll::Ready(Ok(response)),
                Poll::Ready(Err(mut error)) => Poll::Ready(Err(match error.take_message() {
                    Some(request) => Unanswered::NotSent(Box::new(request)),
                    None => Unanswered::Broken(error.into_error()),
                })),
                Poll::Pending if watch.release.is_cut() => Poll::Ready(Err(Unanswered::Cut)),
                Poll::Pending if patience.is_over() => Poll::Ready(Err(Unanswered::Late)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Moves bytes in both directions, as far as they go.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.ended {
            // An error is seen by whoever waits for the answer or reads the body.
            self.ended = self.connection.poll_without_shutdown(cx).is_ready();
        }
    }

    /// Whether another request may be sent: the last one is wholly sent, its answer wholly read, and both
    /// sides want to go on.
    pub(crate) fn is_reusable(&self) -> bool {
        !self.ended && self.sender.is_ready()
    }

    /// After a 101: the bare connection, and what was already read from it.
    pub(crate) async fn into_stream(mut self) -> (TcpStream, Bytes) {
        std::future::poll_fn(|cx| {
            self.drive(cx);
            if self.ended { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let parts = self.connection.into_parts();
        (parts.io.into_inner(), parts.read_buf)
    }
}

/// How long to wait for an answer: the limit counts from the last byte of the request that went on.
struct Patience<'a> {
    limit: Duration,
    upload: Option<&'a Upload>,
    seen: u64,
    since: Instant,
}

impl<'a> Patience<'a> {
    fn new(watch: &Watch<'a>) -> Self {
        Patience { limit: watch.answer_limit, upload: watch.upload, seen: 0, since: Instant::now() }
    }

    fn is_over(&mut self) -> bool {
        let now = Instant::now();
        if let Some(upload) = self.upload {
            let bytes = upload.bytes();
            if bytes != self.seen {
                (self.seen, self.since) = (bytes, now);
            }
        }
        now.duration_since(self.since) >= self.limit
    }
}
