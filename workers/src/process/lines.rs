//! What a program prints: cut into lines, or kept as it is.

use std::sync::{Arc, Mutex, PoisonError};

use eventlog::logs::{Channel, MAX_LINE_BYTES};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::output::Output;

/// Stands at the end of a line that was cut.
pub(crate) const CUT: &str = " … (the line is longer)";
/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// Where an output of a program goes.
#[derive(Clone, Debug)]
pub enum Sink {
    /// Line by line to those who follow.
    Lines(Output, Channel),
    /// Into memory.
    Bytes(Buffer),
    /// Nowhere.
    Nothing,
}

/// What a program printed, up to a limit; the rest is read and dropped.
#[derive(Clone, Debug)]
pub struct Buffer {
    content: Arc<Mutex<Vec<u8>>>,
    limit: usize,
}

impl Buffer {
    /// With room for `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { content: Arc::default(), limit }
    }

    /// What is in it by now: all of it, once the program's [`Child`](crate::process::Child) has ended.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.content.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it has no more room, so that something may be missing.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).len() >= self.limit
    }

    fn push(&self, bytes: &[u8]) {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.limit.saturating_sub(content.len());
        content.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Reads an output to its end.
pub(super) async fn drain(mut pipe: impl AsyncRead + Unpin, sink: Sink) {
    let mut read = vec![0; READ_BYTES];
    let mut splitter = Splitter::default();
    loop {
        // An output that cannot be read is at its end as well.
        let length = pipe.read(&mut read).await.unwrap_or(0);
        let bytes = &read[..length];
        match &sink {
            Sink::Bytes(buffer) => buffer.push(bytes),
            Sink::Lines(output, channel) => {
                for line in splitter.feed(bytes) {
                    output.line(*channel, line).await;
                }
            }
            Sink::Nothing => {}
        }
        if length == 0 {
            break;
        }
    }
    if let (Sink::Lines(output, channel), Some(line)) = (&sink, splitter.finish()) {
        output.line(*channel, line).await;
    }
}

/// Cuts bytes into lines. Holds one line at most, and of that no more than a line may have.
#[derive(Default)]
pub(crate) struct Splitter {
    line: Vec<u8>,
    is_cut: bool,
}

impl Splitter {
    /// The lines that end within `bytes`.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = vec![];
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.add(&rest[..end]);
            lines.push(self.take());
            rest = &rest[end + 1..];
        }
        self.add(rest);
        lines
    }

    /// The last line, when it has no end.
    pub(crate) fn finish(&mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| self.take())
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = MAX_LINE_BYTES - CUT.len() - self.line.len();
        // A line end of two bytes is no more text, so one byte above is not more than a line may have.
        self.is_cut |= bytes.len() > room && bytes[room..] != *b"\r";
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn take(&mut self) -> String {
        let bytes = std::mem::take(&mut self.line);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        // A progress bar draws over itself; what a terminal would show in the end is its last state.
        let shown = bytes.rsplit(|byte| *byte == b'\r').find(|part| !part.is_empty()).unwrap_or_default();
        let mut text = String::from_utf8_lossy(shown).into_owned();
        if std::mem::take(&mut self.is_cut) {
            text.truncate(text.floor_char_boundary(MAX_LINE_BYTES - CUT.len()));
            text.push_str(CUT);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(parts: &[&[u8]]) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut lines: Vec<String> = parts.iter().flat_map(|part| splitter.feed(part)).collect();
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn lines_come_out_whole_however_they_are_read() {
        let text = b"one\ntwo\r\n\nthr\xc3\xa4e\nend";
        for at in 0..text.len() {
            let (a, b) = text.split_at(at);
            assert_eq!(lines(&[a, b]), ["one", "two", "", "thräe", "end"], "{at}");
        }
    }

    #[test]
    fn what_is_not_utf_8_is_replaced() {
        assert_eq!(lines(&[b"a\xffb\n"]), ["a\u{fffd}b"]);
    }

    #[test]
    fn a_progress_bar_leaves_its_last_state() {
        assert_eq!(lines(&[b"10 %\r50 %\r100 %\n", b"5 %\r\r\n"]), ["100 %", "5 %"]);
    }

    #[test]
    fn a_line_at_the_limit_is_kept_and_one_above_is_cut() {
        let most = MAX_LINE_BYTES - CUT.len();
        let whole = "x".repeat(most);
        assert_eq!(lines(&[whole.as_bytes(), b"\n"]), [whole.as_str()]);
        assert_eq!(lines(&[whole.as_bytes(), b"\r\n"]), [whole.as_str()]);
        let cut = lines(&[whole.as_bytes(), b"yy", b"zzz\nnext\n"]);
        assert_eq!(cut, [format!("{whole}{CUT}"), "next".to_owned()]);
        assert_eq!(cut[0].len(), MAX_LINE_BYTES);
        // Each byte that is no text becomes three.
        let noise = vec![0xff; 2 * MAX_LINE_BYTES];
        assert!(lines(&[&noise])[0].len() <= MAX_LINE_BYTES);
    }

    #[test]
    fn a_buffer_keeps_no_more_than_its_limit() {
        let buffer = Buffer::new(5);
        buffer.push(b"abc");
        assert!(!buffer.is_full());
        buffer.push(b"defg");
        assert!(buffer.is_full());
        assert_eq!(buffer.take(), b"abcde");
    }
}
