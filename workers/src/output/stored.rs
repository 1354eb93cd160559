//! Up to when an instance's lines are stored, so that whoever goes on reading stores none twice.

use chrono::{DateTime, Utc};
use eventlog::error::StoreError;
use eventlog::logs::{Channel, Line, LogName, LogStore};

/// How many lines are looked at together.
const PAGE: usize = 2_000;
/// How often it looks further back, for an instance that has long printed nothing.
const PAGES_MAX: usize = 50;

/// When the last stored line of each channel was printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredUntil {
    /// Of standard output.
    pub out: Option<DateTime<Utc>>,
    /// Of standard error.
    pub err: Option<DateTime<Utc>>,
}

impl StoredUntil {
    /// Whether a line of that moment is stored.
    #[must_use]
    pub fn covers(&self, channel: Channel, at: DateTime<Utc>) -> bool {
        self.of(channel).is_some_and(|until| at <= until)
    }

    /// Notes that a line is stored.
    pub fn note(&mut self, channel: Channel, at: DateTime<Utc>) {
        let until = self.of(channel).map_or(at, |until| until.max(at));
        match channel {
            Channel::Out => self.out = Some(until),
            Channel::Err => self.err = Some(until),
            Channel::Platform => {}
        }
    }

    fn of(&self, channel: Channel) -> Option<DateTime<Utc>> {
        match channel {
            Channel::Out => self.out,
            Channel::Err => self.err,
            Channel::Platform => None,
        }
    }

    /// As some lines in a row show it. A channel that has none among them has none after the first of the
    /// origin, since both are stored in one order.
    fn among(lines: &[Line], origin: &str) -> Self {
        let mut stored = Self::default();
        let of_origin = || lines.iter().filter(|line| line.origin == origin);
        for line in of_origin() {
            stored.note(line.channel, line.at);
        }
        let first = of_origin().find(|line| line.channel != Channel::Platform).map(|line| line.at);
        Self { out: stored.out.or(first), err: stored.err.or(first) }
    }
}

/// Up to when the lines of an origin are stored in a log.
///
/// # Errors
/// [`StoreError`].
pub async fn stored_until(
    logs: &dyn LogStore,
    log: LogName,
    origin: &str,
) -> Result<StoredUntil, StoreError> {
    let mut lines = logs.last(log, PAGE).await?;
    for _ in 0..PAGES_MAX {
        let stored = StoredUntil::among(&lines, origin);
        let Some(first) = lines.first().map(|line| line.number).filter(|number| *number > 1) else {
            return Ok(stored);
        };
        if stored != StoredUntil::default() {
            return Ok(stored);
        }
        let before = first.saturating_sub(1 + PAGE as u64);
        lines = logs.read(log, before, PAGE).await?;
        lines.retain(|line| line.number < first); // Older ones may have fallen away.
    }
    Ok(StoredUntil::default())
}

#[cfg(test)]
mod tests {
    use domain::id::ServiceId;
    use eventlog::logs::{Limits, NewLine};
    use eventlog::memory::MemoryLogs;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 7).unwrap()
    }

    fn line(origin: &str, channel: Channel, second: i64) -> NewLine {
        NewLine { at: at(second), channel, origin: origin.into(), text: "x".into() }
    }

    #[tokio::test]
    async fn the_last_line_of_each_channel_counts_however_far_back_it_is() {
        let logs = MemoryLogs::new(Limits::default());
        let log = LogName::Application(ServiceId(uuid::Uuid::nil()));
        let stored = async |origin: &str| stored_until(&logs, log, origin).await.unwrap();
        assert_eq!(stored("v1.0").await, StoredUntil::default());
        let first = [
            line("v1.0", Channel::Out, 1),
            line("v1.0", Channel::Err, 2),
            line("v1.0", Channel::Out, 3),
            line("v1.0", Channel::Platform, 9),
        ];
        logs.append(log, first.to_vec()).await.unwrap();
        assert_eq!(stored("v1.0").await, StoredUntil { out: Some(at(3)), err: Some(at(2)) });
        logs.append(log, vec![line("v1.1", Channel::Err, 4); 3 * PAGE]).await.unwrap();
        assert_eq!(stored("v1.0").await, StoredUntil { out: Some(at(3)), err: Some(at(2)) });
        let other = stored("v1.1").await;
        assert_eq!(other, StoredUntil { out: Some(at(4)), err: Some(at(4)) });
        assert!(other.covers(Channel::Err, at(4)) && !other.covers(Channel::Err, at(5)));
    }
}
