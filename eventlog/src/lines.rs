//! What every log store does with a line: cut it where it is too long, end a log that is too long, follow one
//! that grows.

use std::collections::VecDeque;

use async_trait::async_trait;
use chrono::Utc;
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::watch;

use crate::error::StoreError;
use crate::logs::{Channel, Line, MAX_LINE_BYTES, NewLine};

/// The last line of a build's log that is at its limit.
pub(crate) const LIMIT_REACHED: &str = "… log limit reached, the rest is not kept";
/// What a line that was cut ends with.
pub(crate) const LINE_CUT: &str = " … (line cut)";
/// How many lines a follower reads at once.
const READ_AT_ONCE: usize = 1000;

/// A line as it is kept.
pub(crate) fn keep(number: u64, line: NewLine) -> Line {
    let NewLine { at, channel, origin, mut text } = line;
    if text.len() > MAX_LINE_BYTES {
        text.truncate(text.floor_char_boundary(MAX_LINE_BYTES - LINE_CUT.len()));
        text.push_str(LINE_CUT);
    }
    Line { number, at, channel, origin, text }
}

/// The line that says that a log is cut.
pub(crate) fn limit_reached(number: u64) -> Line {
    let (channel, origin) = (Channel::Platform, "log".to_owned());
    Line { number, at: Utc::now(), channel, origin, text: LIMIT_REACHED.to_owned() }
}

/// Whether a line says that its log is cut.
pub(crate) fn is_limit_reached(line: &Line) -> bool {
    line.channel == Channel::Platform && line.text == LIMIT_REACHED
}

/// A log that can be read piece by piece.
#[async_trait]
pub(crate) trait Pieces: Send + 'static {
    /// Lines after those that were read last, at most `limit`; empty when there are none now.
    async fn next(&mut self, limit: usize) -> Result<Vec<Line>, StoreError>;
}

struct Follower<P> {
    pieces: P,
    /// The number of the last line there is; closed when the log is removed.
    grown: watch::Receiver<u64>,
    ready: VecDeque<Line>,
    is_over: bool,
}

impl<P: Pieces> Follower<P> {
    /// The next line; none when the log is removed.
    async fn next(&mut self) -> Result<Option<Line>, StoreError> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            // Marked as seen before it is read: what comes meanwhile wakes us again.
            self.grown.mark_unchanged();
            self.ready = self.pieces.next(READ_AT_ONCE).await?.into();
            if self.ready.is_empty() && self.grown.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}

/// As [`crate::logs::LogStore::follow`].
pub(crate) fn follow<P: Pieces>(
    pieces: P,
    grown: watch::Receiver<u64>,
) -> BoxStream<'static, Result<Line, StoreError>> {
    let follower = Follower { pieces, grown, ready: VecDeque::new(), is_over: false };
    stream::unfold(follower, |mut follower| async move {
        if follower.is_over {
            return None;
        }
        let next = follower.next().await.transpose()?;
        follower.is_over = next.is_err();
        Some((next, follower))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: String) -> String {
        keep(1, NewLine { at: Utc::now(), channel: Channel::Out, origin: "build".to_owned(), text }).text
    }

    #[test]
    fn a_line_at_the_limit_is_kept_and_a_longer_one_is_cut_at_a_character() {
        assert_eq!(kept("x".repeat(MAX_LINE_BYTES)), "x".repeat(MAX_LINE_BYTES));
        let cut = kept("ä".repeat(MAX_LINE_BYTES / 2 + 1));
        assert!(cut.len() <= MAX_LINE_BYTES && cut.ends_with(LINE_CUT) && cut.starts_with("ää"));
    }
}
