//! A moment as people write it: a time, a day, or how long ago.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Utc};

/// A moment, not yet bound to a clock when it is a distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Then.
    At(DateTime<Utc>),
    /// So long before now.
    Ago(Duration),
}

/// A text that is no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a time; write 2026-10-05T14:00:00Z, 2026-10-05, \"2026-10-05 14:00\" (your clock), \
     or 1h for an hour ago"
)]
pub(crate) struct InvalidMoment(String);

impl Moment {
    /// The time it means, seen from `now`.
    pub(crate) fn from(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(time) => time,
            Self::Ago(distance) => {
                let distance = TimeDelta::from_std(distance).unwrap_or(TimeDelta::MAX);
                now.checked_sub_signed(distance).unwrap_or(DateTime::UNIX_EPOCH)
            }
        }
    }

    /// As the API takes it.
    pub(crate) fn to_query(self) -> String {
        self.from(Utc::now()).to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }
}

impl FromStr for Moment {
    type Err = InvalidMoment;

    fn from_str(text: &str) -> Result<Self, InvalidMoment> {
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(time.to_utc()));
        }
        if let Ok(distance) = humantime::parse_duration(text.trim_end_matches(" ago")) {
            return Ok(Self::Ago(distance));
        }
        let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_time(NaiveTime::MIN));
        let formats = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"];
        let local = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        let local =
            local.or_else(|| day().ok()).and_then(|local| Local.from_local_datetime(&local).earliest());
        local
            .map(|time| Self::At(time.to_utc()))
            .ok_or_else(|| InvalidMoment(text.chars().take(60).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_a_day_and_a_distance_are_read() {
        let now = DateTime::parse_from_rfc3339("2026-10-05T14:00:00Z").expect("valid").to_utc();
        let hour_ago: Moment = "1h".parse().expect("valid");
        assert_eq!(hour_ago.from(now), now - TimeDelta::hours(1));
        assert_eq!("1h 30m ago".parse(), Ok(Moment::Ago(Duration::from_mins(90))));
        let exact: Moment = "2026-10-05T16:00:00+02:00".parse().expect("valid");
        assert_eq!(exact, Moment::At(now));
        for text in ["2026-10-05", "2026-10-05 14:00", "2026-10-05T14:00:30"] {
            assert!(matches!(text.parse(), Ok(Moment::At(_))), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused_with_examples() {
        for text in ["", "yesterday", "2026-13-01", "1x", "--"] {
            let error = text.parse::<Moment>().expect_err(text);
            assert!(error.to_string().contains("1h for an hour ago"), "{error}");
        }
    }

    #[test]
    fn a_distance_beyond_all_time_is_the_beginning() {
        let now = DateTime::UNIX_EPOCH;
        assert_eq!(Moment::Ago(Duration::MAX).from(now), DateTime::UNIX_EPOCH);
    }
}
