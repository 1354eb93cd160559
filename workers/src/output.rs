//! Where steps say what they do: the lines a user follows while a deployment runs.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use eventlog::logs::{Channel, LogName, NewLine, SharedLogs};
use tokio::sync::mpsc;
use tracing::warn;

pub use crate::output::mask::Mask;
pub use crate::output::stored::{StoredUntil, stored_until};

mod mask;
mod stored;

/// How many lines may wait to be stored; a program that prints faster is slowed down.
const WAITING_MAX: usize = 2_000;
/// How many lines are stored at once.
const BATCH_MAX: usize = 500;

/// Takes the lines of one step, or of one instance.
#[derive(Clone, Debug)]
pub struct Output {
    origin: Arc<str>,
    lines: mpsc::Sender<NewLine>,
    mask: Mask,
}

impl Output {
    /// Stores lines in `log` under `origin`. The second half ends when every clone of the first is dropped
    /// and all lines are stored; it must be awaited (or spawned).
    pub fn to(
        logs: SharedLogs,
        log: LogName,
        origin: &str,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (lines, mut waiting) = mpsc::channel(WAITING_MAX);
        let store = async move {
            let mut batch = Vec::new();
            while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
                if let Err(error) = logs.append(log, std::mem::take(&mut batch)).await {
                    warn!(log = %log, error = &error as &dyn std::error::Error, "lines of {log} were lost");
                }
            }
        };
        (Self { origin: origin.into(), lines, mask: Mask::default() }, store)
    }

    /// Keeps nothing.
    #[must_use]
    pub fn nowhere() -> Self {
        Self { origin: "".into(), lines: mpsc::channel(1).0, mask: Mask::default() }
    }

    /// The same place for lines, from which these values are taken out.
    #[must_use]
    pub fn masked(&self, mask: Mask) -> Self {
        Self { mask, ..self.clone() }
    }

    /// A line of the program's own.
    pub async fn line(&self, channel: Channel, text: impl Into<String>) {
        self.line_at(channel, Utc::now(), text).await;
    }

    /// A line that was printed a while ago.
    pub async fn line_at(&self, channel: Channel, at: DateTime<Utc>, text: impl Into<String>) {
        let text = self.mask.apply(text.into());
        let line = NewLine { at, channel, origin: self.origin.to_string(), text };
        // Nobody stores any more: the step is being torn down, and the line has no reader.
        let _ = self.lines.send(line).await;
    }

    /// A line of the platform.
    pub async fn say(&self, text: impl Into<String>) {
        self.line(Channel::Platform, text).await;
    }
}
