//! Waiting for a state, with a limit (STYLE R15).

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);

/// What was waited for did not come.
#[derive(Debug)]
pub(crate) struct TooLate {
    limit: Duration,
    /// What the last look said.
    last: Option<String>,
}

impl fmt::Display for TooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not within {} s", self.limit.as_secs())?;
        if let Some(last) = &self.last { write!(f, ", at last: {last}") } else { Ok(()) }
    }
}

impl std::error::Error for TooLate {}

/// Looks until there is something. A look that fails is looked at again: what starts up refuses at first.
pub(crate) fn until<T, E: fmt::Display>(
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>, E>,
) -> Result<T, TooLate> {
    let begin = Instant::now();
    loop {
        let last = match look() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => None,
            Err(error) => Some(error.to_string()),
        };
        if begin.elapsed() > limit {
            return Err(TooLate { limit, last });
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_late_is_found() {
        let mut looks = 0;
        let found = until(Duration::from_secs(5), || {
            looks += 1;
            if looks < 3 { Err("not yet") } else { Ok(Some(looks)) }
        });
        assert_eq!(found.unwrap(), 3);
    }

    #[test]
    fn what_never_comes_says_what_was_seen_last() {
        let error = until::<(), _>(Duration::ZERO, || Err("refused")).unwrap_err();
        assert_eq!(error.to_string(), "not within 0 s, at last: refused");
    }
}
