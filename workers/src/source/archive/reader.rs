//! What unpacking reads from: bytes that come from a store, where only blocking reads can be done.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use eventlog::blobs::Content;
use futures::StreamExt;
use tokio::sync::mpsc;

/// How many pieces may wait to be unpacked.
const WAITING_MAX: usize = 4;

/// Why the bytes ended before their end.
#[derive(Clone, Debug, Default)]
pub(super) struct Failure(Arc<Mutex<Option<io::Error>>>);

impl Failure {
    /// What the store said, if it failed.
    pub(super) fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Bytes as they come.
pub(super) struct ContentReader {
    rest: Bytes,
    waiting: mpsc::Receiver<io::Result<Bytes>>,
    failure: Failure,
}

impl ContentReader {
    /// A reader, what it fails with, and what brings it its bytes: that has to run meanwhile.
    pub(super) fn new(mut content: Content) -> (Self, Failure, impl Future<Output = ()> + Send) {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        let failure = Failure::default();
        let bring = async move {
            while let Some(bytes) = content.next().await {
                if sender.send(bytes).await.is_err() {
                    return; // Nobody reads any more.
                }
            }
        };
        (Self { rest: Bytes::new(), waiting, failure: failure.clone() }, failure, bring)
    }
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.waiting.blocking_recv() {
                Some(Ok(bytes)) => self.rest = bytes,
                Some(Err(err)) => {
                    let seen = io::Error::new(err.kind(), err.to_string());
                    *self.failure.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(err);
                    return Err(seen);
                }
                None => return Ok(0),
            }
        }
        let length = self.rest.len().min(buffer.len());
        self.rest.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
