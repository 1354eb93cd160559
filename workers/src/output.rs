//! Where steps say what they do: the lines a user follows while a deployment runs.
//!
//! Lines wait in a queue until they are stored. While the store is away they are kept and tried again, and a
//! program that prints more than the queue takes is slowed down; when the store is away for so long that the
//! program would stand still, lines are left out, and where they would stand a line says how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use eventlog::logs::{Channel, LogName, NewLine, SharedLogs};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

pub use crate::output::mask::Mask;
use crate::output::store::Storing;
pub use crate::output::stored::{StoredUntil, stored_until};

mod mask;
mod store;
mod stored;

/// How many lines may wait to be stored; a program that prints faster is slowed down.
const WAITING_MAX: usize = 2_000;
/// When the store is away for longer than this, programs are not slowed down any more: lines are left out.
const PATIENCE: Duration = Duration::from_mins(2);

/// Takes the lines of one step, or of one instance.
#[derive(Clone, Debug)]
pub struct Output {
    origin: Arc<str>,
    lines: mpsc::Sender<NewLine>,
    mask: Mask,
    shared: Arc<Shared>,
    /// Since when the store is away.
    away: watch::Receiver<Option<Instant>>,
    patience: Duration,
}

/// What all clones of an output have in common.
#[derive(Debug, Default)]
struct Shared {
    /// How many lines were left out since it was last said.
    left_out: AtomicU64,
    /// The time of the last line, in nanoseconds.
    last: AtomicI64,
    /// Whether another process may read the same lines.
    has_other_readers: AtomicBool,
}

impl Shared {
    /// The time of a line; no two lines of an output have the same.
    fn now(&self) -> DateTime<Utc> {
        let now = Utc::now().timestamp_nanos_opt().unwrap_or_default();
        let previous = self.last.fetch_max(now, Ordering::Relaxed);
        if previous < now {
            return DateTime::from_timestamp_nanos(now);
        }
        DateTime::from_timestamp_nanos(self.last.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The line that says how many were left out, if any were.
    fn note(&self, origin: &str) -> Option<NewLine> {
        let count = self.left_out.swap(0, Ordering::Relaxed);
        let lines = if count == 1 { "1 line is".to_owned() } else { format!("{count} lines are") };
        let text = format!("… {lines} missing here: they could not be stored in time");
        let (at, origin) = (self.now(), origin.to_owned());
        (count > 0).then_some(NewLine { at, channel: Channel::Platform, origin, text })
    }
}

impl Output {
    /// Stores lines in `log` under `origin`. The second half ends when every clone of the first is dropped
    /// and all lines are stored; it must be awaited (or spawned).
    pub fn to(
        logs: SharedLogs,
        log: LogName,
        origin: &str,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        Self::with_patience(logs, log, origin, PATIENCE)
    }

    fn with_patience(
        logs: SharedLogs,
        log: LogName,
        origin: &str,
        patience: Duration,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (lines, waiting) = mpsc::channel(WAITING_MAX);
        let (sender, away) = watch::channel(None);
        let (origin, shared) = (Arc::<str>::from(origin), Arc::<Shared>::default());
        let output = Self {
            origin: origin.clone(),
            lines,
            mask: Mask::default(),
            shared: shared.clone(),
            away,
            patience,
        };
        let storing = Storing { logs, log, origin, waiting, shared, away: sender, patience };
        (output, storing.run())
    }

    /// Keeps nothing.
    #[must_use]
    pub fn nowhere() -> Self {
        Self {
            origin: "".into(),
            lines: mpsc::channel(1).0,
            mask: Mask::default(),
            shared: Arc::default(),
            away: watch::channel(None).1,
            patience: PATIENCE,
        }
    }

    /// The same place for lines, from which these values are taken out.
    #[must_use]
    pub fn masked(&self, mask: Mask) -> Self {
        Self { mask, ..self.clone() }
    }

    /// A line of the program's own.
    pub async fn line(&self, channel: Channel, text: impl Into<String>) {
        self.put(channel, None, text.into()).await;
    }

    /// A line that was printed a while ago, and that another process may have read as well: it is stored
    /// unless one of that time is there.
    pub async fn line_at(&self, channel: Channel, at: DateTime<Utc>, text: impl Into<String>) {
        self.shared.has_other_readers.store(true, Ordering::Relaxed);
        self.put(channel, Some(at), text.into()).await;
    }

    async fn put(&self, channel: Channel, at: Option<DateTime<Utc>>, text: String) {
        let text = self.mask.apply(text);
        loop {
            // Nobody stores any more: the step is being torn down, and the line has no reader.
            let Ok(place) = self.place().await else { return };
            let Some(place) = place else {
                self.shared.left_out.fetch_add(1, Ordering::Relaxed);
                return;
            };
            if let Some(note) = self.shared.note(&self.origin) {
                place.send(note);
                continue;
            }
            let at = at.unwrap_or_else(|| self.shared.now());
            place.send(NewLine { at, channel, origin: self.origin.to_string(), text });
            return;
        }
    }

    /// A line of the platform.
    pub async fn say(&self, text: impl Into<String>) {
        self.line(Channel::Platform, text).await;
    }

    /// A place in the queue, as soon as there is one; none when it is not waited for any longer.
    async fn place(&self) -> Result<Option<mpsc::Permit<'_, NewLine>>, mpsc::error::SendError<()>> {
        let mut away = self.away.clone();
        loop {
            let since = *away.borrow_and_update();
            let patience = async {
                match since {
                    Some(since) => tokio::time::sleep_until(since + self.patience).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                place = self.lines.reserve() => return place.map(Some),
                Ok(()) = away.changed() => {}
                () = patience => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests;
