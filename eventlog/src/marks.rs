//! Up to when the lines of each origin and channel of a log were stored, so that readers that take over from
//! each other store no line twice.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::logs::{Channel, NewLine};

/// For how many origins and channels it is known; of more, those that were quiet for longest are forgotten.
const MARKS_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    origin: String,
    channel: Channel,
    at: DateTime<Utc>,
}

/// Up to when lines were stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Marks(Vec<Mark>);

impl Marks {
    /// Whether a line is later than all of its origin and channel.
    pub(crate) fn is_new(&self, line: &NewLine) -> bool {
        let NewLine { at, channel, origin, .. } = line;
        let before = self.0.iter().find(|mark| mark.channel == *channel && mark.origin == *origin);
        before.is_none_or(|mark| mark.at < *at)
    }

    /// A line was stored.
    pub(crate) fn note(&mut self, origin: &str, channel: Channel, at: DateTime<Utc>) {
        let known = self.0.iter_mut().find(|mark| mark.channel == channel && mark.origin == origin);
        if let Some(mark) = known {
            mark.at = mark.at.max(at);
            return;
        }
        if self.0.len() >= MARKS_MAX
            && let Some(oldest) = (0..self.0.len()).min_by_key(|index| self.0[*index].at)
        {
            self.0.swap_remove(oldest);
        }
        self.0.push(Mark { origin: origin.to_owned(), channel, at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(origin: &str, second: i64) -> NewLine {
        let at = DateTime::from_timestamp(second, 0).unwrap();
        NewLine { at, channel: Channel::Out, origin: origin.to_owned(), text: String::new() }
    }

    #[test]
    fn of_more_origins_than_are_known_the_quiet_ones_are_forgotten() {
        let mut marks = Marks::default();
        for second in 0..=MARKS_MAX as i64 {
            let line = line(&second.to_string(), second);
            assert!(marks.is_new(&line));
            marks.note(&line.origin, line.channel, line.at);
            assert!(!marks.is_new(&line));
        }
        assert_eq!(marks.0.len(), MARKS_MAX);
        assert!(marks.is_new(&line("0", 0)) && !marks.is_new(&line("1", 1)));
    }
}
