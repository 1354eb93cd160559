//! Bodies on their way through: one piece at a time, counted, watched, never kept.
//!
//! A request body ends in a failure when it is over its limit or the client stalls. A response body carries
//! what must live exactly as long as the answer: the connection to the upstream and the count of what is in
//! flight.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::edge::client::{Client, InRequest};
use crate::edge::passage::Passage;

/// Why a body could not be carried on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("read the client's body")]
    Client(#[source] hyper::Error),
    #[error("the client's body is over the limit")]
    TooLarge,
    #[error("the client stopped sending its body")]
    Stalled,
    #[error("read the application's answer")]
    Upstream(#[source] hyper::Error),
    #[error("the application's answer stood still for too long")]
    Quiet,
    #[error("the release was replaced and its drain limit is over")]
    Cut,
}

/// How far a request body has come; shared with whoever waits for the answer.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    bytes: AtomicU64,
    too_large: AtomicBool,
    stalled: AtomicBool,
}

impl Upload {
    /// Bytes that went on to the application.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_too_large(&self) -> bool {
        self.too_large.load(Ordering::Relaxed)
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }
}

/// A request body that goes to the application.
pub(crate) struct RequestBody {
    incoming: Incoming,
    watched: Option<Watched>,
}

/// What only a request with a body needs.
struct Watched {
    client: Arc<Client>,
    upload: Arc<Upload>,
    bytes_left: u64,
    stall: Stall,
    ended: bool,
}

impl RequestBody {
    /// Takes the body over; the second value tells how far it has come, where there is a body at all.
    pub(crate) fn new(
        incoming: Incoming,
        client: &Arc<Client>,
        bytes_max: Option<u64>,
        stall_limit: Duration,
    ) -> (Self, Option<Arc<Upload>>) {
        if incoming.is_end_stream() {
            return (RequestBody { incoming, watched: None }, None);
        }
        let upload = Arc::new(Upload::default());
        let watched = Watched {
            client: Arc::clone(client),
            upload: Arc::clone(&upload),
            bytes_left: bytes_max.unwrap_or(u64::MAX),
            stall: Stall::new(stall_limit),
            ended: false,
        };
        (RequestBody { incoming, watched: Some(watched) }, Some(upload))
    }
}

impl Watched {
    fn look(
        &mut self,
        polled: Poll<Option<Result<Frame<Bytes>, hyper::Error>>>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.stall.moved();
                let len = frame.data_ref().map_or(0, |data| data.len() as u64);
                let Some(left) = self.bytes_left.checked_sub(len) else {
                    self.upload.too_large.store(true, Ordering::Relaxed);
                    return Poll::Ready(Some(Err(BodyError::TooLarge)));
                };
                self.bytes_left = left;
                self.upload.bytes.fetch_add(len, Ordering::Relaxed);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyError::Client(error)))),
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Pending if self.stall.is_over() => {
                self.upload.stalled.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err(BodyError::Stalled)))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The client still sends; its answer must not be lost to a reset.
        if !self.ended {
            self.client.body_left_unread();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(watched) = &mut this.watched else { return Poll::Ready(None) };
        loop {
            let polled = Pin::new(&mut this.incoming).poll_frame(cx);
            // Trailers could name any header, after the edge has looked at the headers: they end here.
            if matches!(&polled, Poll::Ready(Some(Ok(frame))) if frame.is_trailers()) {
                continue;
            }
            let looked = watched.look(polled);
            watched.ended |= this.incoming.is_end_stream();
            return looked;
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// What a client is answered with.
pub(crate) struct ResponseBody {
    content: Content,
    /// The client's connection is not idle while this lives.
    _in_request: InRequest,
}

enum Content {
    Page(Option<Bytes>),
    Stream(Stream),
}

struct Stream {
    incoming: Incoming,
    /// Given back to the pool as soon as the last byte has been read.
    passage: Option<Passage>,
    quiet: Stall,
    failed: Option<BodyError>,
    cut: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl ResponseBody {
    pub(crate) fn page(page: Bytes, in_request: InRequest) -> Self {
        let page = (!page.is_empty()).then_some(page);
        ResponseBody { content: Content::Page(page), _in_request: in_request }
    }

    /// The application's body, read over the passage it was asked for on.
    pub(crate) fn stream(
        incoming: Incoming,
        passage: Passage,
        quiet_limit: Duration,
        in_request: InRequest,
    ) -> Self {
        let mut stream = Stream {
            incoming,
            passage: Some(passage),
            quiet: Stall::new(quiet_limit),
            failed: None,
            cut: None,
        };
        if stream.incoming.is_end_stream() {
            stream.finish(&mut Context::from_waker(std::task::Waker::noop()));
        }
        ResponseBody { content: Content::Stream(stream), _in_request: in_request }
    }
}

impl Stream {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let mut polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if polled.is_pending() {
            // Nobody else reads from the upstream: this task does, here.
            if let Some(passage) = &mut self.passage {
                passage.link.drive(cx);
            }
            polled = Pin::new(&mut self.incoming).poll_frame(cx);
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.quiet.moved();
                if self.incoming.is_end_stream() {
                    self.finish(cx);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.finish(cx);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => self.fail(cx, BodyError::Upstream(error)),
            Poll::Pending if self.is_cut(cx) => self.fail(cx, BodyError::Cut),
            Poll::Pending if self.quiet.is_over() => self.fail(cx, BodyError::Quiet),
            Poll::Pending => Poll::Pending,
        }
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        if let Some(passage) = self.passage.take() {
            passage.finish(cx);
        }
    }

    /// The connection to the upstream is dropped: what is left of the answer must not reach another client.
    ///
    /// hyper drops what it has not written yet when a body fails. So it gets one turn to write that first,
    /// and the client sees as much of the answer as there was.
    fn fail(
        &mut self,
        cx: &mut Context<'_>,
        error: BodyError,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(passage) = self.passage.take() {
            passage.fail(&error);
        }
        self.failed = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Asks to be woken when the release is cut, from the first time nothing is there to be read.
    fn is_cut(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(passage) = &self.passage else { return false };
        let token = || passage.admitted.release().cut_token().clone().cancelled_owned();
        self.cut.get_or_insert_with(|| Box::pin(token())).as_mut().poll(cx).is_ready()
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.content {
            Content::Page(page) => Poll::Ready(page.take().map(|page| Ok(Frame::data(page)))),
            Content::Stream(stream) => stream.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Page(page) => page.is_none(),
            Content::Stream(stream) => stream.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Page(page) => SizeHint::with_exact(page.as_ref().map_or(0, |page| page.len() as u64)),
            Content::Stream(stream) => stream.incoming.size_hint(),
        }
    }
}

/// For how long nothing has moved. The clock is only read when there is nothing to do.
pub(crate) struct Stall {
    limit: Duration,
    since: Option<Instant>,
}

impl Stall {
    pub(crate) fn new(limit: Duration) -> Self {
        Stall { limit, since: None }
    }

    pub(crate) fn moved(&mut self) {
        self.since = None;
    }

    /// Whether nothing has moved for the limit; to be asked whenever nothing moves.
    pub(crate) fn is_over(&mut self) -> bool {
        self.since.get_or_insert_with(Instant::now).elapsed() >= self.limit
    }
}
