//! The runner's own count, summed up over all test binaries.

use std::fmt;

/// How many tests ran, and how they ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// The binary that runs now: announced tests, and those that were fine so far.
    open: Option<(u64, u64)>,
}

impl Count {
    /// Takes in one line of `cargo test`.
    pub(super) fn line(&mut self, line: &str) {
        if let Some(announced) = announced(line) {
            self.finish();
            self.open = Some((announced, 0));
        } else if let Some([passed, failed, ignored]) = result(line) {
            self.passed += passed;
            self.failed += failed;
            self.ignored += ignored;
            self.open = None;
        } else if let Some((_, fine)) = &mut self.open
            && line.starts_with("test ")
            && line.ends_with(" ... ok")
        {
            *fine += 1;
        }
    }

    /// A binary that announced tests and gave no result has died: what was not fine by then has failed.
    pub(super) fn finish(&mut self) {
        if let Some((announced, fine)) = self.open.take() {
            self.passed += fine;
            self.failed += announced.saturating_sub(fine).max(1);
        }
    }

    /// Counts what went wrong outside of every test.
    pub(super) fn blame(&mut self) {
        self.failed += 1;
    }

    /// Something ran, nothing failed, and nothing was left out.
    pub(super) fn is_good(&self) -> bool {
        self.failed == 0 && self.ignored == 0 && self.passed > 0
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ignored > 0 {
            writeln!(f, "test: {} ignored, which is not allowed", self.ignored)?;
        }
        write!(f, "{} passed, {} failed", self.passed, self.failed + self.ignored)
    }
}

/// `running 12 tests`
fn announced(line: &str) -> Option<u64> {
    let (number, word) = line.strip_prefix("running ")?.split_once(' ')?;
    if matches!(word, "test" | "tests") { number.parse().ok() } else { None }
}

/// `test result: ok. 12 passed; 0 failed; 0 ignored; …`
fn result(line: &str) -> Option<[u64; 3]> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let of = |word: &str| {
        let part = numbers.split("; ").find(|part| part.ends_with(word))?;
        part.split(' ').next()?.parse().ok()
    };
    Some([of(" passed")?, of(" failed")?, of(" ignored")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(lines: &[&str]) -> Count {
        let mut count = Count::default();
        for line in lines {
            count.line(line);
        }
        count.finish();
        count
    }

    #[test]
    fn results_of_all_binaries_are_summed_up() {
        let count = count(&[
            "running 2 tests",
            "test a ... ok",
            "test b ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
            "running 1 test",
            "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.00s",
        ]);
        assert_eq!(count.to_string(), "2 passed, 1 failed");
        assert!(!count.is_good());
    }

    #[test]
    fn a_binary_that_dies_has_failed_what_it_did_not_report() {
        let count = count(&["running 3 tests", "test a ... ok"]);
        assert_eq!(count.to_string(), "1 passed, 2 failed");
    }

    #[test]
    fn an_ignored_test_is_not_good() {
        let count = count(&["test result: ok. 5 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out"]);
        assert_eq!(count.to_string(), "test: 2 ignored, which is not allowed\n5 passed, 2 failed");
    }

    #[test]
    fn a_run_of_nothing_is_not_good() {
        assert!(!count(&["running 0 tests", "test result: ok. 0 passed; 0 failed; 0 ignored"]).is_good());
    }

    #[test]
    fn what_a_test_says_is_not_counted() {
        assert_eq!(count(&["running away", "test results: ok. 9 passed"]), Count::default());
    }
}
