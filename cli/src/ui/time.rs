//! Times and durations as people read them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// How long ago, roughly; the day when it is longer than a month.
pub(crate) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let past = now - at;
    match past {
        past if past < TimeDelta::seconds(5) => "just now".to_owned(),
        past if past < TimeDelta::minutes(1) => format!("{} s ago", past.num_seconds()),
        past if past < TimeDelta::hours(1) => format!("{} m ago", past.num_minutes()),
        past if past < TimeDelta::days(1) => format!("{} h ago", past.num_hours()),
        past if past < TimeDelta::days(30) => format!("{} d ago", past.num_days()),
        _ => at.format("%Y-%m-%d").to_string(),
    }
}

/// How long, to three digits.
pub(crate) fn duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} m {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} m", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_told_in_the_largest_unit() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("valid");
        for (seconds, told) in [
            (-60, "just now"),
            (4, "just now"),
            (59, "59 s ago"),
            (60, "1 m ago"),
            (7_199, "1 h ago"),
            (86_400 * 29, "29 d ago"),
            (86_400 * 31, "2026-12-15"),
        ] {
            assert_eq!(ago(now - TimeDelta::seconds(seconds), now), told);
        }
    }

    #[test]
    fn a_duration_has_the_digits_that_matter() {
        for (ms, told) in
            [(0, "0 ms"), (999, "999 ms"), (1_250, "1.2 s"), (61_000, "1 m 1 s"), (3_660_000, "1 h 1 m")]
        {
            assert_eq!(duration(Duration::from_millis(ms)), told);
        }
    }
}
