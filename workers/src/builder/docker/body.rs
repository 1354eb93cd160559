//! Bodies of requests to the engine: nothing, or a stream that another thread fills.

use std::io::{self, Write};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;

/// How many pieces may wait to be sent.
const WAITING_MAX: usize = 8;
/// How large a piece is.
const PIECE_BYTES: usize = 64 * 1024;

/// The body of a request.
pub(super) type Body = BoxBody<Bytes, io::Error>;

pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// A body, and where it is written from a thread of its own. It ends well only by [`Pipe::finish`]: whoever
/// reads the other side must not take half of it for the whole.
pub(super) fn pipe() -> (Pipe, Body) {
    let (pieces, mut waiting) = mpsc::channel::<io::Result<Bytes>>(WAITING_MAX);
    let stream = futures::stream::poll_fn(move |context| waiting.poll_recv(context));
    let frames = futures::StreamExt::map(stream, |piece| piece.map(Frame::data));
    (Pipe { pieces, buffer: Vec::with_capacity(PIECE_BYTES) }, StreamBody::new(frames).boxed())
}

/// The writing half.
pub(super) struct Pipe {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Pipe {
    fn send(&mut self, piece: io::Result<Bytes>) -> io::Result<()> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the engine reads no more");
        self.pieces.blocking_send(piece).map_err(gone)
    }

    /// Sends what is left.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush()
    }

    /// Breaks the request off.
    pub(super) fn abort(mut self) {
        let broken = io::Error::other("the context could not be read");
        // Nobody reads any more: that is what is wanted.
        let _ = self.send(Err(broken));
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE_BYTES));
        self.send(Ok(Bytes::from(piece)))
    }
}
