//! What a container prints, read from the engine's own log of it, from where somebody has stopped reading.
//!
//! The engine keeps what was printed while nobody read, also while the platform was down, up to the limits of
//! its log; a line has the moment at which it was printed. So a reader goes on after the last line that is
//! stored, however often the engine or the platform went away in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use chrono::{DateTime, Utc};
use eventlog::logs::Channel;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::output::{Output, StoredUntil};
use crate::process::Splitter;
use crate::runtime::docker::container::{Container, Phase};
use crate::runtime::docker::engine::{Engine, Trouble, within};

/// Before reading is tried again.
const PAUSE: Duration = Duration::from_millis(250);
/// A long line comes in pieces whose moments differ, so it is asked for a little more than what is missing.
const OVERLAP_SECONDS: i64 = 2;
/// How long what the engine keeps may take to be read to its end, once the container has ended.
const REST_LIMIT: Duration = Duration::from_mins(5);

/// A container whose lines go to an output.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) container: String,
    pub(super) output: Output,
    /// Cancelled when everything is read: the container is over.
    pub(super) done: CancellationToken,
    /// Whether the engine was away in between.
    pub(super) interrupted: Arc<AtomicBool>,
}

impl Reader {
    /// Reads on, in a task of its own, until the container is over or `closing`.
    pub(super) fn start(
        engine: Arc<Engine>,
        container: String,
        stored: StoredUntil,
        output: Output,
        closing: CancellationToken,
    ) -> Self {
        let (done, interrupted) = (CancellationToken::new(), Arc::default());
        let reader = Self { container, output, done, interrupted };
        let (reading, done) = (reader.clone(), reader.done.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = closing.cancelled() => {}
                () = reading.read(&engine, stored) => done.cancel(),
            }
        });
        reader
    }

    async fn read(&self, engine: &Engine, mut stored: StoredUntil) {
        let mut is_over = false;
        loop {
            let read = self.pass(engine, !is_over, &mut stored).await;
            if is_over && read.is_ok() {
                return;
            }
            match engine.inspect(&self.container).await {
                Ok(None) => return, // Removed with its log.
                Ok(Some(found)) => {
                    let was_over = is_over;
                    is_over = Container::of(found).is_none_or(|found| found.phase == Phase::Over);
                    if is_over && !was_over {
                        continue; // Once more: what it printed last may have come after the end.
                    }
                }
                Err(_) => self.interrupted.store(true, Ordering::Release), // It comes back.
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads until the engine ends it.
    async fn pass(&self, engine: &Engine, follow: bool, stored: &mut StoredUntil) -> Result<(), Trouble> {
        let client = engine.client().await?;
        let resumed = *stored;
        let mut lines = client.logs(&self.container, Some(options(follow, resumed)));
        let (mut out, mut err) = (Lines::default(), Lines::default());
        let reading = async {
            while let Some(frame) = lines.next().await {
                let (channel, line) = match frame? {
                    LogOutput::StdErr { message } => (Channel::Err, err.feed(&message)),
                    LogOutput::StdOut { message } | LogOutput::Console { message } => {
                        (Channel::Out, out.feed(&message))
                    }
                    LogOutput::StdIn { .. } => continue,
                };
                for (at, text) in line {
                    if !resumed.covers(channel, at) {
                        self.output.line_at(channel, at, text).await;
                        stored.note(channel, at);
                    }
                }
            }
            Ok(())
        };
        if follow {
            // Without a limit: an instance may be silent for a year.
            return reading.await.map_err(|error| Trouble::new("read what a container prints", error));
        }
        within(REST_LIMIT, "read what a container printed", reading).await?;
        for (channel, rest) in [(Channel::Out, out.finish()), (Channel::Err, err.finish())] {
            if let Some((at, text)) = rest.filter(|(at, _)| !resumed.covers(channel, *at)) {
                self.output.line_at(channel, at, text).await;
                stored.note(channel, at);
            }
        }
        Ok(())
    }
}

fn options(follow: bool, stored: StoredUntil) -> LogsOptions {
    let both = stored.out.zip(stored.err).map(|(out, err)| out.min(err));
    let since = both.map_or(0, |since| since.timestamp() - OVERLAP_SECONDS);
    LogsOptions {
        follow,
        stdout: true,
        stderr: true,
        timestamps: true,
        since: i32::try_from(since).unwrap_or(0),
        ..LogsOptions::default()
    }
}

/// Puts the frames of one channel together to lines. A line of more than 16 KiB comes in several frames, each
/// with its moment in front.
#[derive(Default)]
struct Lines {
    splitter: Splitter,
    begun: Option<DateTime<Utc>>,
}

impl Lines {
    fn feed(&mut self, frame: &[u8]) -> Vec<(DateTime<Utc>, String)> {
        let (at, text) = moment(frame);
        let at = *self.begun.get_or_insert(at);
        let lines = self.splitter.feed(text);
        if text.ends_with(b"\n") {
            self.begun = None;
        }
        lines.into_iter().map(|line| (at, line)).collect()
    }

    fn finish(&mut self) -> Option<(DateTime<Utc>, String)> {
        Some((self.begun?, self.splitter.finish()?))
    }
}

/// `2026-11-21T18:00:00.123456789Z text`.
fn moment(frame: &[u8]) -> (DateTime<Utc>, &[u8]) {
    let space = frame.iter().position(|byte| *byte == b' ');
    let parsed = space.and_then(|space| {
        let at = std::str::from_utf8(&frame[..space]).ok()?;
        Some((DateTime::parse_from_rfc3339(at).ok()?.to_utc(), &frame[space + 1..]))
    });
    parsed.unwrap_or_else(|| (Utc::now(), frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_moment_of_its_first_piece() {
        let mut lines = Lines::default();
        assert_eq!(lines.feed(b"2026-11-21T18:00:00.000000001Z one"), []);
        let both = lines.feed(b"2026-11-21T18:00:00.000000002Z  more\n");
        let at = DateTime::parse_from_rfc3339("2026-11-21T18:00:00.000000001Z").unwrap().to_utc();
        assert_eq!(both, [(at, "one more".to_owned())]);
        let next = lines.feed(b"2026-11-21T18:00:00.000000003Z a\xffb\n");
        assert_eq!(next[0].1, "a\u{fffd}b");
        assert_eq!(next[0].0.timestamp_subsec_nanos(), 3);
        assert_eq!(lines.feed(b"2026-11-21T18:00:00.000000004Z \n")[0].1, "");
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn reading_goes_on_a_little_before_what_is_missing() {
        let at = |second| DateTime::from_timestamp(second, 5);
        let stored = StoredUntil { out: at(100), err: at(90) };
        assert_eq!(options(true, stored).since, 88);
        assert_eq!(options(true, StoredUntil { out: at(100), err: None }).since, 0);
    }
}
